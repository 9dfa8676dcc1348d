"""A thread that runs while a `with` block is entered."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def background_thread(
    run: Callable[[threading.Event], None],
    name: str,
    *,
    on_stop: Callable[[], None] | None = None,
    join_timeout_s: float | None = None,
) -> Iterator[threading.Thread]:
    """Run `run(stop)` in a daemon thread for as long as the block lasts.

    When the block is left, `stop` is set and the thread joined.

    Args:
        run: Called once in the thread; returns soon after `stop` is set.
        name: The thread's name, as logs and debuggers show it.
        on_stop: Called right after `stop` is set, to wake a thread that waits for something else.
        join_timeout_s: The longest to wait for the thread's end, in seconds; None waits until it ends.
    """
    stop = threading.Event()
    thread = threading.Thread(target=run, args=(stop,), name=name, daemon=True)
    thread.start()
    try:
        yield thread
    finally:
        stop.set()
        if on_stop is not None:
            on_stop()
        thread.join(join_timeout_s)

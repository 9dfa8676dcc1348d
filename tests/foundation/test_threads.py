"""A background thread runs as long as its block, whatever ends the block."""

import threading

import pytest

from foundation.threads import background_thread


def wait_for(event: threading.Event) -> None:
    event.wait()


def test_the_thread_runs_while_the_block_lasts() -> None:
    started = threading.Event()

    def run(stop: threading.Event) -> None:
        started.set()
        stop.wait()

    with background_thread(run, "test") as thread:
        assert started.wait(10)
        assert thread.is_alive()
        assert (thread.name, thread.daemon) == ("test", True)
    assert not thread.is_alive()


def test_the_thread_ends_when_the_block_raises() -> None:
    with pytest.raises(KeyError), background_thread(wait_for, "test") as thread:
        raise KeyError
    assert not thread.is_alive()


def test_on_stop_wakes_a_thread_that_waits_for_another_event() -> None:
    work = threading.Event()
    with background_thread(lambda _: wait_for(work), "test", on_stop=work.set) as thread:
        pass
    assert not thread.is_alive()


def test_a_thread_that_does_not_end_is_abandoned_after_the_time_limit() -> None:
    end = threading.Event()
    with background_thread(lambda _: wait_for(end), "test", join_timeout_s=0.01) as thread:
        pass
    assert thread.is_alive()
    end.set()
    thread.join(10)

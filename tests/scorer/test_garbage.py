"""What is loaded is left out of later collections, once a process."""

import gc

from scorer.garbage import leave_alone_what_is_loaded


def test_what_is_loaded_is_collected_once_and_then_left_alone() -> None:
    leave_alone_what_is_loaded.cache_clear()
    try:
        leave_alone_what_is_loaded()
        frozen = gc.get_freeze_count()
        assert frozen > 0
        assert len(gc.get_objects()) < frozen  # what a collection still looks at
        later = [[] for _ in range(1000)]  # type: ignore[var-annotated]
        leave_alone_what_is_loaded()
        assert gc.get_freeze_count() <= frozen
        assert later
    finally:
        gc.unfreeze()

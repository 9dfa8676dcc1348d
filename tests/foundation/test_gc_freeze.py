"""Loaded objects are excluded from later garbage collections, once per process."""

import gc

from foundation.gc_freeze import freeze_loaded_objects


def test_loaded_objects_are_frozen_once() -> None:
    freeze_loaded_objects.cache_clear()
    try:
        freeze_loaded_objects()
        frozen = gc.get_freeze_count()
        assert frozen > 0
        assert len(gc.get_objects()) < frozen  # the objects that a collection still visits
        new_objects = [[] for _ in range(1000)]  # type: ignore[var-annotated]
        freeze_loaded_objects()
        assert gc.get_freeze_count() <= frozen
        assert new_objects
    finally:
        gc.unfreeze()

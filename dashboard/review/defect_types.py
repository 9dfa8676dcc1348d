"""The defect types that the keys 1 to 9 stand for: a station's own first, then common ones."""

from collections import Counter

COMMON_TYPES = ("scratch", "dent", "crack", "stain", "hole", "missing part", "wrong part", "deformed", "foreign body")
MAX_TYPES = 9


def suggested(counts: Counter[str]) -> list[str]:
    """Return nine types: those used at the station, most frequent first, then common ones."""
    station_types = [name for name, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0])) if name]
    return list(dict.fromkeys([*station_types, *COMMON_TYPES]))[:MAX_TYPES]

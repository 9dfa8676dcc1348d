"""The defect types that the keys 1 to 9 stand for: a station's own first, then common ones."""

from collections import Counter

COMMON = ("scratch", "dent", "crack", "stain", "hole", "missing part", "wrong part", "deformed", "foreign body")
KEYS = 9


def offered(counts: Counter[str]) -> list[str]:
    """Return nine types: those used at the station, most frequent first, then common ones."""
    own = [name for name, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0])) if name]
    return list(dict.fromkeys([*own, *COMMON]))[:KEYS]

"""Numbers and times as a person says them."""

from datetime import datetime, tzinfo

MINUTE, HOUR, DAY = 60, 3600, 86_400
SMALL = 0.1  # of scores: below it three decimals are fewer than three digits


def duration(seconds: float) -> str:
    """``3 s``, ``4 min``, ``5 h``, ``2 d``: one unit, rounded down, so that nothing looks older than it is."""
    if seconds < MINUTE:
        return f"{max(0, int(seconds))} s"
    if seconds < HOUR:
        return f"{int(seconds // MINUTE)} min"
    if seconds < 2 * DAY:
        return f"{int(seconds // HOUR)} h"
    return f"{int(seconds // DAY)} d"


def ago(then: datetime, now: datetime) -> str:
    """``3 s ago``; a camera whose clock runs ahead reads ``just now``."""
    seconds = (now - then).total_seconds()
    return "just now" if seconds < 1 else f"{duration(seconds)} ago"


def share(part: int, whole: int) -> str:
    """``2.1 %`` of the whole, and a dash where there is no whole."""
    if whole == 0:
        return "–"
    percent = 100 * part / whole
    if 0 < percent < 0.1:
        return "< 0.1 %"
    return f"{percent:.0f} %" if percent >= 10 or percent == 0 else f"{percent:.1f} %"


def count(number: int) -> str:
    """``1,204``, and from ten million on ``12.3 M``."""
    return f"{number:,}" if number < 10_000_000 else f"{number / 1_000_000:.1f} M"


def plural(number: int, one: str, many: str | None = None) -> str:
    """``1 frame``, ``2 frames``."""
    return f"{count(number)} {one if number == 1 else many or one + 's'}"


def size(number_of_bytes: int) -> str:
    """``512 B``, ``1.2 kB``, ``3.4 MB``; a kilobyte has 1000 bytes."""
    amount = float(number_of_bytes)
    for unit in ("B", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"


def moment(at: datetime, zone: tzinfo) -> str:
    """``24 Nov 2026, 14:03:22.417`` in the reader's own time zone."""
    local = at.astimezone(zone)
    return f"{local.day} {local:%b %Y, %H:%M:%S}.{local.microsecond // 1000:03d}"


def clock(at: datetime, now: datetime, zone: tzinfo) -> str:
    """``14:03:22`` on the reader's today, else ``23 Nov 14:03``."""
    local = at.astimezone(zone)
    if local.date() == now.astimezone(zone).date():
        return f"{local:%H:%M:%S}"
    return f"{local.day} {local:%b %H:%M}"


def score(value: float | None) -> str:
    """Three decimals, three digits where it is smaller than that shows, and a dash where nothing was scored."""
    if value is None:
        return "–"
    return f"{value:#.3g}" if 0 < abs(value) < SMALL else f"{value:.3f}"


def seconds(value: float) -> str:
    """``340 ms``, ``4.2 s``, ``3 min``: a time that passed, with the unit that fits."""
    if value < 1:
        return f"{1000 * value:.0f} ms"
    return f"{value:.1f} s" if value < MINUTE else duration(value)


def share_of(fraction: float) -> str:
    """``12 %``, ``3.4 %``, ``0.3 %``: a fraction of something."""
    percent = 100 * fraction
    return f"{percent:,.0f} %" if percent >= 9.95 or percent == 0 else f"{max(percent, 0.1):.1f} %"

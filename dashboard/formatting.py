"""Numbers and times as text for people."""

from datetime import datetime, tzinfo

MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86_400
SMALL_SCORE = 0.1  # below it three decimals are fewer than three significant digits


def duration(seconds: float) -> str:
    """Format a duration as ``3 s``, ``4 min``, ``5 h`` or ``2 d``: one unit, rounded down."""
    if seconds < MINUTE_S:
        return f"{max(0, int(seconds))} s"
    if seconds < HOUR_S:
        return f"{int(seconds // MINUTE_S)} min"
    if seconds < 2 * DAY_S:
        return f"{int(seconds // HOUR_S)} h"
    return f"{int(seconds // DAY_S)} d"


def ago(then: datetime, now: datetime) -> str:
    """Format an age as ``3 s ago``; a time in the future, from a camera whose clock runs ahead, is ``just now``."""
    seconds = (now - then).total_seconds()
    return "just now" if seconds < 1 else f"{duration(seconds)} ago"


def share(part: int, whole: int) -> str:
    """Format a share of a whole as ``2.1 %``, and as a dash where the whole is 0."""
    if whole == 0:
        return "–"
    percent = 100 * part / whole
    if 0 < percent < 0.1:
        return "< 0.1 %"
    return f"{percent:.0f} %" if percent >= 10 or percent == 0 else f"{percent:.1f} %"


def fraction(value: float) -> str:
    """Format a fraction as ``12 %``, ``3.4 %`` or ``0.3 %``; it is never rounded down to 0."""
    percent = 100 * value
    return f"{percent:,.0f} %" if percent >= 9.95 or percent == 0 else f"{max(percent, 0.1):.1f} %"


def count(number: int) -> str:
    """Format a count as ``1,204``, and from ten million on as ``12.3 M``."""
    return f"{number:,}" if number < 10_000_000 else f"{number / 1_000_000:.1f} M"


def plural(number: int, singular: str, plural_form: str | None = None) -> str:
    """Format a count with its noun: ``1 frame``, ``2 frames``."""
    return f"{count(number)} {singular if number == 1 else plural_form or singular + 's'}"


def size(number_of_bytes: int) -> str:
    """Format a size as ``512 B``, ``1.2 kB`` or ``3.4 MB``; a kilobyte has 1000 bytes."""
    amount = float(number_of_bytes)
    for unit in ("B", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"


def timestamp(at: datetime, zone: tzinfo) -> str:
    """Format a time as ``24 Nov 2026, 14:03:22.417`` in a time zone."""
    local = at.astimezone(zone)
    return f"{local.day} {local:%b %Y, %H:%M:%S}.{local.microsecond // 1000:03d}"


def date_and_time(at: datetime, zone: tzinfo) -> str:
    """Format a time as ``24 Nov 2026, 14:03:22`` in a time zone."""
    return timestamp(at, zone).partition(".")[0]


def clock(at: datetime, now: datetime, zone: tzinfo) -> str:
    """Format a time of today as ``14:03:22`` and of another day as ``23 Nov 14:03``."""
    local = at.astimezone(zone)
    if local.date() == now.astimezone(zone).date():
        return f"{local:%H:%M:%S}"
    return f"{local.day} {local:%b %H:%M}"


def score(value: float | None) -> str:
    """Format a score with three decimals, a small one with three significant digits, and None as a dash."""
    if value is None:
        return "–"
    return f"{value:#.3g}" if 0 < abs(value) < SMALL_SCORE else f"{value:.3f}"


def latency(seconds: float) -> str:
    """Format a latency with the unit that fits: ``340 ms``, ``4.2 s``, ``3 min``."""
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    return f"{seconds:.1f} s" if seconds < MINUTE_S else duration(seconds)


def escape_markdown(text: str) -> str:
    """Return the text with every character that Markdown gives a meaning escaped."""
    return "".join(f"\\{character}" if character in "\\`*_{}[]()#+-.!<>|~$:&" else character for character in text)


def escape_message(text: str) -> str:
    """Return a message in which nothing becomes a link, a picture, HTML, colour or a formula; commands stay code."""
    parts = text.split("`")
    if len(parts) % 2 == 0:  # a backtick without a second one
        return escape_markdown(text)
    return "`".join(part if number % 2 else _without_links(part) for number, part in enumerate(parts))


def _without_links(text: str) -> str:
    return "".join(f"\\{character}" if character in "\\[]<>$*~" else character for character in text)

"""Numbers and times as pages write them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from markupsafe import Markup

from arke.wording import many

DASH: Final = "\N{EN DASH}"
SHORT_CHARS: Final = 80
_UNITS: Final = ((86_400, "day"), (3_600, "h"), (60, "min"))


def count(number: float | None) -> str:
    """With commas; a dash for what is not known."""
    return DASH if number is None else f"{number:,.0f}"


def share(part: float, whole: float = 1.0) -> str:
    """Per cent. Never 100 % of what is not whole, nor 0 % of what is there."""
    if not whole:
        return DASH
    per_cent = 100 * part / whole
    if 0 < per_cent < 1:
        return "< 1 %"
    if 99 < per_cent < 100:
        return "> 99 %"
    return f"{per_cent:.0f} %"


def sentence(text: str) -> str:
    """Begins with a capital; the rest stands as it is: it may have ids and times in it."""
    return text[:1].upper() + text[1:]


def milliseconds(value: float | None) -> str:
    if value is None:
        return DASH
    return f"{value / 1000:,.1f} s" if value >= 1_000 else f"{value:,.0f} ms"


def span(seconds: float) -> str:
    """Roughly how long, in one unit."""
    for size, unit in _UNITS:
        if seconds >= size:
            number = int(seconds // size)
            return many(number, unit) if unit == "day" else f"{number} {unit}"
    return f"{max(0, seconds):.0f} s"


def moment(at: float | str | None, now: float | None = None) -> Markup:
    """A time in UTC; with `now` how long ago, or when it will be. Takes epoch seconds or RFC 3339."""
    if at is None or at == "":
        return Markup(DASH)  # noqa: S704 - a constant
    when = datetime.fromisoformat(at) if isinstance(at, str) else datetime.fromtimestamp(at, UTC)
    when = when.astimezone(UTC)
    machine, text = when.strftime("%Y-%m-%dT%H:%M:%SZ"), when.strftime("%Y-%m-%d %H:%M:%S")
    shown = Markup('<time datetime="{}">{}</time>').format(machine, text)
    if now is None:
        return shown
    apart = now - when.timestamp()
    words = "just now" if abs(apart) < 1 else f"{span(apart)} ago" if apart > 0 else f"in {span(-apart)}"
    return shown + Markup(' <span class="quiet">{}</span>').format(words)


def short(text: str, most: int = SHORT_CHARS) -> str:
    """The beginning of a text that may be very long."""
    return text if len(text) <= most else f"{text[: most - 1]}\N{HORIZONTAL ELLIPSIS}"

"""How many of some may be lost: a share in percent, or a number. Written `5%`, `0.5%` or `100`."""

from __future__ import annotations

import re

import msgspec

from arke.errors import InvalidInput

_WRITTEN = re.compile(r"(?P<number>[0-9]{1,12}(?:\.[0-9]{1,6})?)(?P<percent> ?%)?")


class Allowance(msgspec.Struct, frozen=True):
    """At most `percent` of all, or `count`: exactly one of both is given."""

    percent: float | None = None
    count: int | None = None

    def admits(self, lost: int, of: int) -> bool:
        """Whether so many may be lost."""
        if self.count is not None:
            return lost <= self.count
        return 100 * lost <= (self.percent or 0.0) * of

    def __str__(self) -> str:
        return f"{self.percent:g}%" if self.percent is not None else f"{self.count:,}"


def parse_allowance(text: str, where: str) -> Allowance:
    """Raises InvalidInput that begins with `where`."""
    written = _WRITTEN.fullmatch(text.strip())
    hint = "write a share such as 5%, or a whole number"
    if written is None:
        raise InvalidInput(f"{where}: {text!r} is neither a share nor a number: {hint}")
    number = written["number"]
    if written["percent"] is None:
        if "." in number:
            raise InvalidInput(f"{where}: {text!r} is no whole number: {hint}")
        return Allowance(count=int(number))
    if float(number) > 100:
        raise InvalidInput(f"{where}: {text!r} is more than all: 100% at most")
    return Allowance(percent=float(number))


def percent_of(part: int, whole: int) -> str:
    """A share for people, rounded so that neither none nor all is shown where it is not."""
    if not whole:
        return "0%"
    share = 100 * part / whole
    if 0 < part < whole:
        share = min(max(share, 0.1), 99.9)
    return f"{share:.1f}".removesuffix(".0") + "%"

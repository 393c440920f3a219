"""Whether a TC string (IAB TCF 2.x) permits purposes to a vendor. Reads the core segment alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from arke.domain.consent.bits import Bits

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

PURPOSES: Final = 24
"""How many purposes the string has room for."""
MAX_VENDOR: Final = 65_535

_VERSION: Final = 2
_PURPOSES_AT: Final = 152
_VENDORS_AT: Final = 213
_FORBIDDEN, _BY_CONSENT, _BY_INTEREST = 0, 1, 2
"""What a publisher's restriction says of a purpose for some vendors."""


def permits(text: str, vendor: int, purposes: Collection[int]) -> bool:
    """Whether the visitor agreed to every purpose and to the vendor. Where the publisher restricts a purpose to
    legitimate interest, it is permitted as long as nobody objected. Raises ValueError for what is no TC string.
    """
    bits = Bits(text.partition(".")[0])
    if bits.number(6) != _VERSION:
        raise ValueError("not version 2")
    bits.at = _PURPOSES_AT
    agreed, interest = bits.number(PURPOSES), bits.number(PURPOSES)
    bits.at = _VENDORS_AT
    vendor_agreed = _vendor_is_in(bits, vendor)
    vendor_interest = _vendor_is_in(bits, vendor)
    restricted = dict(_restrictions(bits, vendor))
    for purpose in purposes:
        restriction = restricted.get(purpose, _BY_CONSENT)
        if restriction == _FORBIDDEN:
            return False
        by_interest = restriction == _BY_INTEREST and purpose != 1  # the first is never but by consent
        allowed, vendor_allowed = (interest, vendor_interest) if by_interest else (agreed, vendor_agreed)
        if not (vendor_allowed and allowed >> (PURPOSES - purpose) & 1):
            return False
    return True


def _vendor_is_in(bits: Bits, vendor: int) -> bool:
    """Read a list of vendors to its end: a bit each, or ranges."""
    most = bits.number(16)
    if bits.flag():
        return _in_ranges(bits, vendor)
    start, bits.at = bits.at, bits.at + most
    if not 0 < vendor <= most:
        return False
    end, bits.at = bits.at, start + vendor - 1
    found, bits.at = bits.flag(), end
    return found


def _in_ranges(bits: Bits, vendor: int) -> bool:
    found = False
    for _ in range(bits.number(12)):
        several = bits.flag()
        first = bits.number(16)
        last = bits.number(16) if several else first
        found = found or first <= vendor <= last
    return found


def _restrictions(bits: Bits, vendor: int) -> Iterator[tuple[int, int]]:
    """Purpose and kind of each restriction that the publisher has put on the vendor."""
    for _ in range(bits.number(12)):
        purpose, kind = bits.number(6), bits.number(2)
        if _in_ranges(bits, vendor):
            yield purpose, kind

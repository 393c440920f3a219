"""Writes TC strings for tests: the other way round from `arke.domain.consent`, by another hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def tc_string(
    purposes: Collection[int] = (),
    vendors: Collection[int] = (),
    *,
    interest: Collection[int] = (),
    interest_vendors: Collection[int] = (),
    restrictions: Sequence[tuple[int, int, Sequence[tuple[int, int]]]] = (),
    ranges: bool = False,
    version: int = 2,
) -> str:
    """The core segment of who agrees to purposes for vendors. `restrictions`: purpose, kind, ranges of vendors."""
    text = f"{version:06b}" + "0" * 146
    text += _field(purposes, 24) + _field(interest, 24) + "0" * 13
    for listed in (vendors, interest_vendors):
        most = max(listed, default=0)
        text += f"{most:016b}" + ("1" if ranges else "0")
        text += _ranges([(one, one) for one in sorted(listed)]) if ranges else _field(listed, most)
    text += f"{len(restrictions):012b}"
    for purpose, kind, of in restrictions:
        text += f"{purpose:06b}{kind:02b}" + _ranges(of)
    return packed(text)


def packed(bits: str) -> str:
    """Bits as characters of six each."""
    bits += "0" * (-len(bits) % 6)
    return "".join(_ALPHABET[int(bits[at : at + 6], 2)] for at in range(0, len(bits), 6))


def _field(members: Collection[int], size: int) -> str:
    return "".join("1" if number in members else "0" for number in range(1, size + 1))


def _ranges(of: Sequence[tuple[int, int]]) -> str:
    return f"{len(of):012b}" + "".join(
        f"0{first:016b}" if first == last else f"1{first:016b}{last:016b}" for first, last in of
    )

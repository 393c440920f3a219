"""Whether a GPP string (IAB Global Privacy Platform) or a US privacy string opts its visitor out."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from arke.domain.consent import tcf
from arke.domain.consent.bits import Bits

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

TCF_EU: Final = 2
US_PRIVACY: Final = 6
MAX_SECTIONS: Final = 64

_HEADER_TYPE: Final = 3
_OPTED_OUT: Final = 1
_GPC_SUBSECTION: Final = 1

_BY_STATE: Final = (3, 4)
"""Of the two-bit fields behind the version: opt-outs of sale and of targeted advertising behind three notices."""
_BEHIND_FOUR: Final = (4, 5)
"""The same behind four notices."""
_BEHIND_MSPA: Final = (5, 6)
"""The same behind two fields of the multi-state agreement and three notices."""

OPT_OUT_FIELDS: Final[dict[int, tuple[int, ...]]] = {
    7: (6, 7, 8),  # usnat: sale, sharing, targeted advertising
    8: (3, 4),  # usca: sale, sharing
    9: _BY_STATE,  # usva
    10: _BY_STATE,  # usco
    11: _BEHIND_FOUR,  # usut
    12: _BY_STATE,  # usct
    13: _BY_STATE,  # usfl
    14: _BY_STATE,  # usmt
    15: _BY_STATE,  # usor
    16: _BY_STATE,  # ustx
    17: _BY_STATE,  # usde
    18: _BEHIND_FOUR,  # usia
    19: _BY_STATE,  # usne
    20: _BY_STATE,  # usnh
    21: _BY_STATE,  # usnj
    22: _BY_STATE,  # ustn
    23: _BY_STATE,  # usmn
    24: _BEHIND_MSPA,  # usmd
    25: _BEHIND_MSPA,  # usin
    26: _BEHIND_MSPA,  # usky
    27: _BEHIND_MSPA,  # usri
}
"""Sections of the United States, and which of their two-bit fields are opt-outs."""

_US_PRIVACY_TEXT: Final = re.compile(r"1[YN-]([YN-])[YN-]", re.IGNORECASE)
_SEPARATORS: Final = re.compile(r"[,_ ]+")


def us_privacy_opts_out(text: str) -> bool:
    """Whether a US privacy string (`1YYN`) opts out of sale. What is none says nothing."""
    match = _US_PRIVACY_TEXT.fullmatch(text)
    return match is not None and match[1] in "Yy"


def opts_out(
    text: str, applicable: Collection[int] | None, vendor: int | None, purposes: Sequence[int]
) -> bool:
    """Whether one of the sections that apply (None: all that the string has) opts out of sale, sharing or targeted
    advertising, repeats the browser's Global Privacy Control, or is a TC string that does not permit the vendor the
    purposes (without a vendor it is not decoded). A section that cannot be read says nothing, as does a string that
    cannot be read at all.
    """
    header, *bodies = text.split("~")
    try:
        numbers = _section_ids(header)
    except ValueError:
        return False
    for number, body in zip(numbers, bodies, strict=False):
        if applicable is not None and number not in applicable:
            continue
        try:
            if _section_opts_out(number, body, vendor, purposes):
                return True
        except ValueError:
            continue
    return False


def applicable_sections(text: str) -> frozenset[int] | None:
    """The sections that `gpp_sid` names (`7,8`; -1 for none); None where it names nothing that can be read."""
    parts = [part for part in _SEPARATORS.split(text.strip()) if part]
    numbers = frozenset(int(part) for part in parts if part.isascii() and part.isdigit() and len(part) <= 4)
    return numbers if numbers or parts == ["-1"] else None


def _section_ids(header: str) -> list[int]:
    bits = Bits(header)
    if (bits.number(6), bits.number(6)) != (_HEADER_TYPE, 1):
        raise ValueError("not a GPP header")
    found: list[int] = []
    last = 0
    for _ in range(bits.number(12)):
        several = bits.flag()
        first = last + bits.fibonacci()
        last = first + bits.fibonacci() if several else first
        if len(found) + last - first >= MAX_SECTIONS:
            raise ValueError("too many sections")
        found.extend(range(first, last + 1))
    return found


def _section_opts_out(number: int, body: str, vendor: int | None, purposes: Sequence[int]) -> bool:
    if number == US_PRIVACY:
        return us_privacy_opts_out(body)
    if number == TCF_EU:
        return vendor is not None and not tcf.permits(body, vendor, purposes)
    fields = OPT_OUT_FIELDS.get(number)
    if fields is None:
        return False
    core, *others = body.split(".")
    bits = Bits(core)
    for field in fields:
        bits.at = 6 + 2 * field
        if bits.number(2) == _OPTED_OUT:
            return True
    return any(_global_privacy_control(other) for other in others)


def _global_privacy_control(subsection: str) -> bool:
    bits = Bits(subsection)
    return bits.number(2) == _GPC_SUBSECTION and bits.flag()

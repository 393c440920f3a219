"""Packs the memberships of a profile, so that an event reads and writes little of them, however many they are.

Of ten thousand segments a device may be in thousands, and an event changes a few. Packed, their statuses are bits
in pages of 1,024 ids, read as they stand, and what else is known of each lies in a log that nobody reads who only
decides: frames of segments that changed at one moment for one reason. A change sets bits and adds a frame.

    frame  = head offsets        head = code, base, count, changed, changed - verified
    code   = 2 x place of the reason + status            offset = segment id - base x 65,536, two bytes

Few memberships, or such as lie far apart, are not worth it: they stay as they are.
"""

from __future__ import annotations

from struct import Struct, pack, unpack_from
from typing import TYPE_CHECKING, Final

from arke.domain.membership import Membership, PackedMemberships

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.domain.membership import Memberships

PAGE_BITS: Final = 10
PAGE: Final = 1 << PAGE_BITS
"""Ids in a page."""
PACKED_FROM: Final = 64
"""So many memberships are packed, where a page has `LEAST_ON_PAGE` of them on average."""
LEAST_ON_PAGE: Final = 8
MOST_LOOSE: Final = 128
"""Frames that may be added before the log is written anew, without what they overruled."""

REASONS: Final = ("rule", "told", "ttl", "recency", "inactive", "privacy", "opt_out", "unmapped")
"""Only added to: their places are stored."""
_CODES: Final = {reason: 2 * place for place, reason in enumerate(REASONS)}
_HEAD: Final = Struct("<BHHIi")
_LATEST: Final = (1 << 32) - 1
_FARTHEST: Final = (1 << 31) - 1
"""Times, and how far two of them lie apart, fit up to here: until 2106."""
_BASE_BITS: Final = 16
_BASE: Final = 1 << _BASE_BITS
_MOST_IN_FRAME: Final = _BASE - 1


def packed(memberships: dict[int, Membership]) -> PackedMemberships | None:
    """The same memberships packed; None where they are too few, too far apart, or not of the usual kind."""
    if len(memberships) < PACKED_FROM or not 0 <= min(memberships) <= max(memberships) < _BASE << _BASE_BITS:
        return None
    pages: dict[int, int] = {}
    alike: dict[int, list[int]] = {}  # by identity: those that came out of one frame share a membership
    for segment, membership in memberships.items():
        pages.setdefault(segment >> PAGE_BITS, 0)
        if len(pages) * LEAST_ON_PAGE > len(memberships):
            return None
        alike.setdefault(id(membership), []).append(segment)
    frames: dict[tuple[int, int, int, int], list[int]] = {}
    for segments in alike.values():
        membership = memberships[segments[0]]
        code = _CODES.get(membership.reason)
        if code is None or membership.status not in (0, 1):
            return None
        if not 0 <= membership.changed <= _LATEST:
            return None
        if abs(membership.changed - membership.verified) > _FARTHEST:
            return None
        for segment in segments:
            key = (code + membership.status, segment >> _BASE_BITS, membership.changed, membership.verified)
            frames.setdefault(key, []).append(segment & (_BASE - 1))
            if membership.status:
                pages[segment >> PAGE_BITS] |= 1 << (segment & (PAGE - 1))
    log = b"".join([_frame(*key, offsets) for key, offsets in frames.items()])
    return PackedMemberships({page: _bytes_of(bits) for page, bits in pages.items() if bits}, log)


def unpacked(memberships: PackedMemberships) -> dict[int, Membership]:
    """All of them. Those of one frame share one membership."""
    log, at = memberships.log, 0
    found: dict[int, Membership] = {}
    while at < len(log):
        code, base, count, changed, since = _HEAD.unpack_from(log, at)
        at += _HEAD.size
        ids: Sequence[int] = unpack_from(f"<{count}H", log, at)
        at += 2 * count
        if base:
            begin = base << _BASE_BITS
            ids = [begin + offset for offset in ids]
        membership = Membership(code & 1, changed, changed - since, REASONS[code >> 1])
        found.update(dict.fromkeys(ids, membership))
    return found


def members_on(memberships: Memberships, page: int) -> int:
    """Who is in of the segments of one page of ids, a bit for each."""
    if isinstance(memberships, PackedMemberships):
        return int.from_bytes(memberships.pages.get(page, b""), "little")
    found, begin = 0, page << PAGE_BITS
    if len(memberships) < PAGE:
        for segment, membership in memberships.items():
            if membership.status and segment >> PAGE_BITS == page:
                found |= 1 << (segment - begin)
        return found
    for place in range(PAGE):
        known = memberships.get(begin + place)
        if known is not None and known.status:
            found |= 1 << place
    return found


def members_within(memberships: Memberships, begin: int, width: int) -> int:
    """Who is in of the segments from `begin` on, `width` of them, a page's length at most: a bit for each."""
    page, place = begin >> PAGE_BITS, begin & (PAGE - 1)
    found = members_on(memberships, page) >> place
    if place + width > PAGE:
        found |= members_on(memberships, page + 1) << (PAGE - place)
    return found & ((1 << width) - 1)


def is_member(memberships: Memberships, segment: int) -> bool:
    """Whether the profile is in a segment."""
    if isinstance(memberships, PackedMemberships):
        page = memberships.pages.get(segment >> PAGE_BITS, b"")
        place = segment & (PAGE - 1)
        return place >> 3 < len(page) and bool(page[place >> 3] >> (place & 7) & 1)
    known = memberships.get(segment)
    return known is not None and known.status == 1


def all_members(memberships: Memberships) -> list[int]:
    """The segments that the profile is in, ascending."""
    if isinstance(memberships, PackedMemberships):
        found: list[int] = []
        for page in sorted(memberships.pages):
            found += places_of(int.from_bytes(memberships.pages[page], "little"), page << PAGE_BITS)
        return found
    return sorted([segment for segment, membership in memberships.items() if membership.status])


def places_of(bits: int, begin: int) -> list[int]:
    """The places of the bits of a page that are set, counted from `begin`, ascending."""
    found: list[int] = []
    while bits:
        highest = bits.bit_length() - 1
        found.append(begin + highest)
        bits ^= 1 << highest
    found.reverse()
    return found


def note(memberships: PackedMemberships, page: int, segments: Sequence[int], membership: Membership) -> None:
    """Segments of a page have become like this, in place; `turn` says who is in."""
    base = page >> (_BASE_BITS - PAGE_BITS)
    begin = base << _BASE_BITS
    offsets = [segment - begin for segment in segments] if begin else segments
    code = _CODES[membership.reason] + membership.status
    memberships.log += _frame(code, base, membership.changed, membership.verified, offsets)
    memberships.loose += 1


def turn(memberships: PackedMemberships, page: int, members: int) -> None:
    """These are the members of a page from now on, a bit for each."""
    if members:
        memberships.pages[page] = _bytes_of(members)
    else:
        memberships.pages.pop(page, None)


def tidied(memberships: PackedMemberships) -> Memberships:
    """The same memberships, without what later frames have overruled."""
    whole = unpacked(memberships)
    return packed(whole) or whole


def _frame(code: int, base: int, changed: int, verified: int, offsets: Sequence[int]) -> bytes:
    """A frame of segments at these offsets from the base; of very many, several."""
    if len(offsets) > _MOST_IN_FRAME:
        first, rest = offsets[:_MOST_IN_FRAME], offsets[_MOST_IN_FRAME:]
        return _frame(code, base, changed, verified, first) + _frame(code, base, changed, verified, rest)
    head = _HEAD.pack(code, base, len(offsets), changed, changed - verified)
    return head + pack(f"<{len(offsets)}H", *offsets)


def _bytes_of(bits: int) -> bytes:
    return bits.to_bytes((bits.bit_length() + 7) >> 3, "little")

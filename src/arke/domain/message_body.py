"""The message body as it goes over the wire (SPEC section 2): each user, then the envelope around them.

Built in two stages because a user's JSON is made once per change and may wait, be retried or be sent
alone, while the envelope (`ProcessTime`) is only known when the request is executed. Wire structs encoded
by msgspec were measured against joining pre-escaped fragments and won (docs/reference/message.md); what
is left to save is the text of times and regions, which repeat, so both are cached.
"""

from __future__ import annotations

from math import floor
from time import gmtime
from typing import TYPE_CHECKING, Generic, TypeVar

import msgspec

from arke.domain.message import UserEntry, WireSegment, WireUser

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

K = TypeVar("K")
V = TypeVar("V")

CACHE_ENTRIES = 65_536
"""Times (18 hours of distinct seconds) and region lists kept as text; a full cache starts anew."""

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
STATUS = ("0", "1")


class TextCache(dict[K, V], Generic[K, V]):
    """Values made on first use, at most CACHE_ENTRIES of them. A hit costs one dictionary look-up."""

    def __init__(self, make: Callable[[K], V]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, key: K) -> V:
        if len(self) >= CACHE_ENTRIES:
            self.clear()
        value = self[key] = self._make(key)
        return value


def format_time(ts: int) -> str:
    """`Wed Jul 27 16:17:42 UTC 2016`: English whatever the locale, two-digit day, UTC."""
    year, month, day, hour, minute, second, weekday, _, _ = gmtime(ts)
    return f"{DAYS[weekday]} {MONTHS[month - 1]} {day:02d} {hour:02d}:{minute:02d}:{second:02d} UTC {year}"


def _region_texts(regions: tuple[int, ...]) -> tuple[str, ...] | msgspec.UnsetType:
    return tuple(str(region) for region in regions) or msgspec.UNSET


_to_json = msgspec.json.Encoder().encode
_times: TextCache[int, str] = TextCache(format_time)
_regions: TextCache[tuple[int, ...], tuple[str, ...] | msgspec.UnsetType] = TextCache(_region_texts)


def wire_time(ts: float) -> str:
    """`format_time` of the second `ts` lies in, remembered: many segments and messages share one."""
    return _times[floor(ts)]


def well_formed(text: str) -> str:
    """The text with surrogate pairs joined and lone surrogates, which UTF-8 cannot carry, as U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


_client_ids: TextCache[str, bytes] = TextCache(lambda client_id: _to_json(well_formed(client_id)))


def encode_user(entry: UserEntry) -> bytes:
    """One element of `Users` as compact JSON; `AAM_Regions` is left out where no region is known."""
    user = WireUser(
        entry.uuid,
        entry.partner_id,
        _regions[entry.regions],
        [WireSegment(s.alias, STATUS[s.active], _times[s.verified_ts]) for s in entry.segments],
    )
    try:
        return _to_json(user)
    except UnicodeEncodeError:
        return _to_json(_well_formed_user(user))


def _well_formed_user(user: WireUser) -> WireUser:
    return WireUser(
        well_formed(user.AAM_UUID),
        well_formed(user.DataPartner_UUID),
        user.AAM_Regions,
        [WireSegment(well_formed(s.Segment_ID), s.Status, s.DateTime) for s in user.Segments],
    )


def encode_message(
    users: Sequence[bytes], *, process_ts: float, dpid: int, client_id: str, destination_id: int
) -> bytes:
    """The whole body around users made by `encode_user`. `process_ts` is when the request is executed."""
    return (
        b'{"ProcessTime":"%b","User_DPID":"%d","Client_ID":%b,"AAM_Destination_Id":"%d","User_count":"%d","Users":[%b]}'
        % (
            wire_time(process_ts).encode(),
            dpid,
            _client_ids[client_id],
            destination_id,
            len(users),
            b",".join(users),
        )
    )

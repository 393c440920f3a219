"""The message body as it goes over the wire (SPEC section 2): each user, then the envelope around them.

Built in two stages because a user's JSON is made once per change and may wait, be retried or be sent
alone, while the envelope (`ProcessTime`) is only known when the request is executed. What repeats is kept as JSON:
a segment's state, which many devices have since the same second, and lists of regions. Joining such fragments was
measured against wire structs encoded by msgspec (docs/reference/message.md).
"""

from __future__ import annotations

from math import floor
from time import gmtime
from typing import TYPE_CHECKING, Generic, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from arke.domain.message import UserEntry

K = TypeVar("K")
V = TypeVar("V")

CACHE_ENTRIES = 65_536
"""Times (18 hours of distinct seconds) and region lists kept as text; a full cache starts anew."""
STATES_KEPT = 16_384
"""States of segments kept as JSON, at some 300 bytes."""

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class TextCache(dict[K, V], Generic[K, V]):
    """Values made on first use, at most `most` of them. A hit costs one dictionary look-up."""

    def __init__(self, make: Callable[[K], V], most: int = CACHE_ENTRIES) -> None:
        super().__init__()
        self._make = make
        self._most = most

    def __missing__(self, key: K) -> V:
        if len(self) >= self._most:
            self.clear()
        value = self[key] = self._make(key)
        return value


def format_time(ts: int) -> str:
    """`Wed Jul 27 16:17:42 UTC 2016`: English whatever the locale, two-digit day, UTC."""
    year, month, day, hour, minute, second, weekday, _, _ = gmtime(ts)
    return f"{DAYS[weekday]} {MONTHS[month - 1]} {day:02d} {hour:02d}:{minute:02d}:{second:02d} UTC {year}"


_to_json = msgspec.json.Encoder().encode


def _text(text: str) -> bytes:
    """A text as JSON."""
    try:
        return _to_json(text)
    except UnicodeEncodeError:
        return _to_json(well_formed(text))


def _regions_text(regions: tuple[int, ...]) -> bytes:
    if not regions:
        return b""
    return b'"AAM_Regions":%b,' % _to_json([str(region) for region in regions])


def _segment_text(segment: tuple[str, bool, int]) -> bytes:
    alias, active, verified_ts = segment
    return b'{"Segment_ID":%b,"Status":"%d","DateTime":"%b"}' % (
        _text(alias),
        active,
        _times[verified_ts].encode(),
    )


_times: TextCache[int, str] = TextCache(format_time)
_regions: TextCache[tuple[int, ...], bytes] = TextCache(_regions_text)
_segments: TextCache[tuple[str, bool, int], bytes] = TextCache(_segment_text, STATES_KEPT)


def wire_time(ts: float) -> str:
    """`format_time` of the second `ts` lies in, remembered: many segments and messages share one."""
    return _times[floor(ts)]


def well_formed(text: str) -> str:
    """The text with surrogate pairs joined and lone surrogates, which UTF-8 cannot carry, as U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


_client_ids: TextCache[str, bytes] = TextCache(_text)


def encode_user(entry: UserEntry) -> bytes:
    """One element of `Users` as compact JSON; `AAM_Regions` is left out where no region is known."""
    return b"".join(
        (
            b'{"AAM_UUID":',
            _text(entry.uuid),
            b',"DataPartner_UUID":',
            _text(entry.partner_id),
            b",",
            _regions[entry.regions],
            b'"Segments":[',
            b",".join([_segments[s.alias, s.active, s.verified_ts] for s in entry.segments]),
            b"]}",
        )
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

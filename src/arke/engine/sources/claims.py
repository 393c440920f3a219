"""What is decided of the messages of a partition that are under way, as it is kept: whose each event is.

It is kept before anything of a message is appended. Whoever reads the message again does the same: the event goes
to the same device under the same name, and so counts once, though its id belongs to another device by then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from arke.domain.event import DeclaredId
from arke.domain.identity import Housed
from arke.engine.identity import Resolved

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

Key = tuple[int, str]


class Place(NamedTuple):
    """An event in a partition: the offset of its message, and its number there."""

    offset: int
    item: int


class _Kept(msgspec.Struct, frozen=True, array_like=True):
    """A `Resolved`, as far as it matters to senders with a token."""

    uuid: str
    ids: tuple[DeclaredId, ...] = ()
    arriving: tuple[Key, ...] = ()
    homes: tuple[Housed, ...] = ()
    joined: tuple[Key, ...] = ()
    edition: int = 0


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(dict[int, dict[int, _Kept]]).decode


class Claim:
    """What is decided of events that are under way, by their places, the first of it at `since` (epoch seconds).
    `changed`: it is not kept as it is.
    """

    def __init__(self, kept: bytes = b"", since: int = 0) -> None:
        self.since = since
        self.changed = False
        self._decided: dict[Place, Resolved] = {}
        for offset, items in (_decode(kept) if kept else {}).items():
            for item, one in items.items():
                self._decided[Place(offset, item)] = Resolved(
                    one.uuid,
                    one.ids,
                    one.arriving,
                    homes=one.homes,
                    joined=one.joined,
                    edition=one.edition,
                )

    def __len__(self) -> int:
        return len(self._decided)

    def get(self, place: Place) -> Resolved | None:
        return self._decided.get(place)

    def add(self, decided: Mapping[Place, Resolved], now: int) -> None:
        if decided:
            self.since = self.since if self._decided else now
            self._decided.update(decided)
            self.changed = True

    def drop_before(self, offset: int) -> None:
        """All before it is done. Of what the reader before had begun more may be left than is read at once here."""
        self._decided = {place: one for place, one in self._decided.items() if place.offset >= offset}

    def encoded(self) -> bytes:
        by_offset: dict[int, dict[int, _Kept]] = {}
        for place, one in self._decided.items():
            kept = _Kept(one.uuid, one.ids, tuple(one.arriving), one.homes, tuple(one.joined), one.edition)
            by_offset.setdefault(place.offset, {})[place.item] = kept
        return _encode(by_offset)


class Claiming:
    """See `Decisions`: those of a call `now` about events at these places. `keep` makes the claim durable."""

    def __init__(
        self, claim: Claim, places: Sequence[Place], now: int, keep: Callable[[], Awaitable[None]]
    ) -> None:
        self._claim = claim
        self._now = now
        self._places = places
        self._keep = keep

    def known(self, number: int) -> Resolved | None:
        return self._claim.get(self._places[number])

    async def keep(self, decided: Mapping[int, Resolved]) -> None:
        self._claim.add({self._places[number]: one for number, one in decided.items()}, self._now)
        if self._claim.changed:
            await self._keep()
            self._claim.changed = False

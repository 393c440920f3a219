"""What the public door may do to ids, where anybody may be asking (decision 0023)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from arke.domain.event import NOTHING_WITHHELD, Withheld
from arke.domain.time import DAY_S
from arke.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.domain.event import DeclaredId
    from arke.domain.identity import IdKey, Owner
    from arke.engine.identity.mappings import Mappings
    from arke.engine.identity.people import Sources

TAKEOVERS_PER_DEVICE: Final = 10
"""Ids of other devices that a device may come to have a UTC day at the public door, unless settings say so."""
LOGGED_EVERY_S: Final = 60
"""Between two lines of the log about takeovers that were refused."""

log = get_logger("identity")


class PublicDoor:
    """Ids of data sources that only a token may declare are read and never linked, nor is any other to a device
    that such an id led to; and a device comes to have only so many ids of others a day. `refused` counts since the
    start.
    """

    def __init__(self, mappings: Mappings, takeovers_per_device: int) -> None:
        self._mappings = mappings
        self._takeovers_per_device = takeovers_per_device
        self._logged_at = -LOGGED_EVERY_S
        self.refused = 0

    def grant(
        self,
        ids: Sequence[DeclaredId],
        owners: Sequence[Owner | None],
        uuid: str,
        now: int,
        sources: Sources,
        *,
        closed: bool,
    ) -> tuple[Sequence[DeclaredId], Sequence[Owner | None], Withheld]:
        """The ids that a public request may declare, with their owners, and the others. `closed`: the device gets
        no id that it does not have.
        """
        by_token, takeovers = [], []
        granted: list[tuple[DeclaredId, Owner | None]] = []
        for declared, owner in zip(ids, owners, strict=True):
            key = (declared.dpid, declared.id)
            foreign = owner is not None and owner.uuid != uuid
            if key[0] in sources.by_token or (closed and (owner is None or foreign)):
                by_token.append(declared)
            elif foreign and not self._may_take(uuid, key, now, sources):
                takeovers.append(declared)
            else:
                granted.append((declared, owner))
        if not by_token and not takeovers:
            return ids, owners, NOTHING_WITHHELD
        withheld = Withheld(ids=tuple(by_token), takeovers=tuple(takeovers))
        return [one for one, _ in granted], [owner for _, owner in granted], withheld

    def _may_take(self, uuid: str, key: IdKey, now: int, sources: Sources) -> bool:
        """Whether an id may come to this device though it leads to another; counts it if so. Between the devices
        of one person it goes back and forth freely.
        """
        memory, today = self._mappings.memory, (uuid, now // DAY_S)
        if key[0] in sources.cross_device and (*key, uuid) in memory.people:
            return True
        if memory.takeovers.get(today, 0) < self._takeovers_per_device:
            self._mappings.count_takeover(today)
            return True
        self.refused += 1
        if now - self._logged_at >= LOGGED_EVERY_S:
            self._logged_at = now
            log.warning("takeovers_refused", since_start=self.refused)
        return False

"""One device, looked up by whoever may see people's data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.domain.catalog import MAX_ID
from arke.domain.digits import whole_number
from arke.domain.ids import is_uuid
from arke.domain.token import LOCAL
from arke.errors import InvalidInput
from arke.operations.explain import Explanation, explain
from arke.shard.protocol import AskProfile, Dossier

if TYPE_CHECKING:
    from arke.engine.shards import Shards
    from arke.operations.engine import Engine

__all__ = ["Explanation", "PeopleOperations", "dossier_of"]


class PeopleOperations:
    """Explains devices. Every look is audited."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def explain(self, uuid: str | None, partner: str | None, *, actor: str = LOCAL) -> Explanation:
        """By UUID, or by `dpid:id`. Raises InvalidInput."""
        found = await self.look_up(uuid, partner)
        who = self._engine.privacy.name_of(partner if partner is not None else found.uuid)
        await self._engine.audit.record(actor, "explained", who)
        return found

    async def look_up(self, uuid: str | None, partner: str | None) -> Explanation:
        """The same without an entry in the audit: for those whose people are made up. Raises InvalidInput."""
        if partner is not None:
            dpid, colon, partner_id = partner.partition(":")
            number = whole_number(dpid, MAX_ID)
            if not colon or number is None or not partner_id:
                raise InvalidInput("this is not DPID:ID, for example 12345:abc")
            owner = await self._engine.identity.owner((number, partner_id))
            if owner is None:
                return Explanation(uuid="", known=False)
            uuid = owner.uuid
        if uuid is None or not is_uuid(uuid):
            raise InvalidInput("a UUID has exactly 38 decimal digits; use --id DPID:ID for a partner id")
        dossier = await dossier_of(self._engine.shards, uuid)
        return explain(self._engine.live.catalog, uuid, dossier)


async def dossier_of(shards: Shards, uuid: str) -> Dossier:
    """Everything kept about one device, by its shard. Raises Unavailable."""
    dossier = await shards.ask_about(uuid, AskProfile(uuid))
    if not isinstance(dossier, Dossier):
        raise InvalidInput("the shard gave no answer")
    return dossier

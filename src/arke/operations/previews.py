"""What a destination would be told about one person now: the messages themselves. Nothing is sent or stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from arke.catalog.consequences import retired
from arke.delivery.authentication import AUTHORIZATION
from arke.delivery.body import BodyBuilder
from arke.delivery.channel import Channel, Message
from arke.delivery.refusals import HIDDEN
from arke.delivery.sender import TOO_LARGE, fitting_in
from arke.delivery.signing import WEBHOOK_HEADERS
from arke.domain.message_body import encode_user
from arke.domain.stored_profile import decode_profile, encode_profile
from arke.domain.token import LOCAL
from arke.errors import InvalidInput, SecretUnresolved
from arke.evaluation.compiled import CompiledCatalog
from arke.evaluation.evaluate import pass_time
from arke.operations.destinations import no_destination
from arke.operations.exchanges import request_shown
from arke.operations.explain import dossier_of, state_of
from arke.operations.outgoing import Preview, Previewed
from arke.shard.protocol import Telling as Side
from arke.telling.routing import route_of
from arke.telling.tellings import tellings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from arke.catalog.destinations import Checkers
    from arke.delivery.authentication import Fields
    from arke.delivery.channel import Wire
    from arke.delivery.secrets import Confinement
    from arke.domain.catalog import Catalog, Destination
    from arke.domain.profile import Profile
    from arke.operations.engine import Engine
    from arke.operations.explain import PeopleOperations
    from arke.operations.outgoing import Occasion, PreviewAsk
    from arke.shard.protocol import Dossier
    from arke.telling.records import Route, Telling

PREVIEW_ID: Final = "preview"
"""The id of a message that is not sent."""
MADE_LATER: Final = "(made when it is sent)"
"""Stands for a signature under a catalog that is not in force: whoever may look must not have texts of his choice
signed.
"""


class PreviewOperations:
    """Builds messages to look at. Every look is audited, as `explain` is."""

    def __init__(
        self,
        engine: Engine,
        people: PeopleOperations,
        wire: Wire,
        checkers: Checkers,
        confinement: Confinement,
    ) -> None:
        """`wire` is where secrets come from. `confinement`: what a catalog from the network may refer to."""
        self._engine = engine
        self._people = people
        self._wire = wire
        self._checkers = checkers
        self._confined = checkers._replace(confined=confinement)

    async def preview(
        self, number: int, ask: PreviewAsk, *, actor: str = LOCAL, from_afar: bool = False
    ) -> Preview:
        """Raises NotFound, InvalidInput, CatalogError for a catalog that could not be applied, Unavailable."""
        catalog = self._engine.live.catalog if ask.catalog is None else await self._edited(ask, from_afar)
        destination = next((one for one in catalog.destinations if one.id == number), None)
        if destination is None:
            raise no_destination(number)
        found = await self._people.look_up(ask.uuid, ask.id)
        who = self._engine.privacy.name_of(ask.id if ask.id is not None else found.uuid)
        await self._engine.audit.record(actor, "previewed", f"destination {number}: {who}")
        occasion: Occasion = ask.occasion or ("realtime" if destination.realtime else "batch")
        dossier = await dossier_of(self._engine.shards, found.uuid) if found.known else None
        if dossier is None or dossier.profile is None:
            why = found.why or "nobody is known by this id"
            return Preview(number, False, ask.catalog is not None, occasion, "unknown", why, [])
        now = int(self._engine.clock.now())
        gone = await self._gone(catalog)
        profile, changes = dossier.profile, dict[int, int]()
        if ask.catalog is not None:
            profile, changes = await self._engine.compiler.run(_evaluated, catalog, profile, now)
        segments = {segment.id: segment for segment in catalog.segments}
        route = route_of(destination, segments, gone.get(number, {}), 0, now)
        look = _Look(route, profile, dossier, occasion)
        state, why = state_of(destination, profile, look.side(), look.rows)
        signs = ask.catalog is None
        messages = [self._shown(destination, one, signs=signs) for one in look.messages(now)]
        return Preview(number, True, not signs, occasion, state, why, messages, changes)

    async def _edited(self, ask: PreviewAsk, from_afar: bool) -> Catalog:
        from arke.catalog.load import examine_text

        checkers = self._confined if from_afar else self._checkers
        examined = await self._engine.compiler.run(
            examine_text, ask.catalog or "", name="catalog", base_dir=None, checkers=checkers
        )
        return examined.loaded().catalog

    async def _gone(self, catalog: Catalog) -> Mapping[int, Mapping[str, int]]:
        """The aliases that only earlier catalogs mapped."""
        live = self._engine.live
        stored = await self._engine.directory.catalogs.get(live.version) if live.version else None
        before = {} if stored is None else stored.retired
        return before if catalog is live.catalog else retired(live.catalog, catalog, before)

    def _shown(self, destination: Destination, built: _Built, *, signs: bool) -> Previewed:
        channel = Channel(destination, self._wire, self._engine.clock)
        at = self._engine.clock.now()
        message = Message(destination, PREVIEW_ID, built.kind, built.body, at, built.users)
        problem = built.problem
        try:
            fields = channel.sign(message) if signs else _unsigned(destination)
        except (SecretUnresolved, InvalidInput) as error:
            fields, problem = _unsigned(destination), problem or str(error)
        if destination.oauth2 is not None:
            fields = [(AUTHORIZATION, HIDDEN), *fields]
        request = channel.request(message, fields)
        return Previewed(request_shown(destination, request, built.users, built.dpid), problem)


class _Built(NamedTuple):
    """A message's body."""

    dpid: int
    kind: str
    users: int
    body: bytes
    problem: str | None


class _Look:
    """One person as one destination would be told of them."""

    def __init__(self, route: Route, profile: Profile, dossier: Dossier, occasion: Occasion) -> None:
        self._route = route
        self._profile = profile
        self._dossier = dossier
        self._occasion = occasion
        number = route.destination.id
        self.rows = [row for row in dossier.ledger if row.destination == number]
        ledger = {(row.dpid, row.id): row.entry for row in self.rows}
        self._tellings: list[Telling] = []
        if ledger or profile.opted_out or route.samples(profile.uuid):
            found = tellings(route, profile, ledger, asked=occasion)
            self._tellings = [one for one in found if one.entry.segments]

    def side(self) -> Side:
        """How the destination stands with the person, as the shard would say under this route."""
        number = self._route.destination.id
        known = next((one for one in self._dossier.tellings if one.destination == number), None)
        side = known or Side(number, False, None, None, 0, None, True, {})
        would = {
            f"{one.dpid}:{one.id}": {state.alias: int(state.active) for state in one.entry.segments}
            for one in self._tellings
        }
        return msgspec.structs.replace(
            side, sampled=self._route.samples(self._profile.uuid), would_tell=would
        )

    def messages(self, at: float) -> Iterator[_Built]:
        """One message an id type, or several where not all users may be in one."""
        most = self._route.destination.max_users_per_request
        for dpid in dict.fromkeys(one.dpid for one in self._tellings):
            users = [one for one in self._tellings if one.dpid == dpid]
            for start in range(0, len(users), most):
                yield from self._built(dpid, users[start : start + most], at)

    def _built(self, dpid: int, users: Sequence[Telling], at: float) -> Iterator[_Built]:
        destination = self._route.destination
        kind = "realtime" if self._occasion == "realtime" else "batch"
        try:
            body = BodyBuilder().build(
                destination, dpid, users, [encode_user(one.entry) for one in users], at
            )
        except InvalidInput as error:  # a template that does not come to an end of this person's data
            yield _Built(dpid, kind, len(users), b"", str(error))
            return
        fitting = fitting_in(destination, body, len(users))
        if 0 < fitting < len(users):
            for start in range(0, len(users), fitting):
                yield from self._built(dpid, users[start : start + fitting], at)
            return
        yield _Built(dpid, kind, len(users), body, None if fitting else TOO_LARGE)


def _evaluated(catalog: Catalog, profile: Profile, now: int) -> tuple[Profile, dict[int, int]]:
    """A person as they would be under another catalog, and the memberships that differ from today's."""
    will = decode_profile(encode_profile(profile))
    pass_time(CompiledCatalog(catalog), will, now)
    before = {number: membership.status for number, membership in profile.segments.items()}
    after = {number: membership.status for number, membership in will.segments.items()}
    moved = {
        number: after.get(number, 0)
        for number in before.keys() | after.keys()
        if before.get(number, 0) != after.get(number, 0)
    }
    return will, dict(sorted(moved.items()))


def _unsigned(destination: Destination) -> Fields:
    """The header fields that are made of secrets, without what they hold."""
    names = [one.name for one in destination.headers if one.secret]
    names += [name for one in destination.signatures for name in (one.header, one.timestamp_header) if name]
    if destination.basic_auth is not None:
        names.insert(0, AUTHORIZATION)
    if destination.standard_webhooks is not None:
        names += WEBHOOK_HEADERS
    return [(name, MADE_LATER) for name in names]

"""The engine: intake resolves a device, hands its events to the device's shard, and answers when durable.

The same class serves a running engine (shards in processes of their own), commands that open the store
themselves, tests, and `simulate` (one shard in memory on virtual time).
"""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from functools import partial
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import msgspec

from arke import tokens
from arke.catalog import stored as stored_form
from arke.catalog.consequences import retired
from arke.catalog.loose_rule import check_loose_rule
from arke.catalog.plan import Plan, plan
from arke.domain.catalog import GLOBAL_DATA_SOURCES, Catalog
from arke.domain.event import NOTHING_WITHHELD, Accepted, Event
from arke.engine.batches import LOOK_EVERY_S, Batches
from arke.engine.estimate import Estimate, estimate_from
from arke.engine.forecast import Forecast, forecast_from, question
from arke.engine.joins import Joins
from arke.engine.moves import Handovers
from arke.errors import EventError, InvalidInput, Overloaded, ShardDown, StoreUnavailable, Unavailable
from arke.intake.room import Room
from arke.log import get_logger
from arke.privacy.fulfilment import Privacy
from arke.privacy.request import Asked
from arke.shard.commands import (
    Failed,
    Link,
    Onboard,
    Readmit,
    Replay,
    Replayed,
    Seen,
    Sight,
)
from arke.shard.protocol import (
    AskEstimate,
    AskStatus,
    Drain,
    Estimated,
    Forecasted,
    Prepare,
    Results,
    ShardStatus,
    Submit,
    Switch,
)
from arke.storage.ports.directory import StoredCatalog

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from arke.clock import Clock
    from arke.domain.event import DeclaredId, IncomingEvent, Withheld
    from arke.domain.identity import IdKey
    from arke.engine.file_desk import Loading
    from arke.engine.identity import Identity, Resolved
    from arke.intake.room import Place
    from arke.shard.commands import Command, Result
    from arke.shard.protocol import Request, Response, ShardPort
    from arke.storage.committer import Committer
    from arke.storage.ports.directory import Directory


P = ParamSpec("P")
T = TypeVar("T")

MAX_IN_FLIGHT = 50_000
"""Commands on their way to shards; beyond it whoever sends more is told to come again."""
LIVE_FOR_S = 2.0
"""How long after an event the next one is expected."""
WATCH_EVERY_S = 0.5
REPLAY_PAGE = 1_000
STORE_PAUSE_S = 1.0

log = get_logger("engine")


class Applied(msgspec.Struct, frozen=True):
    """What applying a catalog did, or would do. `version` is None for a dry run or an empty plan."""

    plan: Plan
    version: int | None
    forecast: Forecast


class Engine:
    """Intake and operations over all shards."""

    def __init__(
        self,
        directory: Directory,
        identity: Identity,
        shards: Sequence[ShardPort],
        *,
        clock: Clock,
        committer: Committer,
        compiler: Committer,
        batch_look_every_s: float | None = LOOK_EVERY_S,
    ) -> None:
        self.directory = directory
        self.identity = identity
        self.shards = shards
        self._clock = clock
        self._committer = committer
        self._compiler = compiler
        self._applying = asyncio.Lock()
        self._down: set[int] = set()
        self._directory_failed = False
        self._in_flight = 0
        self.room = Room()
        self._taken_at = 0.0
        self._handovers = Handovers(identity, clock, self._one)
        self.batches = Batches(
            directory, shards, clock=clock, write=self.write, look_every_s=batch_look_every_s
        )
        self.privacy = Privacy(
            directory,
            identity,
            shards,
            clock=clock,
            committer=committer,
            ask=self._one,
            shard_of=self.shard_number,
            catalog=lambda: self.catalog,
        )
        self.joins = Joins(directory.files, committer, clock, self._one)
        self.loading: Loading | None = None
        self._watcher: asyncio.Task[None] | None = None
        stored = directory.catalog()
        self.catalog_version = stored.version if stored is not None else 0
        self.catalog = stored_form.from_json(stored.body) if stored is not None else Catalog()
        self._learn(self.catalog)

    def _learn(self, catalog: Catalog) -> None:
        """What the intake needs to know of the catalog."""
        self.catalog = catalog
        declared = {source.id for source in catalog.data_sources}
        addressed = {dpid for destination in catalog.destinations for dpid in destination.user_dpids}
        self._known_dpids = (declared | addressed | GLOBAL_DATA_SOURCES) - {0}
        self._codes = {
            source.integration_code: source.id
            for source in catalog.data_sources
            if source.integration_code is not None
        } | {f"DSID_{dpid}": dpid for dpid in GLOBAL_DATA_SOURCES}
        self._external = {segment.id: segment.external for segment in catalog.segments}
        self._tellable = frozenset(trait.id for trait in catalog.traits if trait.d_sid)
        self.identity.know(
            frozenset(source.id for source in catalog.data_sources if source.kind == "cross_device"),
            frozenset(source.id for source in catalog.data_sources if source.declared_by == "token"),
        )

    async def recover(self) -> None:
        """Go on with what a crash left half done. Call before taking events."""
        self._handovers.follow()
        await self.batches.follow_catalog(self.catalog)
        self.joins.follow()

    def watch(self) -> None:
        """Keep an eye on shards that failed, so that `ready` turns true again by itself."""
        self._watcher = asyncio.create_task(self._watch(), name="engine-watch")

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(WATCH_EVERY_S)
            for number in tuple(self._down):
                with contextlib.suppress(Unavailable):
                    status = await self.shards[number].call(AskStatus())
                    if isinstance(status, ShardStatus) and status.ready:
                        self._down.discard(number)
            if self._directory_failed:
                with contextlib.suppress(Unavailable):
                    await self.write(self.directory.try_writing)
                    self._directory_failed = False

    async def stop(self) -> None:
        if self._watcher is not None:
            self._watcher.cancel()
        await self.batches.stop()
        await self.privacy.stop()
        await self._handovers.stop()
        await self.joins.stop()
        for shard in self.shards:
            await shard.stop()
        self._committer.close()
        self._compiler.close()
        self.directory.close()

    # --- intake: see arke.intake.ports.Ingest -----------------------------------------------------------

    def integration_codes(self) -> Mapping[str, int]:
        return self._codes

    def known_dpid(self, dpid: int) -> bool:
        return dpid in self._known_dpids

    def only_by_token(self, dpid: int) -> bool:
        return self.identity.only_by_token(dpid)

    def authorize(self, token: str | None, scope: str) -> str:
        """The id of the token, which carries the scope. Raises Unauthorized."""
        return tokens.authorize(self.directory.tokens, token, scope, self._clock.now()).id

    def ready(self) -> bool:
        return not self._down and not self._directory_failed

    async def enter(self, events: int, *, going_on: bool = False) -> Place:
        self._refuse_if_all_down()
        return await self.room.enter(events, going_on=going_on)

    def _refuse_if_all_down(self) -> None:
        """Before an id is looked at: what is refused leaves nothing behind. Raises StoreUnavailable.

        Without somebody who looks whether a shard is back every event has to try.
        """
        if len(self._down) == len(self.shards) and self._watcher is not None:
            raise StoreUnavailable("nothing can be stored right now: see /readyz")

    def _new_device(self) -> str:
        """A device of a shard that is there."""
        while self.shard_number(uuid := self.identity.new_device()) in self._down:
            continue
        return uuid

    async def ingest(
        self, events: Sequence[IncomingEvent], place: Place | None = None
    ) -> list[Accepted | EventError]:
        if place is not None:
            return await self._ingest(events)
        with await self.enter(len(events)):
            return await self._ingest(events)

    async def _ingest(self, events: Sequence[IncomingEvent]) -> list[Accepted | EventError]:
        self._refuse_if_all_down()
        self._taken_at = self._clock.now()
        now = int(self._taken_at)
        answers: list[Accepted | EventError | None] = [None] * len(events)
        waiting: dict[int, list[tuple[int, Sight]]] = {}
        reserved: dict[int, tuple[bool, Withheld]] = {}
        for number, incoming in enumerate(events):
            problem = self._problem(incoming, now)
            if problem is not None:
                answers[number] = problem
                continue
            uuid = incoming.uuid
            if self._down and self._watcher is not None:
                device = uuid or self.identity.about(incoming.ids)
                if device is None:
                    uuid = self._new_device()
                elif self.shard_number(device) in self._down:
                    # Before an id is linked: what is refused leaves nothing behind.
                    answers[number] = EventError("shard_down", "not stored, send it again: its shard is away")
                    continue
            resolved = self.identity.resolve(uuid, incoming.ids, now, public=incoming.public)
            if resolved.suppressed:
                answers[number] = Accepted(uuid=resolved.uuid, opted_out=True)
                continue
            withheld = resolved.withheld
            if left_out := self._left_out(incoming):
                withheld = msgspec.structs.replace(withheld, traits=left_out)
            if incoming.public and (resolved.by_id or withheld is not NOTHING_WITHHELD):
                reserved[number] = resolved.by_id, withheld
            sight = Sight(self._event(incoming, resolved, now, left_out), resolved.arriving)
            waiting.setdefault(self.shard_number(resolved.uuid), []).append((number, sight))
        await self._dispatch(waiting, answers)
        for number, (by_id, withheld) in reserved.items():
            if isinstance(answer := answers[number], Accepted):
                answers[number] = msgspec.structs.replace(answer, by_id=by_id, withheld=withheld)
        return [answer for answer in answers if answer is not None]

    def _left_out(self, incoming: IncomingEvent) -> tuple[int, ...]:
        """The traits that it tells at the public door and not just anybody may tell."""
        if not incoming.public:
            return ()
        return tuple(trait for trait in incoming.traits if trait not in self._tellable)

    def _problem(self, incoming: IncomingEvent, now: int) -> EventError | None:
        for declared in incoming.ids:
            if declared.dpid not in self._known_dpids:
                return EventError("unknown_data_source", f"no data source {declared.dpid} in the catalog")
        for segment_id in incoming.memberships:
            external = self._external.get(segment_id)
            if external is None:
                return EventError("unknown_segment", f"no segment {segment_id} in the catalog")
            if not external:
                return EventError(
                    "not_external", f"segment {segment_id} has a rule: its membership is computed, not told"
                )
        if incoming.ts is not None and incoming.ts > now + 300:
            return EventError("bad_ts", "ts lies more than 5 minutes ahead")
        return None

    def _event(self, incoming: IncomingEvent, resolved: Resolved, now: int, left_out: Sequence[int]) -> Event:
        return Event(
            uuid=resolved.uuid,
            at=now,
            ts=min(now, incoming.ts) if incoming.ts is not None else now,
            ids=resolved.ids,
            signals=incoming.signals,
            traits=tuple(trait for trait in incoming.traits if trait not in left_out)
            if left_out
            else incoming.traits,
            memberships=incoming.memberships,
            region=incoming.region,
            trait_source=incoming.trait_source,
        )

    async def _dispatch(
        self, waiting: dict[int, list[tuple[int, Sight]]], answers: list[Accepted | EventError | None]
    ) -> None:
        """Make new identities durable, then the events, all shards at once."""
        if not waiting:
            return
        await self.settle_identities()
        parts = list(waiting.items())
        waiting.clear()
        outcomes = await asyncio.gather(
            *(self._send(shard, [sight for _, sight in sights]) for shard, sights in parts),
            return_exceptions=True,
        )
        failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        if len(failures) == len(parts) and all(answer is None for answer in answers):
            raise failures[0]
        for (_, sights), outcome in zip(parts, outcomes, strict=True):
            if isinstance(outcome, (Unavailable, Overloaded)):
                # The other shards have stored theirs: only these are to be sent again.
                for number, _ in sights:
                    answers[number] = EventError(outcome.code, f"not stored, send it again: {outcome}")
            elif isinstance(outcome, BaseException):
                raise outcome
            else:
                for (number, _), result in zip(sights, outcome, strict=True):
                    answers[number] = _answer(result)

    async def settle_identities(self) -> None:
        """Make new mappings durable and follow them. Raises StoreUnavailable."""
        try:
            await self.identity.flush()
        except StoreUnavailable:
            self._directory_failed = True
            raise
        if self.identity.moving:
            self._handovers.follow()
        if self.identity.joined:
            self.identity.joined = False
            self.joins.follow()

    @property
    def live(self) -> bool:
        """Whether events are coming in: work that can wait then keeps out of their way."""
        return self._clock.now() - self._taken_at < LIVE_FOR_S

    async def submit(self, shard: int, commands: Sequence[Command]) -> list[Result]:
        """Commands of one shard's devices, in one group; answered when durable. Raises Overloaded, Unavailable."""
        if self._in_flight + len(commands) > MAX_IN_FLIGHT:
            raise Overloaded(f"{self._in_flight} commands are under way: try again shortly")
        return await self._send(shard, commands)

    async def _send(self, shard: int, commands: Sequence[Command]) -> list[Result]:
        self._in_flight += len(commands)
        back = self._readmissions(commands)
        try:
            response = await self.shards[shard].call(Submit([*back, *commands]))
        except Unavailable:
            self._down.add(shard)
            raise
        finally:
            self._in_flight -= len(commands)
        if not isinstance(response, Results):
            raise StoreUnavailable(f"shard {shard} gave no results")
        for one, result in zip(back, response.results, strict=False):
            if not isinstance(result, Failed):
                self.identity.readmitted(one.uuid)
        return response.results[len(back) :]

    def _readmissions(self, commands: Sequence[Command]) -> list[Readmit]:
        """Devices among these whose suppression was lifted: their shards still have them as opted out, since a lift
        knows them by their keyed hashes only.
        """
        if not self.identity.any_lifted:
            return []
        uuids = {
            command.event.uuid if isinstance(command, Sight) else command.uuid
            for command in commands
            if isinstance(command, (Sight, Onboard, Link))
        }
        lifted = ((uuid, self.identity.lifted_at(uuid)) for uuid in sorted(uuids))
        return [Readmit(uuid, at) for uuid, at in lifted if at is not None]

    async def _one(self, uuid: str, command: Command) -> Result:
        (result,) = await self.submit(self.shard_number(uuid), [command])
        if isinstance(result, Failed):
            raise StoreUnavailable(result.message)
        return result

    def shard_number(self, uuid: str) -> int:
        """Which shard a device lives in."""
        return zlib.crc32(uuid.encode()) % len(self.shards)

    async def opt_out(self, uuid: str | None, ids: tuple[DeclaredId, ...], *, public: bool) -> Accepted:
        keys = tuple((declared.dpid, declared.id) for declared in ids) if uuid is None else ()
        asked = Asked("opt_out", (uuid,) if uuid is not None else (), keys, public)
        devices = [uuid] if uuid is not None else [one for key in keys for one in self.devices_of(key)[:1]]
        await self.privacy.request([asked])
        return Accepted(uuid=devices[0] if devices else "", opted_out=True)

    # --- operations -------------------------------------------------------------------------------------

    async def apply(self, catalog: Catalog, *, dry_run: bool = False, note: str = "") -> Applied:
        """Switch to another catalog: prepared on every shard, stored, then switched everywhere.

        Nothing changes if any shard cannot take it. Whom it moves is forecast between the first two steps;
        a dry run ends there.
        """
        async with self._applying:
            steps = await self._compiler.run(plan, self.catalog if self.catalog_version else None, catalog)
            if steps.empty and self.catalog_version:
                return Applied(steps, None, Forecast.nothing(await self._stored()))
            body = await self._compiler.run(stored_form.to_json, catalog)
            stored = self._next_version(catalog, body, steps, note)
            request = Prepare(stored.version, stored.body, stored.mapping_versions, stored.retired)
            await asyncio.gather(*(shard.call(request) for shard in self.shards))
            forecast = await self._forecast(request, steps, catalog, keep=not dry_run)
            if dry_run:
                return Applied(steps, None, forecast)
            await self._committer.run(self.directory.add_catalog, stored)
            try:
                await asyncio.gather(*(self._switch(shard, request) for shard in self.shards))
            finally:  # the next edit goes by what is stored, whatever became of this one
                self.catalog_version = stored.version
                self._learn(catalog)
            await _insist(partial(self.batches.follow_catalog, catalog))
            return Applied(steps, stored.version, forecast)

    async def _switch(self, shard: ShardPort, request: Prepare) -> None:
        """A shard that goes away returns with what is stored."""
        try:
            await _insist(partial(self._ask_prepared, shard, request, Switch(request.version)))
        except ShardDown:
            return

    async def _ask_prepared(self, shard: ShardPort, prepared: Prepare, request: Request) -> Response:
        """Ask a shard about a catalog it was told to prepare."""
        try:
            return await shard.call(request)
        except InvalidInput:  # it went away and came back between the two steps
            await shard.call(prepared)
            return await shard.call(request)

    async def _forecast(self, prepared: Prepare, steps: Plan, catalog: Catalog, *, keep: bool) -> Forecast:
        """Whom a prepared catalog would move, asked of all shards at once."""
        ask = question(steps, prepared.version, keep=keep)
        answers = await asyncio.gather(*(self._ask_prepared(shard, prepared, ask) for shard in self.shards))
        parts = [part for part in answers if isinstance(part, Forecasted)]
        return await self._compiler.run(forecast_from, parts, self.catalog, catalog, len(ask.moving))

    async def _stored(self) -> int:
        parts = await self.ask_all(AskStatus())
        return sum(part.profiles for part in parts if isinstance(part, ShardStatus))

    def _next_version(self, catalog: Catalog, body: bytes, steps: Plan, note: str) -> StoredCatalog:
        before = self.directory.catalog()
        known = before.mapping_versions if before is not None else {}
        version = self.catalog_version + 1
        versions = {
            destination.id: version
            if destination.id in steps.mapping_changed or destination.id not in known
            else known[destination.id]
            for destination in catalog.destinations
        }
        gone = retired(self.catalog, catalog, before.retired if before is not None else {})
        return StoredCatalog(version, int(self._clock.now()), body, versions, note, gone)

    async def rollback(self, version: int | None, *, dry_run: bool = False) -> Applied:
        """Apply an earlier catalog again, as a new version. None: the one before the current one."""
        wanted = self.catalog_version - 1 if version is None else version
        stored = self.directory.catalog(wanted) if wanted >= 1 else None
        if stored is None:
            known = ", ".join(str(number) for number, _, _ in self.directory.catalog_versions()) or "none"
            raise InvalidInput(f"there is no catalog version {wanted} to go back to; stored: {known}")
        catalog = stored_form.from_json(stored.body)
        return await self.apply(catalog, dry_run=dry_run, note=f"rollback to {wanted}")

    async def estimate(self, rule: str, limit: int) -> Estimate:
        """How many stored profiles a segment rule would hold now, from up to `limit` of them.

        Raises RuleError, also where the rule names traits that the catalog does not have.
        """
        warnings = await self._compiler.run(check_loose_rule, rule, self.catalog)
        each = -(-limit // len(self.shards))
        parts = [part for part in await self.ask_all(AskEstimate(rule, each)) if isinstance(part, Estimated)]
        return estimate_from(parts, warnings)

    async def replay(self, destination: int | None) -> int:
        """Send what is owed as current state. Returns how many devices are on their way."""
        if destination is not None and all(known.id != destination for known in self.catalog.destinations):
            raise InvalidInput(f"no destination {destination} in the catalog")
        return sum(await asyncio.gather(*(self._replay(n, destination) for n in range(len(self.shards)))))

    async def _replay(self, shard: int, destination: int | None) -> int:
        """Page by page: a long list must not hold up live events."""
        now = int(self._clock.now())
        devices = 0
        after: tuple[int, int] | None = (-1, -1)
        while after is not None:
            (result,) = await self.submit(shard, [Replay(destination, now, after, REPLAY_PAGE)])
            if not isinstance(result, Replayed):
                raise StoreUnavailable("the shard could not read what is owed")
            devices, after = devices + result.devices, result.next
        return devices

    async def drain(self, timeout_s: float) -> None:
        """Wait until every id has arrived, privacy requests have done what they can, and every lane that can
        send has nothing left.
        """
        await self._handovers.settle(timeout_s)
        await self.privacy.settle(timeout_s)
        await self.joins.settle(timeout_s)
        await asyncio.gather(*(shard.call(Drain(timeout_s)) for shard in self.shards))

    async def audit(self, actor: str, action: str, detail: str) -> None:
        """Add to the audit. The log has its end too, without who and what: a cut is found out by it."""
        now = int(self._clock.now())
        end = await self.write(self.directory.audit, now, actor, action, detail)
        log.info("audited", action=action, entries=end.entries, seal=end.seal)

    def log_audit(self) -> None:
        """Say how far the audit goes, and whether it is whole."""
        end = self.directory.audit_end()
        log.info("audit", entries=end.entries, seal=end.seal)
        if not self.directory.audit_intact():
            log.error("audit_broken", entries=end.entries)

    async def write(self, write: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run one of the directory's writes in its turn: it has one writer."""
        return await self._committer.run(write, *args, **kwargs)

    async def ask_all(self, request: Request) -> list[Response]:
        """The same question to every shard."""
        return await asyncio.gather(*(shard.call(request) for shard in self.shards))

    def shard_of(self, uuid: str) -> ShardPort:
        return self.shards[self.shard_number(uuid)]

    def devices_of(self, key: IdKey) -> list[str]:
        """The devices that an id leads to, the newest first."""
        return self.identity.devices(key)

    def is_suppressed(self, text: str) -> bool:
        """Whether a UUID or `dpid:id` is never to be taken again."""
        dpid, colon, partner_id = text.partition(":")
        if colon:
            return self.identity.suppressed_key((int(dpid), partner_id))
        return self.identity.suppressed_uuid(text)

    def device_of(self, dpid: int, partner_id: str) -> str | None:
        owner = self.identity.owner((dpid, partner_id))
        return None if owner is None else owner.uuid


async def _insist(step: Callable[[], Awaitable[object]]) -> None:
    """A catalog that is stored has no way back: where a store refuses what follows from it, it is asked again.
    Raises ShardDown.
    """
    while True:
        try:
            await step()
        except StoreUnavailable as error:
            log.warning("catalog_switch_postponed", code=error.code)
            await asyncio.sleep(STORE_PAUSE_S)
        else:
            return


def _answer(result: Result) -> Accepted | EventError:
    match result:
        case Seen():
            return result.accepted
        case Failed():
            return EventError(result.code, result.message)
        case _:
            return EventError("internal", "the shard answered something else")

"""What operators ask of an engine, as data: the admin API and the commands both speak through this."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from arke import tokens
from arke.catalog.load import LoadedCatalog, parse_catalog
from arke.delivery.confinement import Confinement
from arke.domain.catalog import MAX_ID
from arke.domain.digits import whole_number
from arke.domain.ids import is_uuid
from arke.domain.token import LOCAL
from arke.engine.batches import RunFacts
from arke.engine.estimate import MAX_SAMPLE, SAMPLED_ABOVE, Estimate
from arke.engine.file_desk import Loading
from arke.engine.forecast import SegmentForecast
from arke.errors import InvalidInput
from arke.operations.explain import Explanation, explain
from arke.operations.privacy import PrivacyOperations
from arke.shard.protocol import AskOwed, AskProfile, AskStatus, Dossier, OwedDevice, OwedPage, ShardStatus
from arke.storage.ports.audit import AuditEnd, AuditEntry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from arke.catalog.destinations import Checkers
    from arke.clock import Clock
    from arke.engine.batches import DestinationBatches
    from arke.engine.catalog_switch import Applied
    from arke.operations.engine import Engine

OWED_PAGE = 500


class AppliedReport(msgspec.Struct, frozen=True):
    """What applying a catalog did or would do, as lines for people and figures for programs.

    `profiles` are concerned, `profiles_moved` enter or leave a segment, of `profiles_stored`: counted if
    `profiles_exact`, otherwise estimated from `profiles_looked_at`. `segments` are those that may have moved;
    `alarms` say what somebody should know before it is applied.
    """

    version: int | None
    dry_run: bool
    lines: list[str]
    warnings: list[str]
    alarms: list[str]
    profiles: int
    profiles_moved: int
    profiles_looked_at: int
    profiles_stored: int
    profiles_exact: bool
    segments: list[SegmentForecast]


class DestinationStatus(msgspec.Struct):
    """One destination over all shards. Latencies from accepted event to acknowledgement, in ms; `batch` is the
    newest run.
    """

    id: int
    name: str
    messages: int = 0
    acknowledged: int = 0
    users: int = 0
    users_acknowledged: int = 0
    retries: int = 0
    nothing_to_tell: int = 0
    owed: int = 0
    backlog: int = 0
    circuit: str = "closed"
    answers: dict[str, int] = {}
    p50_ms: float | None = None
    p99_ms: float | None = None
    batch: RunFacts | None = None


class Status(msgspec.Struct, frozen=True):
    """The engine's health and figures. Counters since it started, `profiles` of all time; `backfilled` is the
    share of stored profiles that were evaluated under the catalog in force. `under_way` are events that were let in
    and are not answered, of `room` at present; `refused` got 429. `loading` is the data file under way.
    `takeovers_refused`: ids that stayed with their device, for another had taken as many as it may a day.
    `privacy_requests_large` counts privacy requests about suspiciously many ids.
    `audit`: how many entries the audit has, and the seal of the last.
    """

    ready: bool
    catalog_version: int
    shards: int
    profiles: int
    events: int
    changes: int
    queued: int
    backfilled: float
    destinations: list[DestinationStatus]
    loading: Loading | None = None
    under_way: int = 0
    room: int = 0
    refused: int = 0
    takeovers_refused: int = 0
    privacy_requests_large: int = 0
    audit: AuditEnd | None = None


class TokenFacts(msgspec.Struct, frozen=True):
    """A token without its secret. Times in epoch seconds."""

    id: str
    name: str
    scopes: list[str]
    created: int
    expires: int | None
    revoked: int | None


class NewToken(msgspec.Struct, frozen=True):
    """The only time a token's secret is shown."""

    id: str
    secret: str
    scopes: list[str]
    expires: int | None


class AuditReport(msgspec.Struct, frozen=True):
    """What operators did, oldest first, and whether the chain of seals is whole."""

    intact: bool
    entries: list[AuditEntry]


class Operations:
    """Operations over one engine. Every change, and every look at people, is audited with its `actor`: a token's
    id, or `local`.
    """

    def __init__(
        self, engine: Engine, clock: Clock, checkers: Checkers, confinement: Confinement | None = None
    ) -> None:
        """`confinement`: what a catalog from the network may refer to."""
        self._engine = engine
        self._clock = clock
        self._checkers = checkers
        self._confined = checkers._replace(confined=confinement or Confinement())
        self.privacy = PrivacyOperations(engine, self._audit)

    async def status(self) -> Status:
        parts = [
            part
            for part in await self._engine.shards.ask_all(AskStatus(latencies=True))
            if isinstance(part, ShardStatus)
        ]
        return Status(
            ready=self._engine.events.ready() and all(part.ready for part in parts),
            catalog_version=self._engine.live.version,
            shards=len(parts),
            profiles=sum(part.profiles for part in parts),
            events=sum(part.events for part in parts),
            changes=sum(part.changes for part in parts),
            queued=sum(part.queued for part in parts),
            backfilled=min(part.backfilled for part in parts),
            destinations=await self._destinations(parts),
            loading=self._engine.files.loading,
            under_way=self._engine.events.room.taken,
            room=self._engine.events.room.bound,
            refused=self._engine.events.room.refused,
            takeovers_refused=self._engine.identity.takeovers_refused,
            privacy_requests_large=self._engine.privacy.large.count,
            audit=await self._engine.directory.audit.end(),
        )

    async def _destinations(self, parts: Sequence[ShardStatus]) -> list[DestinationStatus]:
        found = {
            destination.id: DestinationStatus(destination.id, destination.name)
            for destination in self._engine.live.catalog.destinations
        }
        for run in await self._engine.batches.newest():
            if run.destination in found:  # the catalog may have changed since
                found[run.destination].batch = run
        latencies: dict[int, list[float]] = {}
        for lane in (lane for part in parts for lane in part.lanes):
            status = found.get(lane.destination)
            if status is None:
                continue
            figures = lane.figures
            status.messages += figures.messages
            status.acknowledged += figures.acknowledged
            status.users += figures.users
            status.users_acknowledged += figures.users_acknowledged
            status.retries += figures.retries
            status.nothing_to_tell += figures.nothing_to_tell
            status.owed += lane.owed
            status.backlog += lane.backlog
            status.circuit = "open" if lane.circuit_open else status.circuit
            for answer, count in figures.answers.items():
                status.answers[answer] = status.answers.get(answer, 0) + count
            latencies.setdefault(lane.destination, []).extend(figures.latencies_ms)
        for destination_id, values in latencies.items():
            values.sort()
            if values:
                found[destination_id].p50_ms = values[len(values) // 2]
                found[destination_id].p99_ms = values[min(len(values) - 1, len(values) * 99 // 100)]
        return list(found.values())

    async def explain(self, uuid: str | None, partner: str | None, *, actor: str = LOCAL) -> Explanation:
        """By UUID, or by `dpid:id`. Raises InvalidInput."""
        found = await self.look_up(uuid, partner)
        who = self._engine.privacy.name_of(partner if partner is not None else found.uuid)
        await self._audit(actor, "explained", who)
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
        dossier = await self._engine.shards.ask_about(uuid, AskProfile(uuid))
        if not isinstance(dossier, Dossier):
            raise InvalidInput("the shard gave no answer")
        return explain(self._engine.live.catalog, uuid, dossier)

    async def estimate(self, rule: str, sample: int | None) -> Estimate:
        """How many stored profiles a rule would hold, from at most `sample`. Raises RuleError, InvalidInput."""
        limit = SAMPLED_ABOVE if sample is None else sample
        if not 1 <= limit <= MAX_SAMPLE:
            raise InvalidInput(f"sample must be a number of profiles, 1 to {MAX_SAMPLE:,}")
        return await self._engine.estimator.estimate(rule, limit)

    async def apply(
        self,
        text: str,
        name: str,
        base_dir: Path | None,
        *,
        dry_run: bool = False,
        actor: str = LOCAL,
        from_afar: bool = False,
    ) -> AppliedReport:
        """Validate, plan and apply. Raises CatalogError. `from_afar`: it came over the network."""
        checkers = self._confined if from_afar else self._checkers
        # A large catalog takes seconds to check: meanwhile the intake goes on.
        loaded: LoadedCatalog = await asyncio.to_thread(
            parse_catalog, text, name=name, base_dir=base_dir, checkers=checkers
        )
        applied = await self._engine.catalogs.apply(loaded.catalog, dry_run=dry_run, note=name)
        if applied.version is not None:
            await self._audit(actor, "catalog_applied", f"version {applied.version}")
        return _report(applied, [str(problem) for problem in loaded.warnings], dry_run=dry_run)

    async def rollback(
        self, version: int | None, *, dry_run: bool = False, actor: str = LOCAL
    ) -> AppliedReport:
        applied = await self._engine.catalogs.rollback(version, dry_run=dry_run)
        if applied.version is not None:
            await self._audit(actor, "catalog_rolled_back", f"version {applied.version}")
        return _report(applied, [], dry_run=dry_run)

    async def undelivered(self, destination: int | None, *, actor: str = LOCAL) -> AsyncIterator[OwedDevice]:
        """Everything that is owed, shard by shard. Raises InvalidInput."""
        owed = self.owed(destination)
        first = await anext(owed, None)
        await self._audit(actor, "undelivered_listed", _whom(destination))
        if first is not None:
            yield first
        async for device in owed:
            yield device

    async def owed(self, destination: int | None) -> AsyncIterator[OwedDevice]:
        """The same for whoever only counts."""
        if destination is not None and not self._engine.live.has_destination(destination):
            raise InvalidInput(f"no destination {destination} in the catalog")
        for shard in range(len(self._engine.shards)):
            after: tuple[int, int] | None = (0, -1)
            while after is not None:
                page = await self._engine.shards.ask(shard, AskOwed(destination, after, OWED_PAGE))
                if not isinstance(page, OwedPage):
                    return
                for device in page.devices:
                    yield device
                after = page.next

    async def replay(self, destination: int | None, *, actor: str = LOCAL) -> int:
        devices = await self._engine.undelivered.replay(destination)
        await self._audit(actor, "undelivered_replayed", f"{devices} devices to {_whom(destination)}")
        return devices

    async def batches(self) -> list[DestinationBatches]:
        """Every destination's batches: what ran, what runs, what is due."""
        return await self._engine.batches.status()

    async def batch(self, destination: int, number: int) -> RunFacts:
        """One run, with how far it is. Raises InvalidInput."""
        return await self._engine.batches.run(destination, number)

    async def run_batch(self, destination: int, *, actor: str = LOCAL) -> RunFacts:
        """Begin a batch now; answers at once. Raises InvalidInput, BatchRunning."""
        record = await self._engine.batches.start(destination, "command")
        await self._audit(actor, "batch_begun", f"batch {record.number} of destination {destination}")
        return await self.batch(destination, record.number)

    async def resync(self, destination: int, *, actor: str = LOCAL) -> RunFacts:
        """Begin to send the full current state; answers at once. Raises InvalidInput, BatchRunning."""
        record = await self._engine.batches.start(destination, "resync")
        await self._audit(actor, "resync_begun", f"batch {record.number} of destination {destination}")
        return await self.batch(destination, record.number)

    async def audit(self, after: int = 0, limit: int = 1_000) -> AuditReport:
        audit = self._engine.directory.audit
        return AuditReport(await audit.intact(), await audit.entries(after, limit))

    async def _audit(self, actor: str, action: str, detail: str) -> None:
        await self._engine.audit.record(actor, action, detail)

    async def create_token(
        self, scopes: str, name: str, lifetime_s: int | None, *, actor: str = LOCAL
    ) -> NewToken:
        secret, token = tokens.mint(
            name, scopes.split(","), now=int(self._clock.now()), lifetime_s=lifetime_s
        )
        await self._engine.directory.tokens.add(token)
        await self._audit(actor, "token_created", f"{token.id} with scope {','.join(token.scopes)}")
        return NewToken(token.id, secret, list(token.scopes), token.expires)

    async def list_tokens(self) -> list[TokenFacts]:
        return [
            TokenFacts(t.id, t.name, list(t.scopes), t.created, t.expires, t.revoked)
            for t in await self._engine.directory.tokens.list()
        ]

    async def revoke_token(self, token_id: str, *, actor: str = LOCAL) -> None:
        now = int(self._clock.now())
        await self._engine.directory.tokens.revoke(token_id, now)
        await self._audit(actor, "token_revoked", token_id)


def _whom(destination: int | None) -> str:
    return "all destinations" if destination is None else f"destination {destination}"


def _report(applied: Applied, warnings: list[str], *, dry_run: bool) -> AppliedReport:
    forecast = applied.forecast
    return AppliedReport(
        version=applied.version,
        dry_run=dry_run,
        lines=applied.plan.lines() + forecast.lines(),
        warnings=warnings,
        alarms=forecast.alarms(),
        profiles=forecast.concerned,
        profiles_moved=forecast.moved,
        profiles_looked_at=forecast.looked_at,
        profiles_stored=forecast.stored,
        profiles_exact=forecast.exact,
        segments=forecast.segments,
    )

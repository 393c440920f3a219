"""The engine's health and figures, over all shards."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

import msgspec

from arke.delivery.circuit import CircuitState
from arke.delivery.observer import LATENCIES_KEPT
from arke.domain.time import utc_text
from arke.engine.batches import RunFacts
from arke.engine.file_desk import Loading
from arke.engine.shards import SILENT_S
from arke.engine.sources.reading import Sources, SourceStatus
from arke.errors import ArkeError, ShardDown
from arke.histogram import Histogram
from arke.intake.settings import ConsentRules
from arke.operations.nodes import ClusterFacts, NodeStatus
from arke.shard.protocol import AskStatus, LastRefusal, ShardStatus
from arke.storage.ports.directory import AuditEnd

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from arke.domain.identity import SharedId
    from arke.operations.engine import Engine
    from arke.operations.nodes import ClusterNode
    from arke.shard.protocol import LaneStatus
    from arke.storage.ports.nodes import NodeFigures

NAMES_SHOWN: Final = 100
"""Keys that no rule asks for, and traits that nobody realises: those named."""


_LOOK: Final = "`arke cluster status` says which nodes are there"
LATENCIES: Final = 40_000
"""Of a destination, over all shards: what percentiles are made of."""


def asked_of_each(shards: int) -> AskStatus:
    """What is asked of each of so many shards: the answers of hundreds must not be hundreds of megabytes."""
    return AskStatus(latencies=min(LATENCIES_KEPT, max(50, LATENCIES // shards)), fit=True)


class DestinationStatus(msgspec.Struct):
    """One destination over all shards. Latencies from accepted event to acknowledgement, in ms; `batch` is the
    newest run, `refused` the newest message that was not acknowledged. `circuit` is that of the shard where it is
    worst, `pause_s` for how long the endpoint still wants to be left alone. `owed_next` is when the first of what
    is owed is sent again by itself, at the earliest (RFC 3339); None: nothing is. `sloppy`: answers that were not
    well-formed HTTP, and counted by their status. `unanswered`: attempts that got no answer, and the user entries
    in these: the destination may have taken them in or not.
    """

    id: int
    name: str
    messages: int = 0
    acknowledged: int = 0
    users: int = 0
    users_acknowledged: int = 0
    retries: int = 0
    sloppy: int = 0
    unanswered: int = 0
    users_unanswered: int = 0
    nothing_to_tell: int = 0
    owed: int = 0
    owed_next: str | None = None
    backlog: int = 0
    circuit: CircuitState = "closed"
    pause_s: float = 0.0
    answers: dict[str, int] = {}
    p50_ms: float | None = None
    p99_ms: float | None = None
    batch: RunFacts | None = None
    refused: LastRefusal | None = None


class SharedIds(msgspec.Struct, frozen=True):
    """How many ids of a data source more devices share than may, and how many share the most shared one a day."""

    data_source: int
    ids: int
    devices: int


class Status(msgspec.Struct, frozen=True):
    """The engine's health and figures. Counters since it started; of all time `profiles`, of devices, and
    `people`, whose profiles are apart from their devices'; `backfilled` is the share of stored profiles that
    were evaluated under the catalog in force. `under_way` are events that were let in and are not answered, of
    `room` at present; `refused` got 429. `loading` is the data file under way. `shared_ids`: by data source,
    the ids that very many devices shared on one of the last 7 days. `takeovers_refused`: ids that stayed with
    their device, for another had taken as many as it may a day. `privacy_requests_large` counts privacy
    requests about suspiciously many ids. `refused_by_code` and `ids_dropped` count events that were refused and
    ids that were left out of others, by the code that their senders were answered with. Of `events`, `repeated`
    had an `event_id` that had counted, and `late` were of people who had withdrawn since they were accepted, so
    that nothing was taken of them. `unasked_keys` are names of keys that no rule asks for, those that came
    most first; `parts_left` counts parts of calls of Segment's API that nothing stands for, by name.
    `never_realised` are traits that nobody has realised since their rule is as it is, the first of
    `traits_never_realised`. `sources` are topics of others that events are read from.
    `audit`: how many entries the audit has, and the seal of the last. `consent`: what
    the intake asks for. `away`: shards that did not answer, of which nothing is counted here. Of a `cluster`
    these are the figures of all nodes; it is None where there is one engine.
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
    shared_ids: list[SharedIds] = []
    privacy_requests_large: int = 0
    audit: AuditEnd | None = None
    people: int = 0
    refused_by_code: dict[str, int] = {}
    ids_dropped: dict[str, int] = {}
    parts_left: dict[str, int] = {}
    repeated: int = 0
    late: int = 0
    unasked_keys: list[str] = []
    traits_never_realised: int = 0
    never_realised: list[int] = []
    consent: ConsentRules = ConsentRules()
    sources: list[SourceStatus] = []
    away: list[int] = []
    cluster: ClusterFacts | None = None


class OwnStatus(msgspec.Struct, frozen=True):
    """What a node of a cluster counts itself: so the figures of all nodes add up. Those that are everybody's
    are in the `status` of the node that leads alone. `unowned`: how many shards nobody owns, where the node
    leads.
    """

    status: Status
    node: NodeStatus
    leads: bool
    unowned: int | None


class Scrape(msgspec.Struct, frozen=True):
    """What a scrape of the metrics is made of: `latency` of each destination and `commits` as they were counted
    since the start, and `own` where there is a cluster.
    """

    status: Status
    latency: dict[int, Histogram]
    commits: Histogram
    own: OwnStatus | None = None


class StatusOperations:
    """How an engine is. `node` where it is one of a cluster's."""

    def __init__(
        self, engine: Engine, node: ClusterNode | None = None, sources: Sources | None = None
    ) -> None:
        self._engine = engine
        self._node = node
        self._sources = sources or Sources(engine.directory.sources)

    async def read(self) -> Status:
        """Ask every shard now. Raises Unavailable where none answers."""
        status, _ = await self._read(asked_of_each(len(self._engine.shards)))
        return status

    async def _read(self, each: AskStatus) -> tuple[Status, list[ShardStatus]]:
        engine = self._engine
        answers = await engine.shards.ask_each(each, within_s=SILENT_S)
        parts = [answer for answer in answers if not isinstance(answer, ArkeError)]
        problems = {number: one for number, one in enumerate(answers) if isinstance(one, ArkeError)}
        away = [*problems]
        if not parts:
            raise self._unanswered([*problems.values()])
        status = await self._common(await self._status(parts))
        there = None if self._node is None else await self._node.there()
        status = msgspec.structs.replace(status, sources=await self._sources.status(there))
        ready = status.ready and not away
        if self._node is None:
            status = msgspec.structs.replace(status, shards=len(engine.shards), away=away, ready=ready)
            return status, parts
        status = msgspec.structs.replace(
            _with(status, await self._node.others()),
            shards=len(engine.shards),
            away=away,
            ready=ready and self._node.ready(),
            cluster=await self._node.facts(),
        )
        return status, parts

    def _unanswered(self, problems: Sequence[ArkeError]) -> ArkeError:
        """Why no shard says anything: that nobody owns one is the reason where it is everyone's."""
        met = [one for one in problems if not (isinstance(one, ShardDown) and one.unowned)]
        if met and (self._node is None or not isinstance(met[0], ShardDown)):
            return met[0]
        why = str(met[0]) if met else "no worker owns a shard"
        return ShardDown(f"{why}: {_LOOK}")

    async def ready(self) -> bool:
        """Whether this engine, or this node, does its part. Raises Unavailable."""
        if self._node is not None:
            return self._node.ready()
        status, _ = await self._read(AskStatus())
        return status.ready

    async def scrape(self) -> Scrape:
        """What this engine counts; of a cluster what this node counts itself. Raises Unavailable."""
        if self._node is None:
            status, parts = await self._read(AskStatus(fit=True))
            return _scrape(status, parts)
        own = await self._own(self._node)
        return _scrape(own.status, [*own.node.shards, own.node.gone], own)

    async def _own(self, node: ClusterNode) -> OwnStatus:
        own, leads = await node.own(), node.leads
        there = await node.there() if leads else None
        status = await self._status([*own.shards, own.gone])
        status = msgspec.structs.replace(
            status,
            shards=len(own.shards),
            ready=node.ready(),
            sources=await self._sources.own(node.name, there),
        )
        if not leads:
            return OwnStatus(status, own, leads, None)
        return OwnStatus(await self._common(status), own, leads, len((await node.facts()).unowned))

    async def _common(self, status: Status) -> Status:
        """With what is in the directory."""
        engine = self._engine
        for run in await engine.batches.newest():
            for row in status.destinations:
                if row.id == run.destination:
                    row.batch = run
        audit = await engine.directory.audit.end()
        shared = await engine.identity.shared_lately(int(engine.clock.now()))
        return msgspec.structs.replace(status, audit=audit, shared_ids=_by_source(shared))

    async def _status(self, parts: Sequence[ShardStatus]) -> Status:
        engine = self._engine
        found = {one.id: DestinationStatus(one.id, one.name) for one in engine.live.catalog.destinations}
        _add_lanes(found, (lane for part in parts for lane in part.lanes))
        _add_refusals(found, parts)
        refused = engine.events.figures.events_refused
        unasked = Counter[str]()
        for part in parts:
            unasked.update(part.unasked)
        told = [set(part.unrealised) for part in parts if part.catalog_version]
        unrealised = sorted(set.intersection(*told)) if told else []
        return Status(
            ready=engine.events.ready() and all(part.ready for part in parts),
            catalog_version=engine.live.version,
            shards=len(parts),
            profiles=sum(part.profiles for part in parts),
            people=sum(part.people for part in parts),
            events=sum(part.events for part in parts),
            changes=sum(part.changes for part in parts),
            queued=sum(part.queued for part in parts),
            backfilled=min(part.backfilled for part in parts),
            destinations=list(found.values()),
            loading=engine.files.loading,
            under_way=engine.events.room.in_flight,
            room=engine.events.room.bound,
            refused=engine.events.room.refused,
            takeovers_refused=engine.identity.takeovers_refused,
            privacy_requests_large=engine.privacy.large.count,
            consent=engine.consent,
            refused_by_code=refused + Counter(overloaded=engine.events.room.refused),
            ids_dropped=dict(engine.events.figures.ids_dropped),
            parts_left=dict(engine.events.figures.left),
            repeated=sum(part.repeated for part in parts),
            late=sum(part.late for part in parts),
            unasked_keys=[name for name, _ in unasked.most_common(NAMES_SHOWN)],
            traits_never_realised=len(unrealised),
            never_realised=unrealised[:NAMES_SHOWN],
        )


def _scrape(status: Status, parts: Sequence[ShardStatus], own: OwnStatus | None = None) -> Scrape:
    latency = {one.id: Histogram() for one in status.destinations}
    for lane in (lane for part in parts for lane in part.lanes):
        if lane.destination in latency:
            latency[lane.destination] += lane.figures.latency
    return Scrape(status, latency, sum((part.commits for part in parts), Histogram()), own)


def _with(status: Status, others: Sequence[NodeFigures]) -> Status:
    """With what the other nodes of a cluster have counted."""
    refused, dropped = Counter(status.refused_by_code), Counter(status.ids_dropped)
    left = Counter(status.parts_left)
    for one in others:
        refused.update(one.refused_by_code)
        refused["overloaded"] += one.overloaded
        dropped.update(one.ids_dropped)
        left.update(one.parts_left)
    loading = next((one.loading for one in others if one.loading is not None), None)
    return msgspec.structs.replace(
        status,
        loading=Loading(loading.file, loading.lines, loading.total)
        if loading is not None
        else status.loading,
        under_way=status.under_way + sum(one.under_way for one in others),
        room=status.room + sum(one.room for one in others),
        refused=status.refused + sum(one.overloaded for one in others),
        refused_by_code=dict(+refused),
        ids_dropped=dict(dropped),
        parts_left=dict(left),
        takeovers_refused=status.takeovers_refused + sum(one.takeovers_refused for one in others),
        privacy_requests_large=status.privacy_requests_large
        + sum(one.privacy_requests_large for one in others),
    )


def _add_refusals(found: dict[int, DestinationStatus], parts: Iterable[ShardStatus]) -> None:
    """The newest of every shard's last refusals."""
    for part in parts:
        for destination, refused in part.refused.items():
            status = found.get(destination)
            if status is not None and (status.refused is None or status.refused.at < refused.at):
                status.refused = refused


_WORST: Final[tuple[CircuitState, ...]] = ("closed", "half_open", "open")


def _by_source(shared: Iterable[SharedId]) -> list[SharedIds]:
    devices: dict[int, list[int]] = {}
    for one in shared:
        devices.setdefault(one.dpid, []).append(one.devices)
    return [SharedIds(dpid, len(counts), max(counts)) for dpid, counts in sorted(devices.items())]


def _add_lanes(found: dict[int, DestinationStatus], lanes: Iterable[LaneStatus]) -> None:
    """Sum up every shard's lanes by destination."""
    latencies: dict[int, list[float]] = {}
    due: dict[int, int] = {}
    for lane in lanes:
        status = found.get(lane.destination)
        if status is None:
            continue
        figures = lane.figures
        status.messages += figures.messages
        status.acknowledged += figures.acknowledged
        status.users += figures.users
        status.users_acknowledged += figures.users_acknowledged
        status.retries += figures.retries
        status.sloppy += figures.sloppy
        status.unanswered += figures.unanswered
        status.users_unanswered += figures.users_unanswered
        status.nothing_to_tell += figures.nothing_to_tell
        status.owed += lane.owed
        status.backlog += lane.backlog
        status.circuit = max(status.circuit, lane.circuit, key=_WORST.index)
        status.pause_s = max(status.pause_s, round(lane.pause_s, 1))
        if lane.owed_due is not None:
            due[lane.destination] = min(lane.owed_due, due.get(lane.destination, lane.owed_due))
        for answer, count in figures.answers.items():
            status.answers[answer] = status.answers.get(answer, 0) + count
        latencies.setdefault(lane.destination, []).extend(figures.latencies_ms)
    for destination_id, at in due.items():
        found[destination_id].owed_next = utc_text(at)
    for destination_id, values in latencies.items():
        values.sort()
        if values:
            found[destination_id].p50_ms = values[len(values) // 2]
            found[destination_id].p99_ms = values[min(len(values) - 1, len(values) * 99 // 100)]

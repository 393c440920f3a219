"""The composition root: settings and a data directory become an engine. Only here adapters meet ports."""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from arke.clock import SystemClock, SystemEntropy
from arke.data_directory import (
    DIRECTORY_FILE,
    DataLock,
    check_directory_file,
    check_no_shards,
    check_shard_files,
)
from arke.delivery.channel import Wire
from arke.delivery.https.egress import EgressPolicy
from arke.delivery.https.failure import PostFailed
from arke.delivery.https.tls import build_context
from arke.delivery.secrets import Confinement, Secrets
from arke.domain.catalog import Catalog, Tls
from arke.engine.audit import Audit
from arke.engine.batches import LOOK_EVERY_S, Batches
from arke.engine.catalog_switch import CatalogSwitch
from arke.engine.file_desk import FileDesk
from arke.engine.history.columns import Subject
from arke.engine.history.recorder import Recorder
from arke.engine.homes import Homes
from arke.engine.identity import Identity
from arke.engine.ingest import Ingestion
from arke.engine.links import Joins, Links
from arke.engine.live_catalog import CatchUp, LiveCatalog
from arke.engine.moves import HandOver, Moves, OwnedMoves
from arke.engine.reconciliation import Reconciliation
from arke.engine.shards import Shards
from arke.engine.undelivered import Undelivered
from arke.engine.what_if import Estimator
from arke.errors import SettingsError
from arke.intake.settings import ConsentRules, SegmentRules
from arke.onboarding.inbox import FolderInbox
from arke.onboarding.loading import Loader
from arke.onboarding.service import Onboarding
from arke.operations.engine import Engine
from arke.privacy.fulfilment import Privacy
from arke.privacy.opt_outs import OptOuts
from arke.settings import Egress, Settings
from arke.shard.ruling import Ruling
from arke.shard.shard import Shard
from arke.shard_app import https_wire, open_shard, page_memory, ruling_of
from arke.storage.committer import InlineCommitter, ThreadCommitter
from arke.storage.sqlite.connection import MEMORY
from arke.storage.sqlite.directory import SqliteDirectory
from arke.storage.sqlite.store import SqliteShardStore
from arke.tokens import Doorkeeper
from arke.transport.remote_shard import RemoteShard, start_together
from arke.transport.starting import Starter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Sequence

    from arke.clock import Clock, Entropy
    from arke.delivery.https.ports import Poster
    from arke.delivery.observer import FiguresObserver
    from arke.engine.moves import MoveDriver
    from arke.engine.shards import Together
    from arke.onboarding.inbox import Inbox
    from arke.privacy.copies import Copy
    from arke.shard.protocol import ShardPort
    from arke.storage.committer import Committer
    from arke.storage.ports.directory import Directory
    from arke.storage.ports.shard import ShardStore

INBOX_FOLDER = "inbox"
OWNED_WITHIN_S = 15.0
"""How long a catalog waits for shards that are on their way to another worker."""


@asynccontextmanager
async def way_out(settings: Settings) -> AsyncIterator[Wire]:
    """What an engine itself sends through, beside its shards: messages that try a destination."""
    wire = https_wire(settings)
    try:
        yield wire
    finally:
        await wire.poster.close()


def check_egress(egress: Egress) -> None:
    """Say what is wrong once and at the start, and not by every shard. Raises SettingsError."""
    EgressPolicy(egress.allow_cidrs)
    if egress.proxy_ca_file:
        try:
            build_context(Tls(ca_file=egress.proxy_ca_file), Confinement())
        except PostFailed as error:
            detail = error.failure.detail.removeprefix("tls.ca_file ")
            raise SettingsError(f"egress.proxy_ca_file {detail}") from None


def memory_store() -> SqliteShardStore:
    """A shard's store in memory, for virtual time: nothing runs beside the event loop."""
    return SqliteShardStore(MEMORY, committer=InlineCommitter(), key=b"virtual")


def memory_engine(
    poster: Poster,
    clock: Clock,
    entropy: Entropy,
    observer: FiguresObserver | None = None,
    store: ShardStore | None = None,
) -> tuple[Engine, Shard]:
    """One shard in memory, or over this `store`, for virtual time. `poster` is its network."""
    shard = Shard(
        store or memory_store(),
        Ruling(Catalog(), 0, {}),
        wire=Wire(poster, Secrets()),
        clock=clock,
        compiler=InlineCommitter(),
        load_ruling=ruling_of,
        housekeeping=False,
        observer=observer,
    )
    directory = SqliteDirectory(MEMORY, committer=InlineCommitter(), key=b"virtual")
    engine = engine_over(directory, [shard], clock, entropy, InlineCommitter(), batch_look_every_s=None)
    return engine, shard


def engine_over(
    directory: Directory,
    ports: Sequence[ShardPort],
    clock: Clock,
    entropy: Entropy,
    compiler: Committer,
    *,
    settings: Settings | None = None,
    batch_look_every_s: float | None = LOOK_EVERY_S,
    owned: Callable[[], Collection[int]] | None = None,
    together: Together | None = None,
    reaches: Callable[[], bool] = lambda: True,
    copies: Sequence[Copy] = (),
) -> Engine:
    """The services of an engine, each over those that it needs. `owned`, where other processes write the directory
    too: the shards that this one owns. `together` as in `Shards`, `reaches` as in `Ingestion`, `copies` as in
    `Engine`.
    """
    given = settings or Settings()
    identity = Identity(
        directory,
        entropy,
        clock,
        takeovers_per_device=given.identity.takeovers_per_device,
        devices_per_id=given.identity.max_devices_per_id,
        cached=owned is None,
        cached_ids=given.memory.ids,
        cached_people=given.memory.people,
    )
    live = LiveCatalog()
    shards = Shards(ports, identity.suppressed, together)
    homes = Homes(identity, directory.files, shards, clock)
    hand_over = HandOver(identity, clock, shards, homes)
    moves: MoveDriver = (
        Moves(identity, hand_over)
        if owned is None
        else OwnedMoves(directory.identities, hand_over, shards, owned)
    )
    joins = Joins(directory.files, homes)
    links = Links(identity, moves, joins, directory)
    events = Ingestion(live, identity, links, homes, shards, clock, reaches)
    batches = Batches(directory.runs, shards, clock=clock, look_every_s=batch_look_every_s)
    audit = Audit(directory.audit, clock)

    async def refused() -> dict[str, int]:
        return {"": events.refused}

    def subjects() -> set[Subject]:
        catalog = live.catalog
        return {
            *(Subject("destination", one.id) for one in catalog.destinations),
            *(Subject("segment", one.id) for one in catalog.segments),
        }

    privacy = Privacy(directory, identity, homes, shards, live, clock)
    return Engine(
        directory=directory,
        compiler=compiler,
        identity=identity,
        live=live,
        shards=shards,
        events=events,
        links=links,
        moves=moves,
        joins=joins,
        homes=homes,
        files=FileDesk(live, identity, links, shards, joins, homes, clock, events, audit),
        catalogs=CatalogSwitch(
            live,
            directory.catalogs,
            identity,
            shards,
            batches,
            clock=clock,
            compiler=compiler,
            patience_s=0.0 if owned is None else OWNED_WITHIN_S,
        ),
        batches=batches,
        recorder=Recorder(directory.history, shards, clock, refused, subjects),
        estimator=Estimator(live, shards, compiler),
        reconciliation=Reconciliation(live, shards, clock),
        undelivered=Undelivered(live, shards, clock),
        privacy=privacy,
        opt_outs=OptOuts(privacy, identity, homes, live),
        doorkeeper=Doorkeeper(directory.tokens, clock),
        audit=audit,
        clock=clock,
        consent=consent_rules(given),
        copies=copies,
    )


def consent_rules(settings: Settings) -> ConsentRules:
    """What the settings say about consent."""
    privacy = settings.privacy
    return ConsentRules(
        tcf_vendor=privacy.tcf_vendor, tcf_purposes=privacy.tcf_purposes, honour=privacy.honour
    )


def segment_rules(settings: Settings) -> SegmentRules:
    """What the settings say of calls of Segment's API."""
    calls = settings.intake.segment
    return SegmentRules(
        anonymous_id=calls.anonymous_id,
        user_id=calls.user_id,
        context_ids=calls.context_ids,
        prefix=calls.prefix,
        consent=consent_rules(settings),
        consent_categories=calls.consent_categories,
    )


@asynccontextmanager
async def running_engine(
    data: Path,
    settings: Settings,
    *,
    in_process: bool = False,
    delivering: bool = True,
    starter: Starter | None = None,
) -> AsyncIterator[Engine]:
    """An engine on a data directory, started and brought up to date; stopped on the way out.

    `in_process`: shards live in this process, for commands that open the store themselves; such an engine
    need not be `delivering`. Otherwise the `starter` starts their processes, or one that this engine
    makes; it is closed in the end.
    Raises DataExposed, DataLocked, StoreUnavailable, StoreTooNew, ShardDown.
    """
    check_egress(settings.egress)
    lock, starting = DataLock(data), starter or Starter()
    try:
        check_directory_file(data)
        directory = SqliteDirectory(
            data / DIRECTORY_FILE, committer=ThreadCommitter("directory"), memory=page_memory(settings)
        )
        noted = await directory.has_shards()  # before there are any
        if not noted:
            check_no_shards(data)
        count = await directory.shards(settings.server.shards)
        settings = msgspec.structs.replace(
            settings, server=msgspec.structs.replace(settings.server, shards=count)
        )
        stores = [data / f"shard-{number:02d}.db" for number in range(count)]
        if noted and await directory.has_begun():
            check_shard_files(stores)
        clock, catch_up = SystemClock(), CatchUp(directory.catalogs)
        here: list[Shard] = []
        processes: list[RemoteShard] = []
        if in_process:
            here = [open_shard(store, settings, delivering=delivering) for store in stores]
        else:
            processes = [RemoteShard(store, settings, catch_up, starting) for store in stores]
        engine = engine_over(
            directory,
            here or processes,
            clock,
            SystemEntropy(),
            ThreadCommitter("catalog"),
            settings=settings,
        )
        try:
            await start_together(processes)
            for shard in here:
                await shard.start()
                await catch_up.bring(shard)
            await engine.recover()
            if delivering:
                await engine.batches.resume()
            if not in_process:
                engine.batches.start_schedule()
                engine.recorder.start()
            engine.watch()
            if delivering:
                engine.homes.start()
                await engine.privacy.start()
            yield engine
        finally:
            await engine.stop()
    finally:
        starting.close()
        lock.release()


def file_loader(engine: Engine) -> Loader:
    """Loads data files into an engine."""
    return Loader(engine.files, engine.directory.files, SystemClock(), ThreadCommitter("files"))


@asynccontextmanager
async def onboarding(engine: Engine, data: Path, settings: Settings) -> AsyncIterator[Onboarding]:
    """Takes files for a running engine until the way out; what is not loaded by then waits in the inbox."""
    service = onboarding_over(engine, FolderInbox(data / INBOX_FOLDER), settings)
    await service.start()
    try:
        yield service
    finally:
        await service.stop()


def onboarding_over(engine: Engine, inbox: Inbox, settings: Settings) -> Onboarding:
    """Takes files for an engine, and loads none before it is started."""
    watched = settings.onboarding
    return Onboarding(
        file_loader(engine),
        inbox,
        SystemClock(),
        folder=Path(watched.folder) if watched.folder else None,
        every_s=watched.every_s,
    )

"""The composition root of a shard: settings and a store become one that delivers over HTTPS.

Apart from `app`, so that a shard's process imports what a shard is made of, and nothing of the engine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.catalog import stored as stored_form
from arke.clock import SystemClock
from arke.delivery.channel import Wire
from arke.delivery.https.client import HttpsClient
from arke.delivery.https.dialer import SystemResolver
from arke.delivery.https.egress import EgressPolicy
from arke.delivery.https.proxy import ProxySetting
from arke.delivery.https.tls import TlsContexts
from arke.delivery.refusals import Refusals
from arke.delivery.secrets import Confinement, Secrets
from arke.domain.catalog import Catalog, Tls
from arke.shard.ruling import Ruling
from arke.shard.shard import Shard
from arke.storage.committer import ThreadCommitter
from arke.storage.sqlite.connection import PageMemory
from arke.storage.sqlite.store import SqliteShardStore
from arke.telemetry import tracer_of

if TYPE_CHECKING:
    from pathlib import Path

    from arke.settings import Settings
    from arke.shard.protocol import Prepare


def ruling_of(request: Prepare) -> Ruling:
    """Compile the catalog that a shard is asked to prepare."""
    catalog = stored_form.from_json(request.catalog)
    return Ruling(catalog, request.version, request.mapping_versions, request.retired)


def https_wire(settings: Settings, shard: int = 0) -> Wire:
    """The wire of a shard, by its number, to real destinations."""
    confinement = confined_to(settings)
    secrets = Secrets(confinement)
    egress = settings.egress
    client = HttpsClient(
        EgressPolicy(egress.allow_cidrs),
        SystemResolver(),
        proxy=ProxySetting(egress.proxy, secrets) if egress.proxy else None,
        proxy_tls=Tls(ca_file=egress.proxy_ca_file or None),
        contexts=TlsContexts(confinement),
        connection_life_s=egress.connection_life_s,
    )
    return Wire(
        client,
        secrets,
        refusals=Refusals(SystemClock()),
        timeout_s=settings.delivery.timeout_ms / 1000,
        retry_delay_s=settings.delivery.retry_delay_ms / 1000,
        shard=(shard, settings.server.shards or 1),
        tracer=tracer_of(settings.telemetry),
    )


def confined_to(settings: Settings) -> Confinement:
    """What a catalog that came over the network may refer to."""
    return Confinement(settings.secrets.env_prefix, settings.secrets.folders)


def shard_number(name: str) -> int:
    """By the name of its file, `shard-03`; 0 for a file of another name."""
    _, _, number = name.rpartition("-")
    return int(number) if number.isdecimal() else 0


def page_memory(settings: Settings) -> PageMemory:
    """What connections to the store's files may keep in memory."""
    return PageMemory(settings.memory.pages_mb, settings.memory.mapped_mb)


def open_shard(store: Path, settings: Settings, *, delivering: bool = True) -> Shard:
    """A shard on its file, without a catalog yet."""
    opened = SqliteShardStore(store, committer=ThreadCommitter(store.stem), memory=page_memory(settings))
    return shard_over(opened, store.stem, settings, delivering=delivering)


def shard_over(store: SqliteShardStore, name: str, settings: Settings, *, delivering: bool = True) -> Shard:
    """A shard on an open store; `name` tells its threads apart."""
    return Shard(
        store,
        Ruling(Catalog(), 0, {}),
        wire=https_wire(settings, shard_number(name)),
        clock=SystemClock(),
        # A large catalog takes seconds to compile: meanwhile events and deliveries go on.
        compiler=ThreadCommitter(f"{name}-compile"),
        load_ruling=ruling_of,
        delivering=delivering,
    )

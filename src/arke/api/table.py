"""Every endpoint of the admin API: routes, the client's calls, the OpenAPI document and the reference follow."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from arke import __version__
from arke.api import people
from arke.api.endpoint import NO_BODY, Asked, Endpoint, FileBody, Nothing, Stream, TextBody
from arke.api.history import READ_HISTORY
from arke.api.parameters import (
    After,
    AnyDestination,
    CatalogFile,
    DataFile,
    Newest,
    OneBatch,
    OneDestination,
    OneFile,
    OneToken,
    Sample,
    TokenWanted,
    Version,
)
from arke.operations.callers import AuditReport, NewToken, Revoked, TokenFacts
from arke.operations.catalog import AppliedReport, Estimate
from arke.operations.jobs import (
    DestinationBatches,
    FileState,
    OwedDevice,
    Refused,
    ReplayReport,
    RunFacts,
    Ticket,
)
from arke.operations.sources import RefusedMessage
from arke.operations.status import Status

if TYPE_CHECKING:
    from arke.operations.subjects import Operations


class Alive(msgspec.Struct, frozen=True):
    """That the process answers, and which version it is."""

    status: str
    version: str


class Ready(msgspec.Struct, frozen=True):
    """Whether events can be stored."""

    ready: bool


async def _metrics(operations: Operations, asked: Asked[Nothing, None]) -> bytes:
    from arke.api.metrics import render_metrics

    own = await operations.status.own()
    status = own.status if own is not None else await operations.status.read()
    return render_metrics(status, asked.refused or {}, own)


async def _alive(_: Operations, __: Asked[Nothing, None]) -> Alive:
    return Alive("alive", __version__)


async def _ready(operations: Operations, _: Asked[Nothing, None]) -> Ready:
    return Ready(await operations.status.ready())


STATUS: Final = Endpoint(
    method="GET",
    path="/v1/status",
    scope="metrics",
    summary="Health and figures.",
    parameters=Nothing,
    body=NO_BODY,
    answer=Status,
    run=lambda on, _: on.status.read(),
)


METRICS: Final = Endpoint(
    method="GET",
    path="/metrics",
    scope="metrics",
    summary="Prometheus figures.",
    parameters=Nothing,
    body=NO_BODY,
    answer=bytes,
    media="text/plain; version=0.0.4",
    run=_metrics,
)


ALIVE: Final = Endpoint(
    method="GET",
    path="/healthz",
    scope=None,
    summary="Whether the process answers.",
    parameters=Nothing,
    body=NO_BODY,
    answer=Alive,
    run=_alive,
)


READY: Final = Endpoint(
    method="GET",
    path="/readyz",
    scope=None,
    summary="Whether events can be stored.",
    parameters=Nothing,
    body=NO_BODY,
    answer=Ready,
    otherwise=lambda answer: not answer.ready,
    status_otherwise=503,
    run=_ready,
)


REFUSED_OF_SOURCES: Final = Endpoint(
    method="GET",
    path="/v1/sources/refused",
    scope="operate",
    summary="The newest events of topics that were not taken.",
    parameters=Newest,
    body=NO_BODY,
    answer=list[RefusedMessage],
    run=lambda on, asked: on.source_refusals.refused(asked.given.limit),
)


UNDELIVERED: Final = Stream(
    method="GET",
    path="/v1/undelivered",
    scope="operate",
    summary="What destinations are owed.",
    parameters=AnyDestination,
    body=NO_BODY,
    answer=OwedDevice,
    run=lambda on, asked: on.undelivered.each(asked.given.destination, actor=asked.actor),
)


REFUSALS: Final = Endpoint(
    method="GET",
    path="/v1/undelivered/refusals",
    scope="operate",
    summary="What destinations said of the messages that they refused last.",
    parameters=AnyDestination,
    body=NO_BODY,
    answer=list[Refused],
    run=lambda on, asked: on.undelivered.refusals(asked.given.destination, actor=asked.actor),
)


REPLAY: Final = Endpoint(
    method="POST",
    path="/v1/undelivered/replay",
    scope="operate",
    summary="Send what is owed, as current state.",
    parameters=AnyDestination,
    body=NO_BODY,
    answer=ReplayReport,
    run=lambda on, asked: on.undelivered.replay(asked.given.destination, actor=asked.actor),
)


LIST_BATCHES: Final = Endpoint(
    method="GET",
    path="/v1/batches",
    scope="read",
    summary="Which batches ran, run and are due.",
    parameters=Nothing,
    body=NO_BODY,
    answer=list[DestinationBatches],
    run=lambda on, _: on.batches.every(),
)


RUN_BATCH: Final = Endpoint(
    method="POST",
    path="/v1/batches",
    scope="operate",
    summary="Begin a batch of a destination now.",
    parameters=OneDestination,
    body=NO_BODY,
    answer=RunFacts,
    status=202,
    run=lambda on, asked: on.batches.run(asked.given.destination, actor=asked.actor),
)


SHOW_BATCH: Final = Endpoint(
    method="GET",
    path="/v1/batches/{number}",
    scope="read",
    summary="One run of a destination.",
    parameters=OneBatch,
    body=NO_BODY,
    answer=RunFacts,
    run=lambda on, asked: on.batches.show(asked.given.destination, asked.given.number),
)


RESYNC: Final = Endpoint(
    method="POST",
    path="/v1/resync",
    scope="operate",
    summary="Begin to send a destination the full current state.",
    parameters=OneDestination,
    body=NO_BODY,
    answer=RunFacts,
    status=202,
    run=lambda on, asked: on.batches.resync(asked.given.destination, actor=asked.actor),
)


MAX_CATALOG_BYTES = 64 * 1024 * 1024


MAX_RULE_BYTES = 1024 * 1024


ESTIMATE: Final = Endpoint(
    method="POST",
    path="/v1/estimate",
    scope="read",
    summary="How many stored profiles a segment rule would hold now.",
    parameters=Sample,
    body=TextBody("rule", MAX_RULE_BYTES),
    answer=Estimate,
    run=lambda on, asked: on.catalog.estimate(asked.body, asked.given.sample),
)


APPLY: Final = Endpoint(
    method="POST",
    path="/v1/catalog",
    scope="admin",
    summary="Apply a catalog, YAML or JSON: all at once or not at all.",
    parameters=CatalogFile,
    body=TextBody("catalog", MAX_CATALOG_BYTES),
    answer=AppliedReport,
    run=lambda on, asked: on.catalog.apply(
        asked.body,
        asked.given.name,
        # Only callers on this machine say where relative paths count from.
        Path(asked.given.folder) if asked.given.folder is not None and not asked.from_afar else None,
        dry_run=asked.given.dry_run,
        actor=asked.actor,
        from_afar=asked.from_afar,
    ),
)


ROLLBACK: Final = Endpoint(
    method="POST",
    path="/v1/catalog/rollback",
    scope="admin",
    summary="Apply an earlier catalog as a new version.",
    parameters=Version,
    body=NO_BODY,
    answer=AppliedReport,
    run=lambda on, asked: on.catalog.rollback(
        asked.given.version, dry_run=asked.given.dry_run, actor=asked.actor
    ),
)


SEND_FILE: Final = Endpoint(
    method="POST",
    path="/v1/onboard",
    scope="operate",
    summary="Load a data file, in the background.",
    parameters=DataFile,
    body=FileBody("data file"),
    answer=Ticket,
    status=202,
    otherwise=lambda ticket: ticket.id is None,
    status_otherwise=200,
    run=lambda on, asked: on.files.receive(
        asked.given.name, asked.given.columns, asked.body, check=asked.given.check, actor=asked.actor
    ),
)


SHOW_FILE: Final = Endpoint(
    method="GET",
    path="/v1/onboard/{id}",
    scope="read",
    summary="How far a data file has come, and in the end its receipt.",
    parameters=OneFile,
    body=NO_BODY,
    answer=FileState,
    run=lambda on, asked: on.files.show(asked.given.id),
)


LIST_TOKENS: Final = Endpoint(
    method="GET",
    path="/v1/tokens",
    scope="admin",
    summary="List tokens, without their secrets.",
    parameters=Nothing,
    body=NO_BODY,
    answer=list[TokenFacts],
    run=lambda on, _: on.tokens.every(),
)


CREATE_TOKEN: Final = Endpoint(
    method="POST",
    path="/v1/tokens",
    scope="admin",
    summary="Make a token; its secret is shown this once.",
    parameters=TokenWanted,
    body=NO_BODY,
    answer=NewToken,
    status=201,
    run=lambda on, asked: on.tokens.create(
        asked.given.scope, asked.given.name, asked.given.expires, actor=asked.actor
    ),
)


REVOKE_TOKEN: Final = Endpoint(
    method="DELETE",
    path="/v1/tokens/{id}",
    scope="admin",
    summary="Make a token useless, at once and for good.",
    parameters=OneToken,
    body=NO_BODY,
    answer=Revoked,
    run=lambda on, asked: on.tokens.revoke(asked.given.id, actor=asked.actor),
)


AUDIT: Final = Endpoint(
    method="GET",
    path="/v1/audit",
    scope="admin",
    summary="Who changed what, and who looked at whom.",
    parameters=After,
    body=NO_BODY,
    answer=AuditReport,
    run=lambda on, asked: on.audit.read(asked.given.after),
)

ENDPOINTS: Final[tuple[Endpoint[Any, Any, Any] | Stream[Any, Any, Any], ...]] = (
    STATUS,
    READ_HISTORY,
    REFUSED_OF_SOURCES,
    people.EXPLAIN,
    UNDELIVERED,
    REFUSALS,
    REPLAY,
    LIST_BATCHES,
    RUN_BATCH,
    SHOW_BATCH,
    RESYNC,
    ESTIMATE,
    APPLY,
    ROLLBACK,
    SEND_FILE,
    SHOW_FILE,
    people.ACCESS,
    people.REQUEST_PRIVACY,
    people.LIFT,
    people.LIST_REQUESTS,
    people.SHOW_REQUEST,
    LIST_TOKENS,
    CREATE_TOKEN,
    REVOKE_TOKEN,
    AUDIT,
    METRICS,
    ALIVE,
    READY,
)

"""The endpoints that say how an engine is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from arke import __version__
from arke.api.endpoint import NO_BODY, Asked, Endpoint, Nothing
from arke.operations.attention import Notice
from arke.operations.installation import Installation, ShardFacts
from arke.operations.settings import OptionShown
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

    return render_metrics(await operations.status.scrape(), asked.doors)


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


async def _attention(operations: Operations, _: Asked[Nothing, None]) -> list[Notice]:
    return await operations.attention.notices(await operations.status.read())


ATTENTION: Final = Endpoint(
    method="GET",
    path="/v1/attention",
    scope="read",
    summary="What somebody should look at, worst first, in words.",
    parameters=Nothing,
    body=NO_BODY,
    answer=list[Notice],
    run=_attention,
)


INSTALLATION: Final = Endpoint(
    method="GET",
    path="/v1/installation",
    scope="read",
    summary="What runs here: versions, files of the stores, what the doors turned away.",
    parameters=Nothing,
    body=NO_BODY,
    answer=Installation,
    run=lambda on, _: on.installation.read(),
)


SHARDS: Final = Endpoint(
    method="GET",
    path="/v1/shards",
    scope="read",
    summary="The figures of every shard, also of those that do not answer.",
    parameters=Nothing,
    body=NO_BODY,
    answer=list[ShardFacts],
    run=lambda on, _: on.installation.shards(),
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
    encoded=bytes,
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


async def _settings(operations: Operations, _: Asked[Nothing, None]) -> list[OptionShown]:
    return operations.settings.every()


SETTINGS: Final = Endpoint(
    method="GET",
    path="/v1/settings",
    scope="operate",
    summary="The settings in force, without secrets.",
    parameters=Nothing,
    body=NO_BODY,
    answer=list[OptionShown],
    run=_settings,
)

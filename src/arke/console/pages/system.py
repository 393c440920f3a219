"""The engine itself: shards, queues, stores, nodes, doors, versions, settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from arke.console.page import Ask, Page
from arke.operations.installation import Installation, ShardFacts
from arke.operations.status import Status

if TYPE_CHECKING:
    from arke.api.endpoint import Nothing


class System(msgspec.Struct, frozen=True):
    """What the page shows."""

    status: Status
    installation: Installation
    shards: list[ShardFacts]
    stored_bytes: int


async def system(ask: Ask[Nothing]) -> System:
    installation = await ask.on.installation.read()
    return System(
        status=await ask.on.status.read(),
        installation=installation,
        shards=await ask.on.installation.shards(),
        stored_bytes=sum(file.bytes for file in installation.files),
    )


PAGE: Final = Page(
    path="/system",
    title="System",
    scope="read",
    template="system.html",
    context=system,
    group="Engine",
)

"""The engine itself: shards, queues, versions, doors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from arke.console.page import Ask, Page
from arke.operations.status import Status

if TYPE_CHECKING:
    from arke.api.endpoint import Nothing


class System(msgspec.Struct, frozen=True):
    """What the system page shows."""

    status: Status


async def system(ask: Ask[Nothing]) -> System:
    return System(await ask.on.status.read())


PAGE: Final = Page(
    path="/system",
    title="System",
    scope="read",
    template="system.html",
    context=system,
    group="Engine",
)

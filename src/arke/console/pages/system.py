"""The engine itself: shards, queues, stores, nodes, doors, versions, settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from arke.console.page import Ask, Page
from arke.operations.installation import Installation, ShardFacts
from arke.operations.status import Status

if TYPE_CHECKING:
    from arke.api.endpoint import Nothing


class Option(msgspec.Struct, frozen=True):
    """One option in force, as text; what is secret is not in it."""

    name: str
    value: str
    default: bool


class System(msgspec.Struct, frozen=True):
    """What the page shows; `settings` to those who may operate."""

    status: Status
    installation: Installation
    shards: list[ShardFacts]
    stored_bytes: int
    settings: list[Option]


async def system(ask: Ask[Nothing]) -> System:
    installation = await ask.on.installation.read()
    return System(
        status=await ask.on.status.read(),
        installation=installation,
        shards=await ask.on.installation.shards(),
        stored_bytes=sum(file.bytes for file in installation.files),
        settings=_settings(ask) if ask.session.allows("operate") else [],
    )


def _settings(ask: Ask[Nothing]) -> list[Option]:
    return [Option(one.name, _text(one.value), one.default) for one in ask.on.settings.every()]


def _text(value: object) -> str:
    """As the settings file would have it."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


PAGE: Final = Page(
    path="/system",
    title="System",
    scope="read",
    template="system.html",
    context=system,
    group="Engine",
)

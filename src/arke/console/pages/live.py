"""What passes, as it passes: events, changes and messages, sampled."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

import msgspec

from arke.console.page import Ask, Feed, Page
from arke.operations.live import Round

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from arke.api.endpoint import Nothing

SEES_PEOPLE: Final = "operate"
SHOWN: Final = 100


class Live(msgspec.Struct, frozen=True):
    """What the page shows: `round` with its newest entries first. `people`: whoever looks may see them."""

    round: Round
    people: bool


async def live(ask: Ask[Nothing]) -> Live:
    """What was kept of the last minute: from now on there will be some."""
    people = ask.session.allows(SEES_PEOPLE)
    return _newest_first(await ask.on.live.lately(actor=ask.actor, people=people), people=people)


async def feed(ask: Ask[Nothing]) -> AsyncIterator[Live | None]:
    people = ask.session.allows(SEES_PEOPLE)
    async with contextlib.aclosing(ask.on.live.watch(actor=ask.actor, people=people)) as rounds:
        async for one in rounds:
            yield _newest_first(one, people=people)


def _newest_first(found: Round, *, people: bool) -> Live:
    newest = list(reversed(found.entries))[:SHOWN]
    return Live(msgspec.structs.replace(found, entries=newest), people)


PAGE: Final = Page(
    path="/live",
    title="Live",
    scope="read",
    template="live.html",
    context=live,
    group="Audience",
)
FEED: Final = Feed(path="/live/feed", scope="read", template="live_entries.html", run=feed)

"""What Tab offers: ids of the catalog in force, where an engine answers at once; nothing otherwise."""

from __future__ import annotations

import contextlib
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Final, TypeVar

from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import click

    from arke.api.client import Client
    from arke.operations.destinations import DestinationEntry
    from arke.operations.segments import SegmentEntry

PATIENCE_S: Final = 0.5
"""Whoever presses Tab waits no longer than this for an engine."""

T = TypeVar("T")


def few(*words: str) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]]:
    """Of a few words those that begin so."""

    def offered(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(word) for word in words if word.startswith(incomplete)]

    return offered


def destination_ids(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Ids that begin so, with names."""
    from arke.api.parameters import SearchedDestinations
    from arke.api.table.destinations import LIST_DESTINATIONS
    from arke.operations.paging import MOST

    def ask(engine: Client) -> Iterable[DestinationEntry]:
        return engine.first(LIST_DESTINATIONS, SearchedDestinations(search=incomplete or None, limit=MOST))

    return _offered(_asked(ctx, ask), incomplete)


def segment_ids(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Ids that begin so, with names."""
    from arke.api.parameters import Searched
    from arke.api.table.segments import LIST_SEGMENTS
    from arke.operations.paging import MOST

    def ask(engine: Client) -> Iterable[SegmentEntry]:
        return engine.first(LIST_SEGMENTS, Searched(search=incomplete or None, limit=MOST))

    return _offered(_asked(ctx, ask), incomplete)


def _offered(found: Iterable[DestinationEntry | SegmentEntry], incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(str(one.id), help=one.name) for one in found if str(one.id).startswith(incomplete)]


def _asked(ctx: click.Context, ask: Callable[[Client], Iterable[T]]) -> list[T]:
    """What a running engine answers in time. No store is opened for it, and whatever goes wrong, a line that
    somebody types is not disturbed.
    """
    from arke.api.reach import running

    found: list[T] = []
    options = ctx.params

    def work() -> None:
        with contextlib.suppress(Exception):
            engine = running(
                Path(options["data"]),
                options.get("url"),
                options.get("token"),
                insecure=bool(options.get("insecure")),
                timeout_s=PATIENCE_S,
            )
            if engine is not None:
                found.extend(ask(engine))

    asking = Thread(target=work, daemon=True)
    asking.start()
    asking.join(PATIENCE_S)
    return [] if asking.is_alive() else found

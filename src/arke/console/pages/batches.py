"""Batches of every destination: what ran, runs and is due, and two buttons that begin one."""

from __future__ import annotations

from typing import Final

import msgspec

from arke.console.page import Action, Ask, Done, Flash, Page, address
from arke.console.pages.states import State, run_state
from arke.operations.jobs import DestinationBatches, RunFacts

ROWS: Final = 25
"""Destinations of a page."""
SHOWN: Final = 3
"""Runs of a destination; its own page has more."""


class Listed(msgspec.Struct, frozen=True):
    """Which of them: those whose name or id has the text, from a cursor on."""

    search: str | None = None
    cursor: str | None = None


class Run(msgspec.Struct, frozen=True):
    """One run, and how it is."""

    facts: RunFacts
    state: State


class Row(msgspec.Struct, frozen=True):
    """One destination with its newest runs."""

    batches: DestinationBatches
    runs: list[Run]
    schedule: str


class Batches(msgspec.Struct, frozen=True):
    """A page of destinations: those first of which a batch runs, then by id."""

    search: str
    rows: list[Row]
    beginning: str
    more: str


class Which(msgspec.Struct, frozen=True):
    """The destination of a button."""

    destination: int


async def batches(ask: Ask[Listed]) -> Batches:
    search, cursor = (ask.given.search or "").strip(), ask.given.cursor
    found = await ask.on.batches.page(search, cursor, ROWS, running_first=True)
    return Batches(
        search=search,
        rows=[row_of(one, SHOWN) for one in found.items],
        beginning=address("/batches", {"search": search}) if cursor is not None else "",
        more=address("/batches", {"search": search, "cursor": found.next}) if found.next is not None else "",
    )


def row_of(one: DestinationBatches, shown: int) -> Row:
    runs = [Run(run, run_state(run)) for run in one.runs[:shown]]
    return Row(one, runs, schedule_of(one))


def schedule_of(one: DestinationBatches) -> str:
    """In words."""
    if one.every_s is None:
        return "none: it is told in real time, and by batches that somebody begins"
    hours = one.every_s / 3_600
    often = "every day" if hours == 24 else f"every {hours:g} h"
    return f"{often} at {one.at} {one.timezone}"


async def run_now(ask: Ask[Listed], which: Which) -> Done:
    run = await ask.on.batches.run(which.destination, actor=ask.actor)
    return Done("/batches", Flash(f"Batch {run.number} of destination {run.destination} has begun."))


async def resync(ask: Ask[Listed], which: Which) -> Done:
    run = await ask.on.batches.resync(which.destination, actor=ask.actor)
    text = f"Resync {run.number} of destination {run.destination} has begun: it is told everything anew."
    return Done("/batches", Flash(text))


PAGE: Final = Page(
    path="/batches",
    title="Batches",
    scope="read",
    template="batches.html",
    context=batches,
    parameters=Listed,
    group="Delivery",
    actions=(
        Action(name="run", label="Run now", scope="operate", form=Which, run=run_now),
        Action(name="resync", label="Resync", scope="operate", form=Which, run=resync),
    ),
)

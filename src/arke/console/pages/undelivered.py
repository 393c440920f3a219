"""What destinations are owed, and the button that sends it."""

from __future__ import annotations

from typing import Final

import msgspec

from arke.console.page import ROOT, Action, Ask, Done, Flash, Page
from arke.operations.jobs import OwedDevice
from arke.operations.status import DestinationStatus
from arke.wording import many


class Place(msgspec.Struct, frozen=True):
    """Of which destination (None: all), and from where on."""

    destination: int | None = None
    after: str | None = None


class Which(msgspec.Struct, frozen=True):
    """Whose is replayed; None: everybody's."""

    destination: int | None = None


class Owed(msgspec.Struct, frozen=True):
    """A page of devices; `owing` are the destinations that are owed anything, with how much."""

    devices: list[OwedDevice]
    names: dict[int, str]
    owing: list[DestinationStatus]
    destination: int | None
    total: int
    older: str
    newer: str


async def undelivered(ask: Ask[Place]) -> Owed:
    """The lists of all shards one after the other: it is as long as it takes until the page is full."""
    given = ask.given
    status = await ask.on.status.read()
    page = await ask.on.undelivered.page(given.destination, given.after, actor=ask.actor)
    base = f"{ROOT}/undelivered?"
    if given.destination is not None:
        base += f"destination={given.destination}&"
    return Owed(
        devices=page.devices,
        names={row.id: row.name or str(row.id) for row in status.destinations},
        owing=[row for row in status.destinations if row.owed or row.backlog or row.id == given.destination],
        destination=given.destination,
        total=sum(row.owed for row in status.destinations if given.destination in (None, row.id)),
        older=f"{base}after={page.next}" if page.next is not None else "",
        newer=base.rstrip("?&") if given.after is not None else "",
    )


async def replay(ask: Ask[Place], which: Which) -> Done:
    report = await ask.on.undelivered.replay(which.destination, actor=ask.actor)
    to = "/undelivered" if which.destination is None else f"/undelivered?destination={which.destination}"
    return Done(to, Flash(f"{many(report.devices, 'device')} on the way again, with what is true now."))


PAGE: Final = Page(
    path="/undelivered",
    title="Undelivered",
    scope="operate",
    template="undelivered.html",
    context=undelivered,
    parameters=Place,
    group="Delivery",
    actions=(Action(name="replay", label="Replay", scope="operate", form=Which, run=replay),),
)

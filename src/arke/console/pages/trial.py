"""Test a destination with somebody made up, and preview what it would be told about somebody who is not."""

from __future__ import annotations

from typing import Final

import msgspec

from arke.console.forms import FormProblems
from arke.console.page import ROOT, Action, Ask, Done, Flash, Page
from arke.console.pages.catalog_edit import DRAFT, Draft
from arke.domain.ids import is_uuid
from arke.operations.destinations import DestinationEntry
from arke.operations.outgoing import Preview, PreviewAsk, TrialAsk, TrialReport

OCCASIONS: Final = (
    ("", "as it is set up"),
    ("realtime", "in real time"),
    ("batch", "by a batch"),
    ("resync", "by a resync"),
)
STATUSES: Final = (
    ("", "as the destination takes it"),
    ("0", "0: out, so that nothing stays there"),
    ("1", "1: in the segment"),
)


class One(msgspec.Struct, frozen=True):
    """Which."""

    destination: int


class Trial(msgspec.Struct, frozen=True):
    """What the page shows: forms, and what came of the one that was sent. `draft`: there is a catalog that is being
    edited.
    """

    entry: DestinationEntry
    href: str
    report: TrialReport | None
    preview: Preview | None
    draft: bool
    occasions: tuple[tuple[str, str], ...] = OCCASIONS
    statuses: tuple[tuple[str, str], ...] = STATUSES


class Sent(msgspec.Struct, frozen=True):
    """A test."""

    status: str = ""


class Wanted(msgspec.Struct, frozen=True):
    """A preview: `person` is a UUID or DPID:ID; `edited`: under the catalog that is being edited."""

    person: str
    occasion: str = ""
    edited: bool = False


async def trial(ask: Ask[One]) -> Trial:
    detail = ask.flash.detail if ask.flash is not None else None
    found = await ask.on.destinations.show(ask.given.destination)
    return Trial(
        entry=found.destination,
        href=f"{ROOT}/destinations/{ask.given.destination}",
        report=detail if isinstance(detail, TrialReport) else None,
        preview=detail if isinstance(detail, Preview) else None,
        draft=DRAFT in ask.session.kept,
    )


async def send(ask: Ask[One], sent: Sent) -> Done:
    status = {"": None, "0": 0, "1": 1}.get(sent.status)
    wanted = msgspec.convert({"status": status}, TrialAsk)
    report = await ask.on.trials.send(ask.given.destination, wanted, actor=ask.actor)
    if report.acknowledged:
        flash = Flash("The destination acknowledged the test.", detail=report)
    else:
        flash = Flash("The destination did not acknowledge the test.", kind="failed", detail=report)
    return Done(f"/destinations/{ask.given.destination}/try", flash)


async def preview(ask: Ask[One], wanted: Wanted) -> Done:
    if not is_uuid(wanted.person) and ":" not in wanted.person:
        raise FormProblems({"person": "38 digits, or DPID:ID such as 12345:abc."})
    draft = ask.session.kept.get(DRAFT)
    if wanted.occasion not in {value for value, _ in OCCASIONS}:
        raise FormProblems({"occasion": "Choose one of them."})
    given = msgspec.convert(
        {
            "uuid" if is_uuid(wanted.person) else "id": wanted.person,
            "occasion": wanted.occasion or None,
            "catalog": draft.text if wanted.edited and isinstance(draft, Draft) else None,
        },
        PreviewAsk,
    )
    found = await ask.on.previews.preview(
        ask.given.destination, given, actor=ask.actor, from_afar=ask.session.token is not None
    )
    text = "Nothing was sent: this is what would be." if found.messages else "There is nothing to tell."
    return Done(f"/destinations/{ask.given.destination}/try", Flash(text, detail=found))


PAGE: Final = Page(
    path="/destinations/{destination}/try",
    title="Test and preview",
    scope="operate",
    template="trial.html",
    context=trial,
    parameters=One,
    under="/destinations",
    actions=(
        Action(name="send", label="Send a test", scope="operate", form=Sent, run=send),
        Action(name="preview", label="Preview", scope="operate", form=Wanted, run=preview),
    ),
)

"""Data files: what waits, what is loaded, receipts whose counters add up, and new ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from msgspec import Meta

from arke.console.forms import FormProblems
from arke.console.page import ROOT, Ask, Done, Flash, Missing, Page, Upload
from arke.errors import InvalidInput, NotFound
from arke.operations.jobs import FileState, LoadedFile, Receipt, WaitingFile
from arke.operations.status import Status

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SHOWN: Final = 25


class Older(msgspec.Struct, frozen=True):
    """From which file on they are shown."""

    cursor: str | None = None


class Files(msgspec.Struct, frozen=True):
    """What waits, what is under way, and a page of what was loaded."""

    status: Status
    waiting: list[WaitingFile]
    loaded: list[LoadedFile]
    beginning: str
    older: str


async def files(ask: Ask[Older]) -> Files:
    found = await ask.on.files.loaded(ask.given.cursor, SHOWN)
    return Files(
        status=await ask.on.status.read(),
        waiting=await ask.on.files.waiting(SHOWN),
        loaded=found.items,
        beginning=f"{ROOT}/files" if ask.given.cursor is not None else "",
        older=f"{ROOT}/files?cursor={found.next}" if found.next is not None else "",
    )


class New(msgspec.Struct, frozen=True):
    """A file that is sent. `name`: under which it is loaded, where that is not its own; `columns`: the text of a
    table's columns file.
    """

    name: str = ""
    columns: str = ""


async def take(ask: Ask[Older], form: New, file_name: str, body: AsyncIterator[bytes]) -> Done:
    """With the same checks as the API's: its name first, then as it comes in."""
    if not file_name:
        raise FormProblems({"file": "Choose a file."})
    name = form.name or file_name
    try:
        await ask.on.files.receive(name, form.columns or None, body, check=True)
    except InvalidInput as error:
        raise FormProblems({"columns" if form.columns else "name": f"{error}"}) from None
    ticket = await ask.on.files.receive(name, form.columns or None, body, actor=ask.actor)
    return Done(f"/files/sent/{ticket.id}", Flash("It is kept here, and will be loaded."))


PAGE: Final = Page(
    path="/files",
    title="Files",
    scope="read",
    template="files.html",
    context=files,
    parameters=Older,
    group="Data",
    actions=(Upload(name="send", label="Load it", scope="operate", form=New, take=take),),
)


class OneFile(msgspec.Struct, frozen=True):
    """Which file."""

    number: Annotated[int, Meta(title="the file")]


class FilePage(msgspec.Struct, frozen=True):
    """A file, with its receipt once it has one. `state`: waiting, loading, done or failed; `again`: there is more
    to come, so that the page loads itself anew.
    """

    name: str
    state: str
    lines: int
    total: int
    receipt: Receipt | None
    again: bool


async def one_file(ask: Ask[OneFile]) -> FilePage:
    try:
        found = await ask.on.files.one(ask.given.number)
    except NotFound as error:
        raise Missing(f"{error}.") from None
    return FilePage(
        found.name, "done" if found.done else "begun", found.lines, 0, found.receipt, found.receipt is None
    )


FILE: Final = Page(
    path="/files/{number}",
    title="File",
    scope="read",
    template="file.html",
    context=one_file,
    parameters=OneFile,
    under="/files",
)


class Sent(msgspec.Struct, frozen=True):
    """The ticket of a file that was sent."""

    id: Annotated[str, Meta(title="the file", description="The ticket.")]


async def sent_file(ask: Ask[Sent]) -> FilePage:
    try:
        found: FileState = await ask.on.files.show(ask.given.id)
    except InvalidInput as error:
        raise Missing(f"{error}.") from None
    receipt = found.receipt
    name = receipt.file if receipt is not None else "A file that was sent"
    return FilePage(name, found.state, found.lines, found.total, receipt, receipt is None)


UPLOADED: Final = Page(
    path="/files/sent/{id}",
    title="File",
    scope="read",
    template="file.html",
    context=sent_file,
    parameters=Sent,
    under="/files",
)

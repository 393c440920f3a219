"""Data files: sent, and followed."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from arke.api.bodies import NO_BODY, FileBody
from arke.api.endpoint import Endpoint
from arke.operations.files import FileState, Ticket


class DataFile(msgspec.Struct, frozen=True):
    """How to take a data file."""

    name: Annotated[str, Meta(description="The file's name.", examples=["ftp_dpm_12345_1777600000.sync"])] = (
        ""
    )
    columns: Annotated[str | None, Meta(description="The text of a table's columns file.")] = None
    check: Annotated[bool, Meta(description="Only say whether such a file would be taken.")] = False


class OneFile(msgspec.Struct, frozen=True):
    """A file that was sent."""

    id: Annotated[str, Meta(description="The id that sending it was answered with.")]


SEND: Final = Endpoint(
    method="POST",
    path="/v1/onboard",
    scope="operate",
    summary="Load a data file, in the background.",
    parameters=DataFile,
    body=FileBody("data file"),
    answer=Ticket,
    status=202,
    otherwise=lambda ticket: ticket.id is None,
    status_otherwise=200,
    run=lambda on, asked: on.files.receive(
        asked.given.name, asked.given.columns, asked.body, check=asked.given.check, actor=asked.actor
    ),
)
SHOW: Final = Endpoint(
    method="GET",
    path="/v1/onboard/{id}",
    scope="read",
    summary="How far a data file has come, and in the end its receipt.",
    parameters=OneFile,
    body=NO_BODY,
    answer=FileState,
    run=lambda on, asked: on.files.show(asked.given.id),
)

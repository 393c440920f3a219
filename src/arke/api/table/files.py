"""The endpoints about data files."""

from __future__ import annotations

from typing import Final

from arke.api.endpoint import NO_BODY, Endpoint, FileBody, Listing, Nothing
from arke.api.parameters import DataFile, OneFile, Paged
from arke.errors import NotFound
from arke.operations.jobs import FileState, LoadedFile, Ticket, WaitingFile

SEND_FILE: Final = Endpoint(
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


SHOW_FILE: Final = Endpoint(
    method="GET",
    path="/v1/onboard/{id}",
    scope="read",
    summary="How far a data file has come, and in the end its receipt.",
    parameters=OneFile,
    body=NO_BODY,
    answer=FileState,
    raises=(NotFound,),
    run=lambda on, asked: on.files.show(asked.given.id),
)


LIST_FILES: Final = Listing(
    method="GET",
    path="/v1/onboard",
    scope="read",
    summary="Data files that were begun, however they came, with their receipts.",
    parameters=Paged,
    body=NO_BODY,
    answer=LoadedFile,
    run=lambda on, asked: on.files.loaded(asked.given.cursor, asked.given.limit),
)


LIST_WAITING: Final = Endpoint(
    method="GET",
    path="/v1/onboard/waiting",
    scope="read",
    summary="Data files that were sent and wait to be loaded.",
    parameters=Nothing,
    body=NO_BODY,
    answer=list[WaitingFile],
    run=lambda on, _: on.files.waiting(),
)

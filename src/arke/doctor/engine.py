"""The engine itself: whether it runs and is well, or whether its doors are free for it."""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING

from arke.api.client import Client
from arke.api.reach import engine_socket, over_socket
from arke.data_directory import engine_answers
from arke.doctor.finding import doubtful, fine, wrong
from arke.errors import ArkeError
from arke.settings import host_and_port
from arke.wording import many

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from arke.doctor.finding import Finding
    from arke.operations.status import Status
    from arke.settings import Settings


def engine(data: Path, settings: Settings) -> Iterator[Finding]:
    if not engine_answers(data):
        yield fine("engine", f"none runs on {data}")
        yield from _doors(settings)
        return
    try:
        status = Client(over_socket(engine_socket(data))).status()
    except ArkeError as error:
        yield wrong("engine", str(error), "see its log; restart it if it does not come back")
        return
    yield from _health(status)


def _doors(settings: Settings) -> Iterator[Finding]:
    for name, address in (
        ("server.intake", settings.server.intake),
        ("server.admin", settings.server.admin),
    ):
        host, port = host_and_port(address, name)
        if not port:
            continue
        problem = _taken(host, port)
        if problem is None:
            yield fine("ports", f"{name} = {address} is free")
        else:
            yield wrong(
                "ports",
                f"{name} = {address}: {problem}",
                f"`ss -ltnp 'sport = :{port}'` says who has it; stop that, or set another port",
            )


def _taken(host: str, port: int) -> str | None:
    """Why nobody can listen there; None where one can."""
    try:
        for family, kind, _, _, where in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            with socket.socket(family, kind) as listening:
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listening.bind(where)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return "another process listens there"
        return (error.strerror or "cannot be listened at").lower()
    return None


def _health(status: Status) -> Iterator[Finding]:
    what = f"runs, catalog version {status.catalog_version}, {many(status.profiles, 'profile')}"
    if status.away:
        away = ", ".join(map(str, status.away))
        yield wrong(
            "engine", f"shards that do not answer: {away}", "see its log: each is restarted by itself"
        )
    if not status.ready:
        yield wrong(
            "engine", f"{what}, NOT READY", "`arke status` and its log say why: most often a full disk"
        )
    elif not status.catalog_version:
        yield doubtful("engine", "runs without a catalog", "arke apply catalog.yaml")
    else:
        yield fine("engine", what)
    for one in status.destinations:
        if one.circuit != "closed":
            yield wrong(
                "engine",
                f"destination {one.id}: its circuit is {one.circuit}, {one.owed:,} owed, "
                f"{one.backlog:,} positions behind",
                "it has refused or not answered several messages in a row: `arke undelivered list` says why",
            )
        elif one.owed:
            yield doubtful(
                "engine", f"destination {one.id}: {many(one.owed, 'device')} owed", "arke undelivered list"
            )

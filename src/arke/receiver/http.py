"""Requests and answers of the reference server: as data, as bytes on the wire, and in a log.

The log's file holds whole bodies, that is personal data: it is for inspection and readable by its owner only.
"""

from __future__ import annotations

import base64
import ipaddress
import os
import time
from collections import deque
from datetime import UTC, datetime
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from pathlib import Path

_WITHOUT_BODY = frozenset({204, 205, 304})


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One complete request. `target` is the path with its query; header names are as they came."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    peer: str

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        return self.target.partition("?")[2]

    def header(self, name: str) -> str | None:
        """The first header of that name."""
        wanted = name.lower()
        return next((value for given, value in self.headers if given.lower() == wanted), None)

    @property
    def from_this_machine(self) -> bool:
        try:
            address = ipaddress.ip_address(self.peer.partition("%")[0])
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            return address.ipv4_mapped.is_loopback
        return address.is_loopback


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A response before it is bytes."""

    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()

    def encode(self, *, keep_alive: bool) -> bytes:
        lines = [
            f"HTTP/1.1 {self.status} {_phrase(self.status)}",
            f"Date: {_date(int(time.time()))}",
            *(f"{name}: {value}" for name, value in self.headers),
        ]
        body = b"" if self.status in _WITHOUT_BODY else self.body
        if body:
            lines.append("Content-Type: application/json")
        if self.status not in {204, 304}:
            lines.append(f"Content-Length: {len(body)}")
        if not keep_alive:
            lines.append("Connection: close")
        return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + body


def json_answer(content: object, status: int = 200, *headers: tuple[str, str]) -> Answer:
    return Answer(status=status, body=msgspec.json.encode(content), headers=headers)


def error_answer(status: int, code: str, message: str, *headers: tuple[str, str]) -> Answer:
    return json_answer({"error": code, "message": message}, status, *headers)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Status"


@lru_cache(maxsize=2)  # formatting a date costs more than the rest of the head
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)


_SECRET_HEADERS: Final = frozenset({"authorization", "proxy-authorization", "cookie"})


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One request with its verdict (`accepted`, or why not) and the status shown (None: no status line)."""

    at: datetime
    request: Request
    verdict: str
    status: int | None
    fault: str | None = None


class RequestLog:
    """Keeps the newest requests, and appends every one to the NDJSON file if there is one."""

    def __init__(self, *, keep: int, out: Path | None) -> None:
        self.records: deque[Record] = deque(maxlen=keep)
        self._file = None
        if out is not None:
            descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            self._file = os.fdopen(descriptor, "ab", buffering=0)

    def add(self, record: Record) -> None:
        self.records.append(record)
        if self._file is not None:
            self._file.write(msgspec.json.encode(_line(record)) + b"\n")

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _line(record: Record) -> dict[str, Any]:
    request = record.request
    return {
        "at": record.at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "method": request.method,
        "target": request.target,
        "headers": [[name, _shown(name, value)] for name, value in request.headers],
        **_body(request),
        "verdict": record.verdict,
        "answer": {"status": record.status, "misbehaved": record.fault},
    }


def _shown(name: str, value: str) -> str:
    if name.lower() not in _SECRET_HEADERS:
        return value
    scheme, space, _ = value.partition(" ")
    return f"{scheme} [redacted]" if space else "[redacted]"


def _body(request: Request) -> dict[str, str]:
    """The exact bytes: as text where they are UTF-8, in base64 where not."""
    try:
        return {"body": request.body.decode("utf-8")}
    except UnicodeDecodeError:
        return {"body_base64": base64.b64encode(request.body).decode("ascii")}

"""Requests and answers of the reference server as data, and an answer's bytes on the wire."""

from __future__ import annotations

import ipaddress
import time
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus

import msgspec

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

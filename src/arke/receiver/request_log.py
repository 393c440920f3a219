"""What the reference server received and answered: the last requests in memory, all of them in a file.

The file holds whole bodies, that is personal data: it is for inspection and readable by its owner only.
"""

from __future__ import annotations

import base64
import os
from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from arke.receiver.http import Request

if TYPE_CHECKING:
    from pathlib import Path

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

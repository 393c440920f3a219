"""The console's own styles, scripts and icon, under names that change with what is in them."""

from __future__ import annotations

import hashlib
from importlib import resources
from typing import TYPE_CHECKING, Final

import msgspec
from starlette.responses import Response

from arke.console.page import ROOT
from arke.console.security import HEADERS

if TYPE_CHECKING:
    from starlette.requests import Request

MEDIA: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
FOREVER: Final = "public, max-age=31536000, immutable"
DIGEST_CHARS: Final = 16


class StaticFile(msgspec.Struct, frozen=True):
    """One file. `address` is where it is found; `tag` its ETag."""

    address: str
    body: bytes
    media: str
    tag: str


class StaticFiles:
    """All of them, read once."""

    def __init__(self) -> None:
        self._by_name: dict[str, StaticFile] = {}
        self._by_address: dict[str, StaticFile] = {}
        for entry in (resources.files(__package__) / "static").iterdir():
            stem, dot, ending = entry.name.rpartition(".")
            media = MEDIA.get(dot + ending)
            if media is None:
                continue
            body = entry.read_bytes()
            digest = hashlib.sha256(body).hexdigest()[:DIGEST_CHARS]
            address = f"{ROOT}/static/{stem}.{digest}{dot}{ending}"
            file = StaticFile(address, body, media, f'"{digest}"')
            self._by_name[entry.name] = self._by_address[address] = file

    def address(self, name: str) -> str:
        """Where a page finds a file."""
        return self._by_name[name].address

    def answer(self, request: Request) -> Response | None:
        """None: there is no such file, or not any more."""
        file = self._by_address.get(request.scope["path"])
        if file is None:
            return None
        headers = HEADERS | {"Cache-Control": FOREVER, "ETag": file.tag}
        if file.tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(file.body, media_type=file.media, headers=headers)

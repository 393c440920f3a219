"""A form with a file in it (multipart/form-data, RFC 7578), read as it comes in: the fields first, then the file.

Browsers send the parts in the order of the form, whose file stands last: so nothing of the file is kept in memory,
and whether the form is ours is known before its first byte is looked at.
"""

from __future__ import annotations

import re
from email.message import Message
from typing import TYPE_CHECKING, Final

from arke.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from arke.console.forms import Form

MAX_FIELDS: Final = 32
MAX_FIELD_BYTES: Final = 256 * 1024
MAX_HEAD_BYTES: Final = 8 * 1024
_BOUNDARY: Final = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")
_BROKEN: Final = "this form is not well-formed: send it from the page"


class FormWithFile:
    """Its `fields`, up to the file; its `name` as the browser says it; and its bytes, once."""

    def __init__(self, parts: AsyncIterator[bytes], media: str) -> None:
        """Raises InvalidInput for what is no such form."""
        self.fields: Form = {}
        self.name = ""
        self._parts = parts
        self._delimiter = b"\r\n--" + _boundary(media)
        self._kept = bytearray(b"\r\n")  # so that the first boundary is one like all others
        self._ended = False

    async def read_fields(self) -> None:
        """Read up to the file's first byte; without one its name stays empty. Raises InvalidInput."""
        if (await self._until_delimiter(MAX_HEAD_BYTES)).strip():
            raise InvalidInput(_BROKEN)
        for _ in range(MAX_FIELDS):
            if await self._at_end():
                self._ended = True
                return
            field, file_name = _described(await self._until(b"\r\n\r\n", MAX_HEAD_BYTES))
            if file_name is not None:
                self.name = file_name
                return
            value = await self._until_delimiter(MAX_FIELD_BYTES)
            try:
                self.fields.setdefault(field, []).append(value.decode())
            except UnicodeDecodeError:
                raise InvalidInput(_BROKEN) from None
        raise InvalidInput(_BROKEN)

    async def file(self) -> AsyncIterator[bytes]:
        """The file's bytes. Raises InvalidInput where the form breaks off."""
        keep = len(self._delimiter) - 1
        while not self._ended:
            at = self._kept.find(self._delimiter)
            if at >= 0:
                yield bytes(self._kept[:at])
                return
            if len(self._kept) > keep:
                yield bytes(self._kept[:-keep])
                del self._kept[:-keep]
            await self._more()

    async def _until_delimiter(self, most: int) -> bytes:
        return await self._until(self._delimiter, most)

    async def _at_end(self) -> bool:
        """Whether no part follows the boundary that was just read."""
        while len(self._kept) < 2:
            await self._more()
        after = bytes(self._kept[:2])
        if after == b"--":
            return True
        if after != b"\r\n":
            raise InvalidInput(_BROKEN)
        del self._kept[:2]
        return False

    async def _until(self, mark: bytes, most: int) -> bytes:
        while (at := self._kept.find(mark)) < 0:
            if len(self._kept) > most:
                raise InvalidInput(_BROKEN)
            await self._more()
        found = bytes(self._kept[:at])
        del self._kept[: at + len(mark)]
        return found

    async def _more(self) -> None:
        part = await anext(self._parts, None)
        if part is None:
            raise InvalidInput("the upload broke off")
        self._kept += part


def _boundary(media: str) -> bytes:
    described = Message()
    described["Content-Type"] = media
    boundary = described.get_boundary("")
    if described.get_content_type() != "multipart/form-data" or not _BOUNDARY.fullmatch(boundary or ""):
        raise InvalidInput("a form with a file is sent as multipart/form-data")
    return str(boundary).encode()


def _described(head: bytes) -> tuple[str, str | None]:
    """A part's field, and its file's name if it is one. Raises InvalidInput."""
    try:
        text = head.decode()
    except UnicodeDecodeError:
        raise InvalidInput(_BROKEN) from None
    for line in text.split("\r\n"):
        name, colon, value = line.partition(":")
        if colon and name.strip().lower() == "content-disposition":
            found = dict(_PARAMETER.findall(value))
            if "name" in found:
                file_name = found.get("filename")
                return _plain(found["name"]), None if file_name is None else _plain(file_name)
    raise InvalidInput(_BROKEN)


_PARAMETER: Final = re.compile(r';\s*(name|filename)="([^"\r\n]*)"')


def _plain(text: str) -> str:
    """As browsers escape what stands in quotes (the HTML standard)."""
    return text.replace("%22", '"').replace("%0D", "\r").replace("%0A", "\n")

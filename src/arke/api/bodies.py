"""The kinds of request bodies, each with its bound."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, TypeVar

import msgspec

from arke.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

B = TypeVar("B")

DOCS = "docs/reference/admin-api.md"


@dataclass(frozen=True, eq=False)
class Body(ABC, Generic[B]):
    """A body of at most `max_bytes` (None: whatever its reader takes); `what` is its name in messages.
    `kind` is what it is read into, unless that is made of parts.
    """

    what: str
    max_bytes: int | None = None
    kind: type[Any] | None = None
    media: ClassVar[str] = "application/octet-stream"

    @abstractmethod
    async def read(self, parts: AsyncIterator[bytes]) -> B:
        """Raises InvalidInput."""

    async def _whole(self, parts: AsyncIterator[bytes]) -> bytes:
        body = bytearray()
        async for part in parts:
            body += part
            if self.max_bytes is not None and len(body) > self.max_bytes:
                raise InvalidInput(f"a {self.what} may have {self.max_bytes} bytes")
        return bytes(body)


@dataclass(frozen=True, eq=False)
class NoBody(Body[None]):
    """Nothing: what is sent all the same is not looked at."""

    async def read(self, parts: AsyncIterator[bytes]) -> None:  # noqa: ARG002
        return


NO_BODY: Final = NoBody("nothing", 0)


@dataclass(frozen=True, eq=False)
class TextBody(Body[str]):
    """UTF-8 text."""

    kind: type[Any] | None = str
    media: ClassVar[str] = "text/plain"

    async def read(self, parts: AsyncIterator[bytes]) -> str:
        try:
            return (await self._whole(parts)).decode()
        except UnicodeDecodeError:
            raise InvalidInput(f"the {self.what} is not UTF-8 text") from None


@dataclass(frozen=True, eq=False, kw_only=True)
class JsonBody(Body[B], Generic[B]):
    """One JSON document. Ids of people come in it: in an address they would end up in the logs of proxies."""

    kind: type[B]
    media: ClassVar[str] = "application/json"

    async def read(self, parts: AsyncIterator[bytes]) -> B:
        try:
            return msgspec.json.decode(await self._whole(parts), type=self.kind)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise InvalidInput(f"the body is not a {self.what}: {error}: see {DOCS}") from None


@dataclass(frozen=True, eq=False)
class FileBody(Body["AsyncIterator[bytes]"]):
    """A file of any size, handed on as it comes in."""

    async def read(self, parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        return parts

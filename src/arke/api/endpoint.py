"""What one endpoint of the admin API is: where it stands, what it takes, answers and refuses, and what it calls.

Three kinds: one answer (`Endpoint`), a page of a list (`Listing`), and a line for each thing found (`Stream`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, Literal, TypeVar

import msgspec

from arke.domain.token import LOCAL
from arke.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping

    from arke.domain.token import Scope
    from arke.doors.refusals import Refusals
    from arke.errors import ArkeError
    from arke.operations.paging import Page
    from arke.operations.subjects import Operations

P = TypeVar("P", bound=msgspec.Struct)
B = TypeVar("B")
R = TypeVar("R")

JSON = "application/json"
NDJSON = "application/x-ndjson"


class Nothing(msgspec.Struct, frozen=True):
    """No parameters."""


@dataclass(frozen=True, slots=True)
class Asked(Generic[P, B]):
    """One request, as an operation needs it. `actor` is a token's id, or `local`; `from_afar`: it came over the
    network. `doors`: what the doors have counted. `instead_of`: the tags in If-Match.
    """

    given: P
    body: B
    actor: str = LOCAL
    from_afar: bool = False
    doors: Refusals | None = None
    instead_of: Collection[str] | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Route(Generic[P, B]):
    """What endpoints have in common.

    `scope` is what a token must have; None: anybody may ask, with any parameters. A field of `parameters` that
    `path` names stands there, the others behind the `?`. `summary` is one line for the reference. `raises`: what it
    refuses besides what any endpoint may (`openapi.py`). `guarded`: it takes If-Match, so that nobody overwrites
    what he has not seen. `headers` go with its answers.
    """

    method: Literal["GET", "POST", "DELETE"]
    path: str
    scope: Scope | None
    summary: str
    parameters: type[P]
    body: Body[B]
    answer: type[Any]
    media: str = JSON
    status: int = 200
    raises: tuple[type[ArkeError], ...] = ()
    guarded: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def query(self) -> tuple[str, ...]:
        """The names of the parameters behind the `?`."""
        names: tuple[str, ...] = self.parameters.__struct_fields__
        return tuple(name for name in names if f"{{{name}}}" not in self.path)

    @property
    def statuses(self) -> tuple[int, ...]:
        """Those of its answers, errors aside."""
        return (self.status,)


@dataclass(frozen=True, kw_only=True, eq=False)
class Endpoint(Route[P, B], Generic[P, B, R]):
    """One answer to one request: JSON, or bytes of another `media` type.

    `status` is that of the answer; of one for which `otherwise` holds, `status_otherwise`. `tag` names an answer
    alone (ETag): whoever has it already gets 304. `next` is the cursor behind an answer that is a page of more.
    `encoded`: the body of one that is no JSON.
    """

    answer: type[R]
    run: Callable[[Operations, Asked[P, B]], Awaitable[R]]
    otherwise: Callable[[R], bool] | None = None
    status_otherwise: int = 200
    tag: Callable[[R], str] | None = None
    next: Callable[[R], str | None] | None = None
    encoded: Callable[[R], bytes] = msgspec.json.encode

    @property
    def statuses(self) -> tuple[int, ...]:
        return (self.status,) if self.otherwise is None else (self.status, self.status_otherwise)

    def status_of(self, answer: R) -> int:
        differs = self.otherwise is not None and self.otherwise(answer)
        return self.status_otherwise if differs else self.status


@dataclass(frozen=True, kw_only=True, eq=False)
class Listing(Route[P, B], Generic[P, B, R]):
    """A page of a list: a JSON array. Its parameters have `cursor` and `limit`; the header Link leads on."""

    answer: type[R]
    run: Callable[[Operations, Asked[P, B]], Awaitable[Page[R]]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Stream(Route[P, B], Generic[P, B, R]):
    """Any number of answers to one request, one JSON document a line, as they are found."""

    answer: type[R]
    run: Callable[[Operations, Asked[P, B]], AsyncIterator[R]]
    media: str = NDJSON


AnyEndpoint = Endpoint[Any, Any, Any] | Listing[Any, Any, Any] | Stream[Any, Any, Any]


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """`code` is stable, `message` is for people; `problems` are those of a catalog, one a line. Of a rule, `line`
    and `column` (from 1) say where it is wrong, and `hint` how to mend it.
    """

    code: str
    message: str
    problems: list[str] | None = None
    line: int | None = None
    column: int | None = None
    hint: str | None = None


DOCS = "/schema"


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

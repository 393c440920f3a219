"""What one endpoint of the admin API is: where it stands, what it takes, what it answers, what it calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

import msgspec

from arke.domain.token import LOCAL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from arke.api.bodies import Body
    from arke.domain.token import Scope
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
    network. `refused`: what the doors have turned away, by door and kind.
    """

    given: P
    body: B
    actor: str = LOCAL
    from_afar: bool = False
    refused: Mapping[tuple[str, str], int] | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Route(Generic[P, B]):
    """What endpoints have in common.

    `scope` is what a token must have; None: anybody may ask, with any parameters. A field of `parameters` that
    `path` names stands there, the others behind the `?`. `summary` is one line for the reference.
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

    `status` is that of the answer; of one for which `otherwise` holds, `status_otherwise`.
    """

    answer: type[R]
    run: Callable[[Operations, Asked[P, B]], Awaitable[R]]
    otherwise: Callable[[R], bool] | None = None
    status_otherwise: int = 200

    @property
    def statuses(self) -> tuple[int, ...]:
        return (self.status,) if self.otherwise is None else (self.status, self.status_otherwise)

    def status_of(self, answer: R) -> int:
        differs = self.otherwise is not None and self.otherwise(answer)
        return self.status_otherwise if differs else self.status


@dataclass(frozen=True, kw_only=True, eq=False)
class Stream(Route[P, B], Generic[P, B, R]):
    """Any number of answers to one request, one JSON document a line, as they are found."""

    answer: type[R]
    run: Callable[[Operations, Asked[P, B]], AsyncIterator[R]]
    media: str = NDJSON

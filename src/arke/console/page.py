"""What one page of the console is: where it stands, who may see it, what it shows, what can be done on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar
from urllib.parse import urlencode

import msgspec

from arke.api.endpoint import Nothing
from arke.console.forms import Entries, Form, NoForm
from arke.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from arke.domain.token import Scope
    from arke.operations.sign_in import Session
    from arke.operations.subjects import Operations

P = TypeVar("P", bound=msgspec.Struct)
F = TypeVar("F")
C = TypeVar("C")

ROOT: Final = "/console"
MAX_FORM_BYTES: Final = 256 * 1024


def address(path: str, query: Mapping[str, str | None]) -> str:
    """Of a page of the console; what is empty is left out of the query."""
    given = {name: value for name, value in query.items() if value}
    return ROOT + path + (f"?{urlencode(given)}" if given else "")


class Missing(Exception):
    """There is nothing of this name: the page is a 404, whose text this is."""


class Flash(msgspec.Struct, frozen=True):
    """What came of an action, shown once on the next page. `detail` is for a page that has more to show of it."""

    text: str
    kind: str = "done"
    detail: Any = None


class Done(msgspec.Struct, frozen=True):
    """An action has been carried out: the browser is sent `to` a page (below /console), which shows the `flash`."""

    to: str
    flash: Flash


@dataclass(frozen=True, slots=True)
class Ask(Generic[P]):
    """One request for a page. `given` are the parameters in its address; `form` is set where an action of the page
    was refused, and has what was entered and why not. `now` is epoch seconds.
    """

    on: Operations
    given: P
    session: Session
    now: float
    form: Entries | None = None
    flash: Flash | None = None

    @property
    def actor(self) -> str:
        return self.session.actor


async def _without_a_file(_: Ask[Any], __: Any) -> Done:
    raise InvalidInput("choose a file")


@dataclass(frozen=True, kw_only=True, eq=False)
class Action(Generic[P, F]):
    """A form of a page: a POST to the page's path and `/name`. `form` is the struct that its fields are read into;
    `run` does the work and raises FormProblems or any ArkeError, with which the page is shown again.
    """

    name: str
    label: str
    scope: Scope
    run: Callable[[Ask[P], F], Awaitable[Done]]
    form: type[F] = NoForm  # type: ignore[assignment] # most have no fields
    max_bytes: int = MAX_FORM_BYTES


@dataclass(frozen=True, kw_only=True, eq=False)
class Upload(Action[P, F]):
    """A form with a file, which is handed on as it comes in: the form's last part. `take` gets it with the name
    that the browser says, and does what `run` does for others.
    """

    take: Callable[[Ask[P], F, str, AsyncIterator[bytes]], Awaitable[Done]]
    run: Callable[[Ask[P], F], Awaitable[Done]] = _without_a_file


@dataclass(frozen=True, kw_only=True, eq=False)
class Page(Generic[P, C]):
    """A page. `path` is below /console and may name parameters; `context` answers with the struct that the template
    shows as `c`. `group` is where it stands in the navigation, under its title; None: only links lead to it, and
    `under` is the path of the entry that it belongs to.
    """

    path: str
    title: str
    scope: Scope
    template: str
    context: Callable[[Ask[P]], Awaitable[C]]
    parameters: type[P] = Nothing  # type: ignore[assignment] # many have none
    group: str | None = None
    under: str | None = None
    actions: tuple[Action[P, Any], ...] = ()

    @property
    def entry(self) -> str:
        """The path of the entry in the navigation that it belongs to."""
        return self.under if self.under is not None else self.path

    def action(self, name: str) -> Action[P, Any]:
        return next(one for one in self.actions if one.name == name)


@dataclass(frozen=True, kw_only=True, eq=False)
class Fragment(Generic[P, F, C]):
    """A part of a page that is asked for while somebody types: a POST of the form around the field, answered with
    the template alone.
    """

    path: str
    scope: Scope
    template: str
    run: Callable[[Ask[P], F], Awaitable[C]]
    form: type[F]
    parameters: type[P] = Nothing  # type: ignore[assignment] # most have none
    max_bytes: int = MAX_FORM_BYTES


@dataclass(frozen=True, kw_only=True, eq=False)
class Feed(Generic[P, C]):
    """What is shown as it happens: server-sent events, each the template over one answer. None is a moment in which
    nothing happened: they have to come now and then, for that is when it is seen that somebody is gone.
    """

    path: str
    scope: Scope
    template: str
    run: Callable[[Ask[P]], AsyncIterator[C | None]]
    parameters: type[P] = Nothing  # type: ignore[assignment] # most have none


__all__ = [
    "Action",
    "Ask",
    "Done",
    "Feed",
    "Flash",
    "Form",
    "Fragment",
    "Missing",
    "Page",
    "Upload",
]

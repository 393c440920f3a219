"""API tokens: those there are, a new one, and the end of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from arke.console.forms import FormProblems
from arke.console.page import Action, Ask, Done, Flash, Page
from arke.console.pages.states import State
from arke.domain.token import SCOPES
from arke.operations.callers import NewToken, TokenFacts

if TYPE_CHECKING:
    from arke.api.endpoint import Nothing
    from arke.domain.token import Scope

MEANINGS: Final[dict[Scope, str]] = {
    "ingest": "send events",
    "browser": "send events from pages, where everybody can read the token",
    "metrics": "read figures, for Prometheus",
    "read": "look at figures and the catalog",
    "operate": "look at people, replay, begin batches, load files",
    "admin": "everything: catalog, tokens, privacy, audit",
}
LIFETIMES: Final = (
    ("90d", "90 days"),
    ("30d", "30 days"),
    ("1d", "1 day"),
    ("1y", "1 year"),
    ("", "for ever"),
)


class Row(msgspec.Struct, frozen=True):
    """One token, and whether it holds."""

    facts: TokenFacts
    state: State


class Tokens(msgspec.Struct, frozen=True):
    """What the page shows; `made` is a token whose secret is shown this once."""

    rows: list[Row]
    made: NewToken | None
    scopes: list[tuple[str, str, str]]
    lifetimes: tuple[tuple[str, str], ...]


class Wanted(msgspec.Struct, frozen=True):
    """A token to be made."""

    name: str = ""
    scope: list[str] = []
    expires: str = ""


class One(msgspec.Struct, frozen=True):
    """A token that exists."""

    id: str


async def tokens(ask: Ask[Nothing]) -> Tokens:
    """The newest first; those that hold before those that do not."""
    rows = [Row(one, _state(one, ask.now)) for one in await ask.on.tokens.every()]
    detail = ask.flash.detail if ask.flash is not None else None
    return Tokens(
        rows=sorted(rows, key=lambda row: (row.state.rank, -row.facts.created)),
        made=detail if isinstance(detail, NewToken) else None,
        scopes=[(scope, scope, MEANINGS[scope]) for scope in SCOPES],
        lifetimes=LIFETIMES,
    )


def _state(token: TokenFacts, now: float) -> State:
    if token.revoked is not None:
        return State("quiet", "revoked", 1)
    if token.expires is not None and token.expires <= now:
        return State("quiet", "expired", 1)
    return State("good", "live", 0)


async def create(ask: Ask[Nothing], wanted: Wanted) -> Done:
    if not wanted.scope:
        raise FormProblems({"scope": "Choose at least one."})
    made = await ask.on.tokens.create(
        ",".join(wanted.scope), wanted.name, wanted.expires or None, actor=ask.actor
    )
    return Done("/tokens", Flash("The token is made. Its secret is shown this once.", detail=made))


async def revoke(ask: Ask[Nothing], one: One) -> Done:
    done = await ask.on.tokens.revoke(one.id, actor=ask.actor)
    return Done("/tokens", Flash(f"Token {done.revoked} is of no use any more, and its sessions have ended."))


PAGE: Final = Page(
    path="/tokens",
    title="Tokens",
    scope="admin",
    template="tokens.html",
    context=tokens,
    group="Engine",
    actions=(
        Action(name="create", label="Make a token", scope="admin", form=Wanted, run=create),
        Action(name="revoke", label="Revoke", scope="admin", form=One, run=revoke),
    ),
)

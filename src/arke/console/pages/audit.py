"""Who did what, newest first, and whether the record of it is whole."""

from __future__ import annotations

from typing import Final

import msgspec

from arke.console.page import ROOT, Ask, Page
from arke.operations.callers import NEWEST, AuditEntry


class Place(msgspec.Struct, frozen=True):
    """From which entry on. `check`: look at every seal, which takes a moment where there are many."""

    before: int | None = None
    check: bool = False


class Audit(msgspec.Struct, frozen=True):
    """A page of entries. `intact`: None, it was not checked. `names` of the tokens that acted."""

    entries: list[AuditEntry]
    names: dict[str, str]
    intact: bool | None
    total: int
    seal: str
    older: str
    newer: str


async def audit(ask: Ask[Place]) -> Audit:
    given = ask.given
    entries = await ask.on.audit.newest(given.before)
    end = await ask.on.audit.end()
    last = entries[-1].number if len(entries) == NEWEST else 1
    return Audit(
        entries=entries,
        names={token.id: token.name for token in await ask.on.tokens.every()},
        intact=await ask.on.audit.intact() if given.check else None,
        total=end.entries,
        seal=end.seal,
        older=f"{ROOT}/audit?before={last}" if last > 1 else "",
        newer=f"{ROOT}/audit" if given.before is not None else "",
    )


PAGE: Final = Page(
    path="/audit",
    title="Audit",
    scope="admin",
    template="audit.html",
    context=audit,
    parameters=Place,
    group="Engine",
)

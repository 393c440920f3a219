"""The catalog as a text that somebody edits: checked while it is typed, planned, and applied as it was planned.

What is being edited is kept with the session, so that what is applied is what was planned, and with the version
that it was made from, so that two who edit at once do not undo each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from arke.console.page import Action, Ask, Done, Flash, Fragment, Page
from arke.console.source import SourceLine, excerpt
from arke.errors import CatalogError, InvalidInput, OtherInForce
from arke.operations.catalog import AppliedReport
from arke.operations.versions import CatalogDiff, CheckedCatalog

if TYPE_CHECKING:
    from arke.api.endpoint import Nothing

DRAFT: Final = "catalog draft"
EDITED_CHARS: Final = 4_000_000
"""A larger catalog is edited elsewhere, and applied by the command."""
TYPED_CHARS: Final = 300_000
"""A larger one is checked by a button, not while somebody types."""
FORM_BYTES: Final = 3 * EDITED_CHARS + 16_384
CHANGES: Final = 50
NOTE: Final = "edited in the console"


class Draft(msgspec.Struct):
    """What somebody edits: made from `version`, whose tag is `tag`. `checked` and `planned` are of this very text;
    `outdated`: another catalog was in force when it was to be applied.
    """

    text: str
    note: str
    version: int
    tag: str
    checked: CheckedCatalog | None = None
    planned: AppliedReport | None = None
    outdated: bool = False


class Editing(msgspec.Struct, frozen=True):
    """What the page shows. `meanwhile`: what others have applied since the text was begun."""

    draft: Draft
    current: int
    found: Found | None
    meanwhile: CatalogDiff | None
    typed: bool
    too_large: bool = False


class Found(msgspec.Struct, frozen=True):
    """What a check found, with the lines around each problem."""

    checked: CheckedCatalog
    excerpt: list[SourceLine]


async def editing(ask: Ask[Nothing]) -> Editing:
    facts = await ask.on.versions.head()
    draft = ask.session.kept.get(DRAFT)
    too_large = False
    if not isinstance(draft, Draft):
        shown = await ask.on.versions.text()
        too_large = len(shown.text) > EDITED_CHARS
        draft = Draft("" if too_large else shown.text, "", facts.version, facts.tag)
    if ask.form is not None:  # what was sent, and was refused
        draft = msgspec.structs.replace(
            draft, text=ask.form.value("text", draft.text), checked=None, planned=None
        )
    return Editing(
        draft=draft,
        current=facts.version,
        found=_found(draft.text, draft.checked) if draft.checked is not None else None,
        meanwhile=await ask.on.versions.diff(draft.version, None, None, CHANGES)
        if draft.version != facts.version
        else None,
        typed=len(draft.text) <= TYPED_CHARS,
        too_large=too_large,
    )


def _found(text: str, checked: CheckedCatalog) -> Found:
    lines = [problem.line for problem in (*checked.errors, *checked.warnings)]
    return Found(checked, excerpt(text, lines))


class Text(msgspec.Struct, frozen=True):
    """The text, and the version it was made from."""

    text: str
    version: int
    tag: str
    note: str = ""


async def check(ask: Ask[Nothing], form: Text) -> Found:
    """While somebody types."""
    if len(form.text) > TYPED_CHARS:
        raise InvalidInput(
            f"More than {TYPED_CHARS:,} characters are checked by the button, not while you type."
        )
    return _found(form.text, await ask.on.versions.validate(form.text, from_afar=_from_afar(ask)))


async def plan(ask: Ask[Nothing], form: Text) -> Done:
    """Check it, and forecast what it would do."""
    if len(form.text) > EDITED_CHARS:
        raise InvalidInput(f"a catalog of more than {EDITED_CHARS:,} characters is applied by the command")
    draft = Draft(form.text, form.note, form.version, form.tag)
    ask.session.kept[DRAFT] = draft
    draft.checked = await ask.on.versions.validate(form.text, from_afar=_from_afar(ask))
    if not draft.checked.ok:
        return Done("/catalog/edit#found", Flash("It cannot be applied: see what is wrong.", "failed"))
    try:
        draft.planned = await _apply(ask, draft, dry_run=True)
    except OtherInForce:
        draft.outdated = True
        return Done("/catalog/edit#meanwhile", Flash(_OUTDATED, "failed"))
    return Done("/catalog/edit#planned", Flash("This is what it would do. Nothing is changed yet."))


async def apply(ask: Ask[Nothing], _: Any) -> Done:
    """What was planned, in the place of the version that it was made from."""
    draft = ask.session.kept.get(DRAFT)
    if not isinstance(draft, Draft) or draft.planned is None:
        raise InvalidInput("plan it first: what is applied is what was planned")
    try:
        report = await _apply(ask, draft, dry_run=False)
    except OtherInForce:
        draft.planned, draft.outdated = None, True
        return Done("/catalog/edit#meanwhile", Flash(_OUTDATED, "failed"))
    except CatalogError:
        draft.planned = None
        raise
    ask.session.kept.pop(DRAFT, None)
    if report.version is None:
        return Done("/catalog", Flash("Nothing was to be changed."))
    return Done("/catalog", Flash("\n".join([f"Version {report.version} is in force.", *report.warnings])))


_OUTDATED: Final = "Somebody else has applied another catalog since you began: nothing was changed."


async def rebase(ask: Ask[Nothing], _: Any) -> Done:
    """Keep the text, and take what is in force by now for what it was made from."""
    draft = ask.session.kept.get(DRAFT)
    if isinstance(draft, Draft):
        facts = await ask.on.versions.head()
        draft.version, draft.tag, draft.outdated, draft.planned = facts.version, facts.tag, False, None
    return Done(
        "/catalog/edit",
        Flash(
            "Your text stays. What it leaves out of the others' changes, it takes back: the plan shows it."
        ),
    )


async def discard(ask: Ask[Nothing], _: Any) -> Done:
    """Begin again from what is in force."""
    ask.session.kept.pop(DRAFT, None)
    return Done("/catalog/edit", Flash("Begun again from the catalog in force."))


async def _apply(ask: Ask[Nothing], draft: Draft, *, dry_run: bool) -> AppliedReport:
    return await ask.on.catalog.apply(
        draft.text,
        draft.note or NOTE,
        None,
        dry_run=dry_run,
        actor=ask.actor,
        from_afar=_from_afar(ask),
        instead_of={draft.tag},
    )


def _from_afar(ask: Ask[Any]) -> bool:
    """Whoever was let in by this machine's socket may refer to what is on it, as with the command."""
    return ask.session.token is not None


PAGE: Final = Page(
    path="/catalog/edit",
    title="Edit the catalog",
    scope="operate",
    template="catalog_edit.html",
    context=editing,
    under="/catalog",
    actions=(
        Action(name="plan", label="Plan", scope="admin", run=plan, form=Text, max_bytes=FORM_BYTES),
        Action(name="apply", label="Apply", scope="admin", run=apply),
        Action(name="rebase", label="Keep my text", scope="admin", run=rebase),
        Action(name="discard", label="Begin again", scope="operate", run=discard),
    ),
)
CHECK: Final = Fragment(
    path="/catalog/edit/check",
    scope="operate",
    template="catalog_found.html",
    run=check,
    form=Text,
    max_bytes=FORM_BYTES,
)

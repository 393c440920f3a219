"""The catalog in force, and those before it: history, what lies between two, and the way back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from msgspec import Meta

from arke.console.forms import FormProblems
from arke.console.page import ROOT, Action, Ask, Done, Flash, Missing, Page
from arke.errors import NotFound
from arke.operations.catalog import AppliedReport
from arke.operations.versions import CatalogDiff, VersionFacts

if TYPE_CHECKING:
    from arke.operations.status import Status

HISTORY: Final = 20
CHANGES: Final = 100
SURE: Final = {"sure": "Tick this to say that it is meant."}


class Older(msgspec.Struct, frozen=True):
    """From which version on the history is shown."""

    cursor: str | None = None


class CatalogPage(msgspec.Struct, frozen=True):
    """What is in force, and a page of the history. `counts` of what the catalog has."""

    status: Status
    counts: dict[str, int]
    versions: list[VersionFacts]
    beginning: str
    older: str


async def catalog(ask: Ask[Older]) -> CatalogPage:
    found = await ask.on.versions.page(ask.given.cursor, HISTORY)
    return CatalogPage(
        status=await ask.on.status.read(),
        counts=ask.on.versions.counts(),
        versions=found.items,
        beginning=f"{ROOT}/catalog" if ask.given.cursor is not None else "",
        older=f"{ROOT}/catalog?cursor={found.next}" if found.next is not None else "",
    )


PAGE: Final = Page(
    path="/catalog",
    title="Catalog",
    scope="read",
    template="catalog.html",
    context=catalog,
    parameters=Older,
    group="Data",
)


class Between(msgspec.Struct, frozen=True):
    """Which two; `new` None: what is in force."""

    old: Annotated[int, Meta(description="The earlier version.")] = 0
    new: Annotated[int | None, Meta(description="The later one.")] = None
    cursor: str | None = None


class Difference(msgspec.Struct, frozen=True):
    """What lies between two versions, page by page."""

    diff: CatalogDiff
    beginning: str
    more: str


async def difference(ask: Ask[Between]) -> Difference:
    given = ask.given
    try:
        diff = await ask.on.versions.diff(given.old, given.new, given.cursor, CHANGES)
    except NotFound as error:
        raise Missing(f"{error}.") from None
    here = f"{ROOT}/catalog/diff?old={diff.old}&new={diff.new}"
    return Difference(
        diff,
        here if given.cursor is not None else "",
        f"{here}&cursor={diff.next}" if diff.next is not None else "",
    )


DIFF: Final = Page(
    path="/catalog/diff",
    title="Catalogs compared",
    scope="read",
    template="catalog_diff.html",
    context=difference,
    parameters=Between,
    under="/catalog",
)


class OneVersion(msgspec.Struct, frozen=True):
    """Which version, and whether its text is to be shown."""

    version: Annotated[int, Meta(title="the version")]
    text: bool = False


class Version(msgspec.Struct, frozen=True):
    """A catalog that was applied. `diff`: what going back to it would change, unless it is in force. `tag` is that
    of the catalog in force as whoever looks sees it; `planned`: what was just forecast.
    """

    version: int
    note: str
    at: int
    in_force: bool
    current: int
    tag: str
    diff: CatalogDiff | None
    text: str
    cut: bool
    planned: AppliedReport | None = None


TEXT_CHARS: Final = 100_000
"""Of a catalog that is only looked at."""


async def version(ask: Ask[OneVersion]) -> Version:
    number = ask.given.version
    try:
        facts = await ask.on.versions.head(number)
        text = (await ask.on.versions.text(number)).text if ask.given.text else ""
    except NotFound as error:
        raise Missing(f"{error}.") from None
    current = await ask.on.versions.head()
    diff = await ask.on.versions.diff(current.version, number, None, CHANGES) if not facts.in_force else None
    planned: Any = ask.flash.detail if ask.flash is not None else None
    return Version(
        version=facts.version,
        note=facts.note,
        at=facts.at,
        in_force=facts.in_force,
        current=current.version,
        tag=current.tag,
        diff=diff,
        text=text[:TEXT_CHARS],
        cut=len(text) > TEXT_CHARS,
        planned=planned if isinstance(planned, AppliedReport) else None,
    )


class Back(msgspec.Struct, frozen=True):
    """`tag` is that of the catalog that was in force when the form was shown."""

    tag: str
    sure: bool = False


async def plan_back(ask: Ask[OneVersion], form: Back) -> Done:
    report = await ask.on.catalog.rollback(
        ask.given.version, dry_run=True, actor=ask.actor, instead_of={form.tag}
    )
    return Done(
        f"/catalog/versions/{ask.given.version}#planned",
        Flash("This is what going back would do. Nothing is changed yet.", detail=report),
    )


async def go_back(ask: Ask[OneVersion], form: Back) -> Done:
    if not form.sure:
        raise FormProblems(SURE)
    report = await ask.on.catalog.rollback(ask.given.version, actor=ask.actor, instead_of={form.tag})
    if report.version is None:
        return Done(
            "/catalog", Flash("Nothing was to be changed: this version is the same as what is in force.")
        )
    text = f"Version {ask.given.version} is in force again, as version {report.version}."
    return Done("/catalog", Flash("\n".join([text, *report.warnings])))


VERSION: Final = Page(
    path="/catalog/versions/{version}",
    title="Catalog version",
    scope="operate",
    template="catalog_version.html",
    context=version,
    parameters=OneVersion,
    under="/catalog",
    actions=(
        Action(name="plan", label="Plan going back", scope="admin", run=plan_back, form=Back),
        Action(name="rollback", label="Go back to it", scope="admin", run=go_back, form=Back),
    ),
)

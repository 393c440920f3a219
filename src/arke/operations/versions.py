"""The catalogs that were applied: what is in force, what was before, what lies between two, and whether a text may
become the next.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import msgspec

from arke.catalog import stored as stored_form
from arke.catalog.plan import Change, plan
from arke.domain.catalog import Catalog
from arke.domain.digits import LARGEST_NUMBER
from arke.errors import NotFound
from arke.operations.paging import PAGE, Page, number_in, page_size
from arke.storage.ports.directory import NO_CATALOG_TAG

if TYPE_CHECKING:
    from arke.catalog.destinations import Checkers
    from arke.catalog.place import Problem
    from arke.delivery.secrets import Confinement
    from arke.engine.live_catalog import LiveCatalog
    from arke.storage.committer import Committer
    from arke.storage.ports.directory import Catalogs

EMPTY: Final = "{}\n"
"""The file of a catalog with nothing in it."""


class VersionFacts(msgspec.Struct, frozen=True):
    """One catalog that was applied: when (epoch seconds), under which name, and whether it is in force."""

    version: int
    at: int
    note: str
    in_force: bool


class CatalogFacts(msgspec.Struct, frozen=True):
    """One catalog as a file would have it: defaults left out, secrets as references. `tag` names it alone: what
    `If-Match` takes. Version 0 is the empty one before the first.
    """

    version: int
    at: int
    note: str
    in_force: bool
    tag: str
    catalog: msgspec.Raw


class VersionHead(msgspec.Struct, frozen=True):
    """One catalog that was applied, without what is in it: as in `CatalogFacts`."""

    version: int
    at: int
    note: str
    in_force: bool
    tag: str


class CatalogText(msgspec.Struct, frozen=True):
    """A catalog as YAML, and its tag."""

    tag: str
    text: str


class ActionCounts(msgspec.Struct):
    """How many things of one kind."""

    added: int = 0
    changed: int = 0
    removed: int = 0


class CatalogDiff(msgspec.Struct, frozen=True):
    """From the catalog `old` to `new`: how many things of each kind are added, changed and removed, and a page of
    them.
    """

    old: int
    new: int
    counts: dict[str, ActionCounts]
    changes: list[Change]
    next: str | None = None


class FoundProblem(msgspec.Struct, frozen=True):
    """A problem in the text, where it begins (both from 1), and how to mend it."""

    line: int
    column: int
    message: str
    hint: str | None


class CheckedCatalog(msgspec.Struct, frozen=True):
    """Whether a text may be applied, and all that was found in it; `counts` of what it would have if it may."""

    ok: bool
    counts: dict[str, int] | None
    errors: list[FoundProblem]
    warnings: list[FoundProblem]


class VersionOperations:
    """Reads catalogs, and changes nothing. `compiler` runs what takes long for a large one."""

    def __init__(
        self,
        live: LiveCatalog,
        catalogs: Catalogs,
        compiler: Committer,
        checkers: Checkers,
        confinement: Confinement,
    ) -> None:
        """`confinement`: what a catalog from the network may refer to."""
        self._live = live
        self._catalogs = catalogs
        self._compiler = compiler
        self._checkers = checkers
        self._confined = checkers._replace(confined=confinement)
        self._text = CatalogText(NO_CATALOG_TAG, EMPTY)

    async def page(self, cursor: str | None = None, limit: int = PAGE) -> Page[VersionFacts]:
        """What was applied, newest first. Raises InvalidInput."""
        before = number_in(cursor)
        found = await self._catalogs.versions(
            LARGEST_NUMBER if before is None else before, page_size(limit) + 1
        )
        items = [VersionFacts(number, at, note, number == self._live.version) for number, at, note in found]
        more = len(items) > limit
        return Page(items[:limit], str(items[limit - 1].version) if more else None)

    def counts(self) -> dict[str, int]:
        """How much of each kind the catalog in force has."""
        from arke.catalog.load import counts

        return counts(self._live.catalog)

    def in_force(self, kind: Literal["segment", "destination"], number: int) -> bool:
        """Whether the catalog in force has this one. What is told of others and of the past may be gone from it."""
        return number in (self._live.external if kind == "segment" else self._live.destinations)

    async def head(self, version: int | None = None) -> VersionHead:
        """One catalog without what is in it; None: the one in force. Raises NotFound."""
        number = self._live.version if version is None else version
        if number == 0:
            return VersionHead(0, 0, "", self._live.version == 0, NO_CATALOG_TAG)
        stored = await self._catalogs.get(number)
        if stored is None:
            raise self._missing(number)
        return VersionHead(number, stored.at, stored.note, number == self._live.version, stored.tag)

    async def show(self, version: int | None = None) -> CatalogFacts:
        """One catalog; None: the one in force. Raises NotFound."""
        kept = await self._kept(version)
        return CatalogFacts(
            kept.version,
            kept.at,
            kept.note,
            kept.version == self._live.version,
            kept.tag,
            msgspec.Raw(await self._compiler.run(_as_json, kept.catalog)),
        )

    async def text(self, version: int | None = None) -> CatalogText:
        """The same as a YAML file, for people to edit. Raises NotFound."""
        kept = await self._kept(version)
        if self._text.tag != kept.tag:
            from arke.catalog.written import as_yaml

            self._text = CatalogText(kept.tag, await self._compiler.run(as_yaml, kept.catalog))
        return self._text

    async def diff(
        self, old: int, new: int | None = None, cursor: str | None = None, limit: int = PAGE
    ) -> CatalogDiff:
        """What changes from one to another; `new` None: to what is in force. Raises NotFound, InvalidInput."""
        after, size = number_in(cursor) or 0, page_size(limit)
        before, behind = await self._kept(old), await self._kept(new)
        changes = (await self._compiler.run(plan, before.catalog, behind.catalog)).changes
        found: dict[str, ActionCounts] = {}
        for (kind, action), count in Counter((one.kind, one.action) for one in changes).items():
            setattr(found.setdefault(kind, ActionCounts()), action, count)
        end = after + size
        return CatalogDiff(
            before.version,
            behind.version,
            found,
            list(changes[after:end]),
            str(end) if end < len(changes) else None,
        )

    async def validate(self, text: str, name: str = "catalog", *, from_afar: bool = False) -> CheckedCatalog:
        """What is wrong with a text, and where. `from_afar`: it came over the network."""
        from arke.catalog.load import counts, examine_text

        checkers = self._confined if from_afar else self._checkers
        found = await self._compiler.run(examine_text, text, name=name, base_dir=None, checkers=checkers)
        return CheckedCatalog(
            ok=found.catalog is not None,
            counts=counts(found.catalog) if found.catalog is not None else None,
            errors=[_found(one) for one in found.errors],
            warnings=[_found(one) for one in found.warnings],
        )

    def _missing(self, number: int) -> NotFound:
        return NotFound(f"there is no catalog version {number}: the newest is {self._live.version}")

    async def _kept(self, version: int | None) -> _Kept:
        """Raises NotFound."""
        live = self._live.catalog
        number = self._live.version if version is None else version
        if number == 0:
            return _Kept(0, 0, "", NO_CATALOG_TAG, Catalog())
        in_force = number == self._live.version
        stored = await self._catalogs.get(number)
        if stored is None:
            raise self._missing(number)
        catalog = live if in_force else await self._compiler.run(stored_form.from_json, stored.body)
        return _Kept(number, stored.at, stored.note, stored.tag, catalog)


class _Kept(NamedTuple):
    """A stored catalog, read."""

    version: int
    at: int
    note: str
    tag: str
    catalog: Catalog


def _as_json(catalog: Catalog) -> bytes:
    from arke.catalog.written import as_document

    return msgspec.json.encode(as_document(catalog))


def _found(problem: Problem) -> FoundProblem:
    return FoundProblem(problem.line, problem.column, problem.message, problem.hint)

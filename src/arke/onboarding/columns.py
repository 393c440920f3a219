"""How a table is read: which column is whose id, which are traits, memberships and signals.

```yaml
id: {column: customer, dpid: 12345}      # dpid 0: the column holds UUIDs
target: 501                              # whose traits these are; the data source of the ids if left out
mode: sync                               # or overwrite; or mirror: the file is the whole audience
traits: {bought: 1000}                   # column: trait; 1 realises it, 0 removes it, empty says nothing
memberships: {churn_risk: 14356}         # column: external segment; 1 or 0, empty says nothing
signals: {product: c_product}            # column: key that rules of onboarded traits ask for
always: {traits: [2000], memberships: {14357: 1}}   # what every row says
header: true                             # false: the first line is a row, and columns are named 0, 1, 2, ...
nulls: ["\\\\N"]                           # cells that say nothing, beside empty ones
delimiter: ","                           # of CSV
feed: shop                               # mirror: whose file it is, where several mirror the same
mirror_guard: 20%                        # mirror: the share of those who are in, or how many, that may leave
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from arke.domain.catalog import MAX_ID
from arke.errors import InvalidInput
from arke.storage.ports.feeds import Subject

if TYPE_CHECKING:
    from collections.abc import Mapping

    from arke.domain.catalog import Catalog
    from arke.onboarding.names import FileName

MAX_NULLS = 100
MAX_FEED_CHARS = 100

Dpid = Annotated[int, msgspec.Meta(ge=0, le=MAX_ID)]
Flag = Annotated[int, msgspec.Meta(ge=0, le=1)]
Nulls = Annotated[tuple[str, ...], msgspec.Meta(max_length=MAX_NULLS)]


_LATER = frozenset({"always", "header", "nulls", "feed"})
_HOW_LOADED = frozenset({"mirror_guard"})
"""Says nothing of what is in the file."""


class IdColumn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The column that names the user, and the data source of its ids."""

    column: str
    dpid: Dpid


class Always(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What every row says. Traits that are realised, or each with 1 or 0; segments with 1 or 0."""

    traits: list[int] | dict[int, Flag] = []
    memberships: dict[int, Flag] = {}

    @property
    def trait_flags(self) -> dict[int, int]:
        return self.traits if isinstance(self.traits, dict) else dict.fromkeys(self.traits, 1)


class Columns(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a table is read; columns that are not named are not read."""

    id: IdColumn
    target: Dpid | None = None
    mode: Literal["sync", "overwrite", "mirror"] = "sync"
    traits: dict[str, int] = {}
    memberships: dict[str, int] = {}
    signals: dict[str, str] = {}
    delimiter: Annotated[str, msgspec.Meta(min_length=1, max_length=1)] = ","
    always: Always = Always()
    header: bool = True
    nulls: Nulls = ("\\N",)
    feed: Annotated[str, msgspec.Meta(max_length=MAX_FEED_CHARS)] = ""
    mirror_guard: str = "20%"

    @property
    def names(self) -> list[str]:
        """Every column that is read, the id's first."""
        return list(dict.fromkeys([self.id.column, *self.traits, *self.memberships, *self.signals]))

    @property
    def says_something(self) -> bool:
        always = self.always
        return bool(self.traits or self.memberships or self.signals or always.traits or always.memberships)

    @property
    def subjects(self) -> list[Subject]:
        """Whatever a row may say that somebody is in."""
        traits = (*self.traits.values(), *self.always.trait_flags)
        segments = (*self.memberships.values(), *self.always.memberships)
        found = [Subject("trait", number) for number in traits]
        found += [Subject("segment", number) for number in segments]
        return list(dict.fromkeys(found))

    @property
    def fingerprint(self) -> bytes:
        """Tells tables apart that are read differently. What earlier versions did not know counts where set."""
        told: dict[str, object] = msgspec.to_builtins(self)
        standard: dict[str, object] = msgspec.to_builtins(Columns(id=self.id))
        return msgspec.json.encode(
            {
                name: value
                for name, value in told.items()
                if name not in _HOW_LOADED and (name not in _LATER or value != standard[name])
            }
        )

    def named(self, name: FileName) -> FileName:
        """The file's name, completed by what the columns say."""
        target = self.id.dpid if self.target is None else self.target
        return msgspec.structs.replace(name, kind=self.mode, dpids=(self.id.dpid,), target=target)


def check_memberships(columns: Columns, external: Mapping[int, bool], where: str) -> None:
    """Only memberships of external segments are declared. Raises InvalidInput."""
    named = [(f"column {column!r}", segment_id) for column, segment_id in columns.memberships.items()]
    named += [("always", segment_id) for segment_id in columns.always.memberships]
    for what, segment_id in named:
        declared = external.get(segment_id)
        if declared is None:
            raise InvalidInput(f"{where}: {what}: no segment {segment_id} in the catalog")
        if not declared:
            raise InvalidInput(
                f"{where}: {what}: segment {segment_id} has a rule: its membership is computed, not told"
            )


def unknown_traits(columns: Columns, catalog: Catalog, target: int) -> list[str]:
    """A warning for each trait that a table names and that none of its rows can concern. Rows say the rest."""
    known = {trait.id: trait for trait in catalog.traits}
    named = [(f"column {column!r}", trait_id) for column, trait_id in columns.traits.items()]
    named += [("always", trait_id) for trait_id in columns.always.trait_flags]
    warnings = []
    for what, trait_id in named:
        trait = known.get(trait_id)
        if trait is None:
            warnings.append(f"{what}: no trait {trait_id} in the catalog")
        elif trait.kind != "onboarded":
            warnings.append(f"{what}: trait {trait_id} is not of `kind: onboarded`, which files tell alone")
        elif trait.data_source not in (None, target):
            warnings.append(
                f"{what}: trait {trait_id} is data source {trait.data_source}'s and not {target}'s: say whose "
                "traits these are with `target`"
            )
    return warnings

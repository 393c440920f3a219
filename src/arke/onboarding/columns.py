"""The columns file of a table: which column is whose id, which are traits, memberships and signals.

```yaml
id: {column: customer, dpid: 12345}      # dpid 0: the column holds UUIDs
target: 501                              # whose traits these are; the data source of the ids if left out
mode: sync                               # or overwrite
traits: {bought: 1000}                   # column: trait; 1 realises it, 0 removes it, empty says nothing
memberships: {churn_risk: 14356}         # column: external segment; 1 or 0, empty says nothing
signals: {product: c_product}            # column: key that rules of onboarded traits ask for
delimiter: ","                           # of CSV
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import msgspec

from arke.catalog.events import BadSyntax
from arke.catalog.tree import grow
from arke.catalog.yaml_events import yaml_events
from arke.domain.catalog import GLOBAL_DATA_SOURCES, MAX_ID
from arke.errors import InvalidInput
from arke.onboarding.names import parse_name
from arke.onboarding.source import read_small

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from arke.onboarding.names import FileName

SUFFIX = ".columns.yaml"
"""`audience.csv` is read by `audience.csv.columns.yaml` beside it."""
MAX_BYTES = 64 * 1024
MAX_COLUMNS = 4_096

Dpid = Annotated[int, msgspec.Meta(ge=0, le=MAX_ID)]


class IdColumn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The column that names the user, and the data source of its ids."""

    column: str
    dpid: Dpid


class Columns(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a table is read; columns that are not named are not read."""

    id: IdColumn
    target: Dpid | None = None
    mode: Literal["sync", "overwrite"] = "sync"
    traits: dict[str, int] = {}
    memberships: dict[str, int] = {}
    signals: dict[str, str] = {}
    delimiter: Annotated[str, msgspec.Meta(min_length=1, max_length=1)] = ","

    @property
    def names(self) -> list[str]:
        """Every column that is read, the id's first."""
        return list(dict.fromkeys([self.id.column, *self.traits, *self.memberships, *self.signals]))

    def named(self, name: FileName) -> FileName:
        """The file's name, completed by what the columns say."""
        target = self.id.dpid if self.target is None else self.target
        return msgspec.structs.replace(name, kind=self.mode, dpids=(self.id.dpid,), target=target)


def parse_columns(text: str | bytes, where: str) -> Columns:
    """Raises InvalidInput saying what is wrong."""
    if len(text) > MAX_BYTES:
        raise InvalidInput(f"{where}: a columns file may have {MAX_BYTES:,} bytes")
    try:
        plain = text.decode() if isinstance(text, bytes) else text
        tree = grow(yaml_events(plain.removeprefix("\ufeff")), max_keys=MAX_COLUMNS)
        columns = msgspec.convert(tree.value, Columns)
    except BadSyntax as error:
        place = error.place
        raise InvalidInput(f"{where}: line {place.line}, column {place.column}: {error.message}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{where}: {error}") from None
    for key, place, first in tree.duplicates:
        raise InvalidInput(
            f"{where}: line {place.line}, column {place.column}: {key!r} stands twice, first in line {first.line}"
        )
    if not (columns.traits or columns.memberships or columns.signals):
        raise InvalidInput(f"{where}: names no traits, memberships or signals: nothing would be loaded")
    if columns.target is None and columns.id.dpid in GLOBAL_DATA_SOURCES:
        raise InvalidInput(
            f"{where}: ids of the global data source {columns.id.dpid} are everybody's: say with `target` whose "
            "traits these are"
        )
    return columns


def columns_beside(path: Path | str, folder: int | None = None) -> bytes | None:
    """The columns file that lies beside a table, None where there is none. `folder`: an open folder that `path`
    is a name in. Raises InvalidInput.
    """
    name = str(path)
    if not name.endswith((".csv", ".csv.gz", ".parquet")):
        return None
    try:
        return read_small(name + SUFFIX, MAX_BYTES + 1, folder)
    except OSError as error:
        raise InvalidInput(f"{name}{SUFFIX}: cannot be read: {error.strerror}") from None


def check_memberships(columns: Columns, external: Mapping[int, bool], where: str) -> None:
    """Only memberships of external segments are declared. Raises InvalidInput."""
    for column, segment_id in columns.memberships.items():
        declared = external.get(segment_id)
        if declared is None:
            raise InvalidInput(f"{where}: column {column!r}: no segment {segment_id} in the catalog")
        if not declared:
            raise InvalidInput(
                f"{where}: column {column!r}: segment {segment_id} has a rule: its membership is computed, not told"
            )


class Outgoing(NamedTuple):
    """A file to load, and the text of its columns file if it is a table."""

    path: Path
    columns: str | None


def outgoing(paths: Sequence[Path], columns: Path | None) -> list[Outgoing]:
    """In the order of the times in names. Raises InvalidInput."""
    given: str | None = None
    if columns is not None:
        try:
            read = read_small(columns, MAX_BYTES + 1)
            given = None if read is None else read.decode()
        except (OSError, UnicodeDecodeError):
            given = None
        if given is None:
            raise InvalidInput(f"{columns}: cannot read this columns file")
    found = []
    for path in paths:
        if path.is_dir():
            raise InvalidInput(
                f"{path}: this is a folder: name its files, or let `onboarding.folder` watch it"
            )
        name = parse_name(path.name)
        if not path.is_file():
            raise InvalidInput(f"{path}: there is no such file")
        text: str | None = None
        if name.kind == "table":
            beside = columns_beside(path) if given is None else None
            text = given if beside is None else beside.decode(errors="replace")
        found.append((name.order, Outgoing(path, text)))
    return [one for _, one in sorted(found, key=lambda pair: pair[0])]

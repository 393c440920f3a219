"""What of an Audience Manager configuration has no equivalent in a catalog: remarks by id, field and reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

KINDS: Final = ("file", "data_source", "folder", "trait", "segment", "destination", "mapping", "object")
"""In the order in which they are reported."""


class Remark(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something that stands otherwise in the catalog, or not at all. `count`: of so many objects of this kind, of
    which `id` is one; `file` is where it was read.
    """

    kind: str
    id: str
    field: str
    reason: str
    count: int = 1
    file: str = ""


class Report:
    """Collects remarks. What is true of all objects of a kind alike is said once, with a count."""

    def __init__(self) -> None:
        self._single: list[Remark] = []
        self._common: dict[tuple[str, str], Remark] = {}

    def add(self, kind: str, id_: object, field: str, reason: str, file: str = "") -> None:
        self._single.append(Remark(kind, str(id_), field, reason, 1, file))

    def common(self, kind: str, id_: object, field: str, reason: str, file: str = "") -> None:
        """Note a field that has no equivalent whatever it says; the first object that has it is the example."""
        found = self._common.get((kind, field))
        if found is None:
            self._common[kind, field] = Remark(kind, str(id_), field, reason, 1, file)
        else:
            self._common[kind, field] = msgspec.structs.replace(found, count=found.count + 1)

    def remarks(self) -> list[Remark]:
        """All of them, by kind, id and field, those of single objects first."""
        return [*_sorted(self._single), *_sorted(self._common.values())]


def _sorted(remarks: Iterable[Remark]) -> list[Remark]:
    def place(remark: Remark) -> tuple[int, int, str, str, str]:
        number = int(remark.id) if remark.id.isascii() and remark.id.isdigit() else -1
        return KINDS.index(remark.kind), number, remark.id, remark.field, remark.reason

    return sorted(remarks, key=place)


def line(remark: Remark) -> str:
    """A remark as people read it: `trait 1003 traitType: an algorithmic trait ...`."""
    kind = remark.kind.replace("_", " ")
    field = f" {remark.field}" if remark.field else ""
    which = (
        f"{kind} {remark.id}{field}"
        if remark.count == 1
        else f"{kind} {remark.id}{field} (of {remark.count:,})"
    )
    where = f" ({remark.file})" if remark.file and remark.kind != "file" else ""
    return f"{which}: {remark.reason}{where}"

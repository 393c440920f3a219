"""What became of a file, line by line: counters that add up (dossier 15: receipts)."""

from __future__ import annotations

from typing import Literal

import msgspec

from arke.onboarding.allowance import Allowance, percent_of
from arke.wording import many

ErrorClass = Literal[
    "format",
    "too_long",
    "invalid_uuid",
    "invalid_device_id",
    "blocked_id",
    "no_matching_id",
    "no_trait",
    "opted_out",
    "over_limit",
    "internal",
]
SAMPLES = 10
"""Samples kept of each class of errors: line numbers and reasons, nothing of the lines themselves."""

MAX_REFUSED = Allowance(percent=50.0)
"""Beyond this a receipt warns, and a command fails unless it is told otherwise."""
BLAMELESS = frozenset({"no_matching_id", "opted_out"})
"""Classes of lines that are not stored because of whom they are about."""
BAD_CELL = "cell"
"""Under which the samples of cells that cannot be read are kept."""

MEANINGS: dict[ErrorClass, str] = {
    "format": "cannot be read",
    "too_long": "longer than a line may be",
    "invalid_uuid": "the id is no UUID of 38 digits",
    "invalid_device_id": "the id has not the form of its data source",
    "blocked_id": "the id names nobody: a placeholder, or one that the catalog denies",
    "no_matching_id": "the id belongs to no device that is known",
    "no_trait": "nothing in it concerns a trait of this data source",
    "opted_out": "the user has opted out",
    "over_limit": "more lines than one user may have",
    "internal": "a defect of Arke: the line was not applied",
}


class Sample(msgspec.Struct, frozen=True):
    """One line that was not stored. No part of it is kept: the file has it."""

    line: int
    why: str


class Tally(msgspec.Struct, kw_only=True):
    """Counters of lines. `received` = `stored` + the sum of `errors`. `devices`, `people`: different ones that
    lines were stored for; `signals`: key-values read, `unused` those that no trait asks for; `realised`, `removed`
    and `told` (external segments) count what stored lines did; `invalid_traits` are traits of other data
    sources, in `invalid_lines` lines; `bad_cells` are cells of tables that could not be read;
    `left` counts who was in by a mirror's feed, each trait and segment, and is absent from its file.
    """

    received: int = 0
    stored: int = 0
    errors: dict[str, int] = msgspec.field(default_factory=dict)
    devices: int = 0
    people: int = 0
    signals: int = 0
    unused: int = 0
    realised: int = 0
    removed: int = 0
    told: int = 0
    linked: int = 0
    invalid_traits: int = 0
    invalid_lines: int = 0
    bad_cells: int = 0
    left: int = 0
    samples: dict[str, list[Sample]] = msgspec.field(default_factory=dict)

    def refuse(self, kind: ErrorClass, line: int, why: str | None = None) -> None:
        """A line that is not stored."""
        self.errors[kind] = self.errors.get(kind, 0) + 1
        self._sample(kind, line, why or MEANINGS[kind])

    @property
    def refused(self) -> int:
        """Lines with which something is wrong."""
        return sum(count for kind, count in self.errors.items() if kind not in BLAMELESS)

    def bad_cell(self, line: int, why: str) -> None:
        """A cell that cannot be read; what else stands in its line counts."""
        self.bad_cells += 1
        self._sample(BAD_CELL, line, why)

    def _sample(self, kind: str, line: int, why: str) -> None:
        samples = self.samples.setdefault(kind, [])
        if len(samples) < SAMPLES:
            samples.append(Sample(line, why))

    def add(self, other: Tally) -> None:
        for name in _COUNTERS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for kind, count in other.errors.items():
            self.errors[kind] = self.errors.get(kind, 0) + count
        for kind, samples in other.samples.items():
            known = self.samples.setdefault(kind, [])
            known.extend(samples[: SAMPLES - len(known)])


_COUNTERS = (
    *(
        "received",
        "stored",
        "devices",
        "people",
        "signals",
        "unused",
        "realised",
        "removed",
        "told",
        "linked",
    ),
    *("invalid_traits", "invalid_lines", "bad_cells", "left"),
)


class Receipt(Tally, kw_only=True):
    """What became of one file. `state` is `done`, `failed` or `loading`; `reason` and `message` say why it
    failed; `repeated`: this very file had been loaded before, and nothing was done. Times are RFC 3339.
    """

    file: str
    kind: str
    state: Literal["done", "failed", "loading"]
    reason: str = ""
    message: str = ""
    repeated: bool = False
    data_source: int | None = None
    target: int | None = None
    begun: str = ""
    ended: str = ""
    digest: str = ""
    warnings: list[str] = []

    def beyond(self, allowance: Allowance) -> str:
        """Why so many refused lines are too many; empty where they are not. Ids of nobody who is known, and people
        who opted out, are no fault of a line; but where nothing at all was stored, the ids themselves look wrong.
        """
        refused = self.refused if self.stored else sum(self.errors.values())
        if allowance.admits(refused, self.received):
            return ""
        return (
            f"{refused:,} of {many(self.received, 'line')} ({percent_of(refused, self.received)}) were refused, "
            f"more than {allowance}"
        )

    def lines(self) -> list[str]:
        """For people."""
        head = f"{self.file}: {self.state}"
        if self.state == "failed":
            head += f" ({self.reason}): {self.message}"
        if self.repeated:
            head += f": this very file was loaded before ({self.begun}); nothing was changed. Then:"
        shown = [head, *(f"  warning: {warning}" for warning in self.warnings)]
        if self.received:
            shown.append(
                f"  {many(self.received, 'line')} received = {self.stored:,} stored "
                f"+ {sum(self.errors.values()):,} not stored"
            )
        if self.stored:
            people = f", {many(self.people, 'person', 'people')}" if self.people else ""
            shown.append(
                f"  {many(self.devices, 'device')}{people}; {many(self.realised, 'trait')} realised, "
                f"{self.removed:,} removed; {many(self.told, 'membership')} told; {many(self.linked, 'id')} linked"
            )
        if self.kind == "mirror" and self.state == "done":
            shown.append(f"  {many(self.left, 'id')} left that came in by an earlier file")
        if self.signals or self.invalid_traits:
            shown.append(
                f"  {many(self.signals, 'signal')}, {self.unused:,} of no use; "
                f"{many(self.invalid_traits, 'trait')} of other data sources in {many(self.invalid_lines, 'line')}"
            )
        if self.bad_cells:
            shown.append(f"  {many(self.bad_cells, 'cell')} not read: {_reasons(self.samples[BAD_CELL])}")
        for kind, count in sorted(self.errors.items()):
            shown.append(f"  {count:,} {kind}: {_reasons(self.samples[kind])}")
        return shown


def _reasons(samples: list[Sample]) -> str:
    """Each reason of a class with the lines it was met in."""
    numbers: dict[str, list[str]] = {}
    for sample in samples:
        numbers.setdefault(sample.why, []).append(str(sample.line))
    return "; ".join(
        f"{why} ({'line' if len(lines) == 1 else 'lines'} {', '.join(lines)})"
        for why, lines in numbers.items()
    )


class FileState(msgspec.Struct, frozen=True, kw_only=True):
    """How far a file that was sent has come: `lines` of `total` (0: not known), and at the end its receipt."""

    id: str
    state: Literal["waiting", "loading", "done", "failed"]
    lines: int = 0
    total: int = 0
    receipt: Receipt | None = None


class LoadedFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that was begun, however it came: its number, when it was first begun (RFC 3339), how many lines are
    read, and once it is done, or has failed, its receipt.
    """

    number: int
    name: str
    begun: str
    done: bool
    lines: int
    receipt: Receipt | None = None


class WaitingFile(msgspec.Struct, frozen=True):
    """A file that was sent and waits to be loaded, under its ticket."""

    id: str
    name: str

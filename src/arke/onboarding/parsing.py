"""From a line of a file to what it says, or to why it is not stored. Runs in a thread, touches nothing else.

A parser takes (line number, entry, tally) and returns what the line says, None where it counts as an error or
is blank. Blank lines are not received.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from arke.domain.file_lines import Said
from arke.domain.identity import IdKey
from arke.domain.ids import DEVICE_ID_FORMATS, IdProblem, IdRules
from arke.onboarding.items import SHARED_LINES, Malformed, read_items

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.onboarding.items import Meaning, TraitBook
    from arke.onboarding.names import FileName
    from arke.onboarding.receipt import ErrorClass, Tally

ID_TYPES = {
    "idfa": 20915,
    "gaid": 20914,
    "adid": 20914,
    "aaid": 20914,
    "android": 20914,
    "android device id": 20914,
}
"""Id types of `ftp_dpm_odc_` files, in any letter case, and the data sources that they mean."""

REMEMBERED_CHARS = 1_000
"""What a longer line means is not remembered."""


class Statement(msgspec.Struct, frozen=True, gc=False):
    """What the line of this number says of a user."""

    key: IdKey
    number: int
    said: Said


class IdRow(NamedTuple):
    """The ids of one line of an id-sync file, in the order of its columns; DPID 0 is the UUID."""

    number: int
    keys: tuple[IdKey, ...]


_REFUSED: Final[dict[IdProblem, tuple[ErrorClass, str]]] = {
    IdProblem.MALFORMED: ("format", "control characters in the id, or more than 512 of any"),
    IdProblem.REPLACED: ("format", "the id holds U+FFFD, which stands for what could not be read"),
    IdProblem.NOT_A_UUID: ("invalid_uuid", "the id is no UUID of 38 digits"),
    IdProblem.DEVICE_FORM: ("invalid_device_id", "the id has not the form that ids of its data source have"),
    IdProblem.UNKNOWN_SOURCE: ("format", "its data source is not in the catalog"),
    IdProblem.FORM: ("invalid_device_id", "the id has not the form that the catalog prescribes (id_form)"),
    IdProblem.NOBODY: ("blocked_id", "the id is a placeholder, a macro that nobody filled in, or all zeros"),
    IdProblem.DENIED: ("blocked_id", "the catalog denies this id (deny)"),
}


class NoId(NamedTuple):
    """Why what stands in the place of an id is none."""

    kind: ErrorClass
    why: str


def read_id(rules: IdRules, dpid: int, text: str) -> str | NoId:
    """An id of a data source as it stands in a file."""
    if not text:
        return NoId("format", "there is no id")
    found = rules.read(dpid, text)
    if not isinstance(found, IdProblem):
        if dpid not in DEVICE_ID_FORMATS and (":" in text or "%3a" in text.lower()):
            return NoId("format", "a colon in the id")
        return found
    kind, why = _REFUSED[found]
    if dpid == 0 or dpid in DEVICE_ID_FORMATS:  # the receipt counts kinds of ids
        kind = "invalid_uuid" if dpid == 0 else "invalid_device_id"
    return NoId(kind, why)


def text_of(number: int, raw: bytes | None, tally: Tally) -> str | None:
    """A received line as text; None for a blank one, one too long, or one that is not UTF-8."""
    if raw is None:
        tally.received += 1
        tally.refuse("too_long", number)
        return None
    if not raw or raw.isspace():
        return None
    tally.received += 1
    try:
        return raw.decode()
    except UnicodeDecodeError:
        tally.refuse("format", number, "this is not UTF-8 text")
        return None


def meant(number: int, key: IdKey, meaning: Meaning, tally: Tally) -> Statement | None:
    """What a readable line comes to, counted."""
    tally.signals += meaning.signals
    tally.unused += meaning.unused
    if meaning.invalid:
        tally.invalid_traits += meaning.invalid
        tally.invalid_lines += 1
    if meaning.nothing:
        tally.refuse("no_trait", number)
        return None
    return Statement(key, number, meaning.said)


class TraitLines:
    """Parses the lines of onboarding files. `book` and `rules` may be exchanged between chunks.

    Files say the same of many: what the part behind the id means is remembered, and read once.
    """

    def __init__(self, name: FileName, book: TraitBook, rules: IdRules) -> None:
        self._known: dict[str, Meaning] = {}
        self._book = book
        self.rules = rules
        (self._dpid,) = name.dpids
        self._typed = name.typed
        self._removing = name.kind == "sync"

    @property
    def book(self) -> TraitBook:
        return self._book

    @book.setter
    def book(self, book: TraitBook) -> None:
        self._book = book
        self._known.clear()

    def __call__(self, number: int, raw: bytes | None, tally: Tally) -> Statement | None:
        text = text_of(number, raw, tally)
        if text is None:
            return None
        dpid = self._dpid
        if self._typed:
            kind, _, text = text.partition("\t")
            if kind.strip().lower() not in ID_TYPES:
                tally.refuse("format", number, "the first column names no id type that is known")
                return None
            dpid = ID_TYPES[kind.strip().lower()]
        partner_id, tab, rest = text.partition("\t")
        if not tab:
            tally.refuse("format", number, "there is no tab behind the id")
            return None
        id_ = read_id(self.rules, dpid, partner_id.strip(" "))
        if isinstance(id_, NoId):
            tally.refuse(id_.kind, number, id_.why)
            return None
        meaning = self._known.get(rest)
        if meaning is None:
            meaning = self._meaning(number, rest, tally)
        return None if meaning is None else meant(number, (dpid, id_), meaning, tally)

    def together(self, numbers: Sequence[int], raws: Sequence[bytes | None], tally: Tally) -> list[Statement]:
        """What many lines say, each as by itself. Mostly nothing is to be said of any of their ids: then they are
        looked at together.
        """
        cells = None if self._typed else self._cells(raws)
        found: list[Statement] = []
        if cells is None:
            for number, raw in zip(numbers, raws, strict=True):
                statement = self(number, raw, tally)
                if statement is not None:
                    found.append(statement)
            return found
        dpid, known = self._dpid, self._known
        tally.received += len(cells)
        signals = unused = 0
        for number, (id_, _, rest) in zip(numbers, cells, strict=True):
            meaning = known.get(rest)
            if meaning is None and (meaning := self._meaning(number, rest, tally)) is None:
                continue
            if meaning.nothing or meaning.invalid:
                statement = meant(number, (dpid, id_), meaning, tally)
                if statement is not None:
                    found.append(statement)
                continue
            signals += meaning.signals
            unused += meaning.unused
            found.append(Statement((dpid, id_), number, meaning.said))
        tally.signals += signals
        tally.unused += unused
        return found

    def _cells(self, raws: Sequence[bytes | None]) -> list[tuple[str, str, str]] | None:
        """Lines cut at their first tabs, where all of them can be read and have ids that are kept as they stand."""
        try:
            rows = b"\n".join(raws).decode().split("\n")  # type: ignore[arg-type]
        except (TypeError, UnicodeDecodeError):  # one is too long, or no text
            return None
        cells = [row.partition("\t") for row in rows]
        ids = [id_ for id_, _, _ in cells]
        if len(cells) != len(raws) or not self.rules.all_plain(self._dpid, ids):
            return None
        return cells if all(tab for _, tab, _ in cells) else None

    def _meaning(self, number: int, rest: str, tally: Tally) -> Meaning | None:
        """Of the part behind the id; None where the line is refused for it."""
        try:
            items = read_items(rest)
        except Malformed as error:
            tally.refuse("format", number, str(error))
            return None
        if items.empty:
            tally.refuse("format", number, "there is nothing behind the id")
            return None
        meaning = self._book.read(items, removing=self._removing)
        if len(rest) <= REMEMBERED_CHARS:
            if len(self._known) >= SHARED_LINES:
                self._known.clear()
            self._known[rest] = meaning
        return meaning


class IdLines:
    """Parses the rows of id-sync files: as many ids, between tabs, as the name has data sources. `rules` may be
    exchanged between chunks.
    """

    def __init__(self, name: FileName, rules: IdRules) -> None:
        self.rules = rules
        self._dpids = name.dpids

    def __call__(self, number: int, raw: bytes | None, tally: Tally) -> IdRow | None:
        text = text_of(number, raw, tally)
        if text is None:
            return None
        if text.endswith(("\t", " ")):
            tally.refuse("format", number, "the row ends with a tab or a space")
            return None
        ids = text.split("\t")
        if len(ids) != len(self._dpids):
            tally.refuse(
                "format", number, f"the row has {len(ids)} columns; the name says {len(self._dpids)}"
            )
            return None
        return self._row(
            number, [read_id(self.rules, *cell) for cell in zip(self._dpids, ids, strict=True)], tally
        )

    def _row(self, number: int, ids: list[str | NoId], tally: Tally) -> IdRow | None:
        """The row without ids that are none, as long as the first one is one and has another to be linked to."""
        keys = [(dpid, id_) for dpid, id_ in zip(self._dpids, ids, strict=True) if not isinstance(id_, NoId)]
        wrong = [id_ for id_ in ids if isinstance(id_, NoId)]
        if wrong and (ids[0] is wrong[0] or len(keys) < 2):
            tally.refuse(wrong[0].kind, number, wrong[0].why)
            return None
        for one in wrong:
            tally.bad_cell(number, one.why)
        return IdRow(number, tuple(keys))

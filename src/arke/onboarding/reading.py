"""One data file from survey to its last chunk. Blocking: everything here runs in a thread, one call at a time."""

from __future__ import annotations

import hashlib
import time
from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from arke.errors import FileRefused
from arke.onboarding.parsing import IdLines, IdRow, Told, TraitLines
from arke.onboarding.receipt import Tally
from arke.onboarding.source import DataFile, Survey
from arke.onboarding.tables import CsvLines, ParquetRows, TableRows
from arke.onboarding.trait_book import TraitBook

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from arke.domain.catalog import Catalog
    from arke.onboarding.columns import Columns
    from arke.onboarding.names import FileName

CHUNK_LINES = 1_000
LET_GO_LINES = 16
"""Lines after which the thread lets go of the interpreter: otherwise an event may wait 5 ms for it."""


class Chunk(msgspec.Struct):
    """Some lines: what they say, the counters of those that are refused, and the last one's number."""

    last: int
    tally: Tally
    told: list[Told] = []
    rows: list[IdRow] = []
    end: bool = False


class Reading:
    """Reads one file. `survey`, then `start`, then `chunk` until its `end`; `close` at any time."""

    def __init__(self, path: Path, name: FileName, columns: Columns | None) -> None:
        """Raises FileRefused."""
        self._file = DataFile(path, name)
        self._name = name
        self._columns = columns
        self._parse: TraitLines | IdLines | CsvLines | None = None
        self._table: TableRows | None = None
        self._entries: Iterator[tuple[int, bytes | None]] = iter(())
        self._rows: Iterator[tuple[int, dict[str, list[str]]]] = iter(())
        self._last = 0
        self.book: TraitBook | None = None

    def survey(self) -> Survey:
        """Also tells apart the same table read by other columns. Raises FileRefused, InvalidInput."""
        survey = self._file.survey()
        if self._columns is None:
            return survey
        digest = hashlib.blake2b(survey.digest + msgspec.json.encode(self._columns), digest_size=16)
        lines = survey.lines
        if self._name.form == "parquet":
            lines = ParquetRows(self._file, self._columns).count
        return Survey(digest.digest(), lines)

    def start(self, after: int, catalog: Catalog) -> None:
        """Begin behind line `after`. Raises FileRefused."""
        self._last = after
        if self._name.kind == "id_sync":
            self._parse = IdLines(self._name)
        else:
            self.book = TraitBook(catalog, self._name.target)
            if self._columns is None:
                self._parse = TraitLines(self._name, self.book)
            else:
                self._table = TableRows(self._columns, self.book)
        if self._columns is not None and self._table is not None:
            if self._name.form == "parquet":
                self._rows = ParquetRows(self._file, self._columns).rows(after)
                return
            self._parse = CsvLines(self._file, self._columns, self._table)
        self._entries = self._file.lines(after)

    def under(self, catalog: Catalog) -> None:
        """Another catalog is in force: the traits of the lines that follow are looked up in it."""
        if self.book is None:
            return
        self.book = TraitBook(catalog, self._name.target)
        if self._table is not None:
            self._table.book = self.book
        elif isinstance(self._parse, TraitLines):
            self._parse.book = self.book

    def chunk(self) -> Chunk:
        """The next lines. Raises FileRefused."""
        chunk = Chunk(self._last, Tally())
        parse = self._parse
        if parse is None:
            self._table_rows(chunk)
            return chunk
        for number, raw in islice(self._entries, CHUNK_LINES):
            if not number % LET_GO_LINES:
                time.sleep(0)
            said = parse(number, raw, chunk.tally)
            chunk.last = number
            if isinstance(said, Told):
                chunk.told.append(said)
            elif said is not None:
                chunk.rows.append(said)
        chunk.end = chunk.last < self._last + CHUNK_LINES
        self._last = chunk.last
        return chunk

    def _table_rows(self, chunk: Chunk) -> None:
        if self._table is None:
            raise RuntimeError("start comes first")
        for number, row in self._rows:
            if not number % LET_GO_LINES:
                time.sleep(0)
            chunk.tally.received += 1
            said = self._table.read(number, row, chunk.tally)
            chunk.last = self._last = number
            if said is not None:
                chunk.told.append(said)
            if chunk.tally.received == CHUNK_LINES:
                return
        chunk.end = True

    def check_complete(self, tally: Tally) -> None:
        """After the last chunk: raises FileRefused for a file that was written to meanwhile, or has no lines."""
        self._file.check_unchanged()
        if not tally.received:
            raise FileRefused("empty", "the file has no lines")

    def close(self) -> None:
        self._file.close()

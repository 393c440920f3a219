"""One data file from survey to its last chunk. Blocking: everything here runs in a thread, one call at a time."""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING

import msgspec

from arke.domain.ids import IdRules
from arke.errors import FileRefused
from arke.onboarding.head import chosen, misspelt
from arke.onboarding.items import TraitBook
from arke.onboarding.parquet import ParquetRows
from arke.onboarding.parsing import IdLines, IdRow, Statement, TraitLines
from arke.onboarding.receipt import Tally
from arke.onboarding.source import DataFile, Survey
from arke.onboarding.tables import CsvLines, TableRows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from arke.domain.catalog import Catalog
    from arke.domain.identity import IdKey
    from arke.onboarding.columns import Columns
    from arke.onboarding.names import FileName
    from arke.onboarding.parquet_reader import Row
    from arke.storage.ports.feeds import Subject

CHUNK_LINES = 10_000
CHUNK_BYTES = 1 << 20
"""A chunk ends with the line that brings it to this: long lines become many times their size in memory."""
LET_GO_LINES = 64
"""Lines or rows after which the thread lets go of the interpreter: otherwise an event may wait 5 ms for it."""
PARSED_TOGETHER = 200
"""The same where lines are read together, which takes a third of the time."""


class Chunk(msgspec.Struct):
    """Some lines: what they say, the counters of those that are refused, and the last one's number. `unsure`: of
    whom a cell could not be read, and what it is about.
    """

    last: int
    tally: Tally
    statements: list[Statement] = []
    rows: list[IdRow] = []
    unsure: list[tuple[IdKey, Subject]] = []
    end: bool = False


class Reading:
    """Reads one file. `survey`, then `start`, then `chunk` until its `end`; `close` at any time."""

    def __init__(
        self, path: Path | str, name: FileName, columns: Columns | None, folder: int | None = None
    ) -> None:
        """`folder`: an open folder that `path` is a name in. Raises FileRefused."""
        self._file = DataFile(path, name, folder)
        self._name = name
        self._columns = columns
        self._parse: TraitLines | IdLines | CsvLines | None = None
        self._table: TableRows | None = None
        self._entries: Iterator[tuple[int, bytes | None]] = iter(())
        self._parquet: ParquetRows | None = None
        self._rows: Iterator[tuple[int, Row]] = iter(())
        self._rows_asked = False
        self._last = 0
        self.book: TraitBook | None = None
        self.warnings: list[str] = []

    def survey(self) -> Survey:
        """Also tells apart the same table read by other columns. Raises FileRefused, InvalidInput."""
        survey = self._file.survey()
        if self._columns is None:
            return survey
        digest = hashlib.blake2b(survey.digest + self._columns.fingerprint, digest_size=16)
        lines = survey.lines
        if self._name.form == "parquet":
            lines = self._opened(self._columns).count
        return Survey(digest.digest(), lines)

    def start(self, after: int, catalog: Catalog) -> None:
        """Begin behind line `after`; may be called again. Raises FileRefused."""
        self._last = after
        rules = IdRules(catalog)
        if self._name.kind == "id_sync":
            self._parse = IdLines(self._name, rules)
        else:
            self.book = TraitBook(catalog, self._name.target)
            if self._columns is None:
                self._parse = TraitLines(self._name, self.book, rules)
            else:
                self._table = TableRows(self._columns, self.book, rules)
        if self._columns is not None and self._table is not None:
            if self._name.form == "parquet":
                if self._rows_asked and self._parquet is not None:
                    self._parquet.close()
                    self._parquet = None
                self._rows_asked = True
                self._rows = self._opened(self._columns).rows(after)
                return
            self._parse = CsvLines(self._file, self._columns, self._table)
            self.warnings = self._parse.warnings
            self._entries = self._parse.entries(after)
            return
        self._entries = self._file.lines(after)

    def _opened(self, columns: Columns) -> ParquetRows:
        """The Parquet file, opened once. Raises FileRefused, InvalidInput."""
        if self._parquet is None:
            self._parquet = ParquetRows(self._file, columns.names)
            self.warnings = misspelt(chosen(self._parquet.found))
        return self._parquet

    def under(self, catalog: Catalog) -> None:
        """Another catalog is in force: the ids and traits of the lines that follow are read by it."""
        reader = self._table if self._table is not None else self._parse
        if reader is None or isinstance(reader, CsvLines):
            return
        reader.rules = IdRules(catalog)
        if not isinstance(reader, IdLines):
            self.book = reader.book = TraitBook(catalog, self._name.target)

    def chunk(self) -> Chunk:
        """The next lines. Raises FileRefused."""
        chunk = Chunk(self._last, Tally())
        if self._parse is None:
            self._table_rows(chunk)
        elif isinstance(self._parse, TraitLines):
            self._trait_lines(chunk, self._parse)
        else:
            self._lines(chunk, self._parse)
        if self._table is not None:
            chunk.unsure, self._table.unsure = self._table.unsure, []
        return chunk

    def _trait_lines(self, chunk: Chunk, parse: TraitLines) -> None:
        """As `_lines`, some together."""
        number, size, end = self._last, 0, self._last + CHUNK_LINES
        numbers: list[int] = []
        raws: list[bytes | None] = []
        chunk.end = True
        for number, raw in self._entries:
            numbers.append(number)
            raws.append(raw)
            if raw is not None:
                size += len(raw)
            if number == end or size >= CHUNK_BYTES:
                chunk.end = False
                break
            if len(numbers) == PARSED_TOGETHER:
                chunk.statements += parse.together(numbers, raws, chunk.tally)
                numbers.clear()
                raws.clear()
                time.sleep(0)
        chunk.statements += parse.together(numbers, raws, chunk.tally)
        self._last = chunk.last = number

    def _lines(self, chunk: Chunk, parse: IdLines | CsvLines) -> None:
        size = 0
        for entry, (number, raw) in enumerate(self._entries, 1):
            if not entry % LET_GO_LINES:  # numbers of rows of several lines may all be odd
                time.sleep(0)
            said = parse(number, raw, chunk.tally)
            chunk.last = number
            if isinstance(said, Statement):
                chunk.statements.append(said)
            elif said is not None:
                chunk.rows.append(said)
            size += len(raw or b"")
            if number >= self._last + CHUNK_LINES or size >= CHUNK_BYTES:
                break
        else:
            chunk.end = True
        self._last = chunk.last

    def _table_rows(self, chunk: Chunk) -> None:
        if self._table is None or self._columns is None:
            raise RuntimeError("start comes first")
        names = self._columns.names
        size = 0
        for number, row in self._rows:
            if not number % LET_GO_LINES:
                time.sleep(0)
            chunk.tally.received += 1
            chunk.last = self._last = number
            if row is None:
                chunk.tally.refuse("too_long", number)
            else:
                said = self._table.read(number, dict(zip(names, row, strict=True)), chunk.tally)
                if said is not None:
                    chunk.statements.append(said)
                size += sum(len(text) for texts in row for text in texts)
            if chunk.tally.received == CHUNK_LINES or size >= CHUNK_BYTES:
                return
        chunk.end = True

    def check_complete(self, tally: Tally, *, may_be_empty: bool = False) -> None:
        """After the last chunk: raises FileRefused for a file that was written to meanwhile, or has no lines."""
        self._file.check_unchanged()
        if not (tally.received or may_be_empty):
            raise FileRefused("empty", "the file has no lines")

    def close(self) -> None:
        if self._parquet is not None:
            self._parquet.close()
        self._file.close()

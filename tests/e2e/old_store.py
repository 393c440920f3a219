"""A data directory of an earlier Arke, restored from `tests/fixtures/stores`, and the time at which it was made."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import apsw
import msgspec

from arke.storage.sql_files import migrations
from arke.storage.sqlite.schema import DIRECTORY, SHARD

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from e2e.receiver_thread import ReceiverThread

STORES = Path(__file__).parents[1] / "fixtures" / "stores"
SHIM = """import time
_now = time.time
time.time = lambda: _now() + {ahead_s}
"""


class Answer(msgspec.Struct, frozen=True):
    """What a command of the Arke that made the store said of it."""

    asked: list[str]
    exit: int
    said: list[Any]


class Told(msgspec.Struct, frozen=True):
    """`answers.json`: when the store was made, secrets that it keeps hashes of, and answers in their order."""

    made_at: int
    tokens: dict[str, str]
    revoked: str
    answers: list[Answer]


class OldStore:
    """One of the folders. Its destinations are at the receivers given."""

    def __init__(self, name: str) -> None:
        self._folder = STORES / name
        self.told = msgspec.json.decode((self._folder / "answers.json").read_bytes(), type=Told)

    def restore(self, data: Path, receivers: Sequence[ReceiverThread] = ()) -> None:
        """Make the database files in a new directory `data`."""
        data.mkdir(mode=0o700)
        for file in self._folder.glob("*.sql"):
            text = file.read_text()
            for number, receiver in enumerate(receivers, 1):
                text = text.replace(f"@URL-{number}@", receiver.url)
                text = text.replace(f"@CA-{number}@", str(receiver.ca_file))
            connection = apsw.Connection(str(data / f"{file.stem}.db"))
            connection.execute(text)
            connection.close()

    def due(self, data: Path) -> set[tuple[str, int, int]]:
        """What has to be migrated before the files are opened: which file, from and to which version."""
        found = {(file.name, version(file), len(migrations(kind_of(file)))) for file in databases(data)}
        return {(name, old, new) for name, old, new in found if old != new}

    def clock(self, folder: Path, *, later_s: int, now: float) -> dict[str, str]:
        """Environment variables for processes that are to think it is `later_s` after the store was made: most
        of what it holds lapses after 120 days.
        """
        shim = folder / "clock"
        shim.mkdir()
        ahead_s = self.told.made_at + later_s - now
        (shim / "sitecustomize.py").write_text(SHIM.format(ahead_s=ahead_s))
        return {"PYTHONPATH": os.pathsep.join(filter(None, [str(shim), os.environ.get("PYTHONPATH")]))}


def databases(data: Path) -> list[Path]:
    return sorted(data.glob("*.db"))


def kind_of(file: Path) -> Path:
    return DIRECTORY if file.stem == "directory" else SHARD


def version(file: Path) -> int:
    connection = apsw.Connection(str(file))
    found: int = next(connection.execute("PRAGMA user_version"))[0]
    connection.close()
    return found


def rows(file: Path) -> dict[str, list[dict[str, object]]]:
    """Every row of every table, by its columns."""
    connection = apsw.Connection(str(file))
    found = {table: list(_rows(connection, table)) for table in _tables(connection)}
    connection.close()
    return found


def columns(file: Path) -> dict[str, list[tuple[object, ...]]]:
    """Every table and index with its columns, in their order."""
    connection = apsw.Connection(str(file))
    names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master ORDER BY name")]
    found = {
        name: [
            *connection.execute("SELECT * FROM pragma_table_info(?)", (name,)),
            *connection.execute("SELECT * FROM pragma_index_info(?)", (name,)),
        ]
        for name in names
    }
    connection.close()
    return found


def _tables(connection: apsw.Connection) -> list[str]:
    return [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]


def _rows(connection: apsw.Connection, table: str) -> Iterator[dict[str, object]]:
    cursor = connection.execute(f"SELECT * FROM {table}")  # noqa: S608 - names of our own tables
    for row in cursor:
        yield dict(zip([name for name, _ in cursor.get_description()], row, strict=True))

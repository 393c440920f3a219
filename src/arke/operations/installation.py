"""What an engine is made of, as it runs: versions, files, doors, and shards one by one."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Final

import msgspec

from arke import __version__
from arke.domain.time import utc_text
from arke.engine.shards import SILENT_S
from arke.errors import ArkeError
from arke.shard.protocol import AskStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from arke.clock import Clock
    from arke.operations.engine import Engine

LIBRARIES: Final = ("apsw", "uvloop", "msgspec", "cryptography", "psycopg", "confluent-kafka", "pyarrow")
"""Whose versions are told, where they are installed."""


class FileFacts(msgspec.Struct, frozen=True):
    """One file of the data directory."""

    name: str
    bytes: int


class DoorRefusals(msgspec.Struct, frozen=True):
    """How often a door turned somebody away for one reason, since the start."""

    door: str
    kind: str
    times: int


class Installation(msgspec.Struct, frozen=True):
    """What runs here, and since when (RFC 3339). Empty lists where nothing is known, as in a command."""

    version: str
    python: str
    machine: str
    libraries: dict[str, str]
    started: str
    files: list[FileFacts]
    doors: list[DoorRefusals]


class ShardFacts(msgspec.Struct, frozen=True):
    """One shard. `problem`: why it did not answer; its figures are 0 then."""

    number: int
    problem: str = ""
    ready: bool = False
    profiles: int = 0
    people: int = 0
    events: int = 0
    changes: int = 0
    queued: int = 0
    position: int = 0
    catalog_version: int = 0
    backfilled: float = 0.0


class Surroundings(msgspec.Struct, frozen=True):
    """What an engine runs among. `refused` counts what the doors turned away, by door and kind."""

    data: Path
    refused: Callable[[], Mapping[tuple[str, str], int]]


class InstallationOperations:
    """Says what runs here. `around` None: a command, which has no doors of its own."""

    def __init__(self, engine: Engine, clock: Clock, around: Surroundings | None = None) -> None:
        self._engine = engine
        self._around = around
        self._started = clock.now()

    async def read(self) -> Installation:
        around = self._around
        return Installation(
            version=__version__,
            python=sys.version.partition(" ")[0],
            machine=f"{platform.system()} {platform.release()}, {platform.machine()}",
            libraries=_libraries(),
            started=utc_text(int(self._started)),
            files=_files(around.data) if around is not None else [],
            doors=[DoorRefusals(*who, times) for who, times in sorted(around.refused().items())]
            if around is not None
            else [],
        )

    async def shards(self) -> list[ShardFacts]:
        """Every shard's figures since it started, also of those that do not answer."""
        answers = await self._engine.shards.ask_each(AskStatus(), within_s=SILENT_S)
        return [
            ShardFacts(number, problem=str(answer))
            if isinstance(answer, ArkeError)
            else ShardFacts(
                number,
                ready=answer.ready,
                profiles=answer.profiles,
                people=answer.people,
                events=answer.events,
                changes=answer.changes,
                queued=answer.queued,
                position=answer.seq,
                catalog_version=answer.catalog_version,
                backfilled=answer.backfilled,
            )
            for number, answer in enumerate(answers)
        ]


def _files(data: Path) -> list[FileFacts]:
    """Those of the stores, with what waits beside them."""
    try:
        found = [(one.name, one.stat().st_size) for one in data.iterdir() if ".db" in one.name]
    except OSError:
        return []
    return [FileFacts(name, size) for name, size in sorted(found)]


def _libraries() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found

"""An identity on a directory of its own, and single events for it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from arke.clock import ManualClock, SeededEntropy
from arke.engine.identity import Identity, Named
from arke.storage.committer import ThreadCommitter
from arke.storage.sqlite.directory import SqliteDirectory

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from arke.domain.event import DeclaredId
    from arke.engine.identity import Resolved
    from arke.storage.ports.directory import Directory


def directory_in(folder: Path) -> SqliteDirectory:
    return SqliteDirectory(folder / "directory.db", committer=ThreadCommitter("directory"))


async def identity_on(directory: Directory, seed: int = 1, *, takeovers_per_device: int = 10) -> Identity:
    identity = Identity(
        directory, SeededEntropy(seed), ManualClock(), takeovers_per_device=takeovers_per_device
    )
    await identity.start()
    return identity


@asynccontextmanager
async def identity_in(folder: Path, *, takeovers_per_device: int = 10) -> AsyncIterator[Identity]:
    directory = directory_in(folder)
    try:
        yield await identity_on(directory, takeovers_per_device=takeovers_per_device)
    finally:
        await directory.close()


async def resolve(
    identity: Identity, uuid: str | None, ids: Sequence[DeclaredId], now: int, *, public: bool = False
) -> Resolved:
    (resolved,) = (await identity.decide([Named(uuid, ids, public)], now)).answers
    return resolved

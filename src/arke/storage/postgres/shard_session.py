"""A session that shards share: what they ask of it at the same moment is one round trip, and one transaction."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import psycopg

from arke.errors import StoreUnavailable
from arke.storage.postgres import hold, shard_reads, shard_writes
from arke.storage.postgres.connection import Session
from arke.storage.postgres.together import MOST_ROWS, Together, each_by_itself

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.storage.ports.shard import DeviceStates, Loaded
    from arke.storage.postgres.connection import Server
    from arke.storage.postgres.hold import Hold
    from arke.storage.postgres.shard_reads import DevicesAsked, GroupAsked
    from arke.storage.postgres.shard_writes import ShardCommit


class ShardSession(Session):
    """One connection for many shards. The jobs of a kind go out together; the kinds take turns."""

    def __init__(self, server: Server, name: str, most_rows: int = MOST_ROWS) -> None:
        """`most_rows` as in `Together`; 0: every job by itself."""
        super().__init__(server, name)
        self.commits: Together[ShardCommit, int] = Together(self, _commit, _rows_written, most_rows)
        self.proofs: Together[Hold, None] = Together(self, _prove, _one_row, most_rows)
        self.loads: Together[GroupAsked, Loaded] = Together(self, _load, _rows_of_group, most_rows)
        self.devices: Together[DevicesAsked, DeviceStates] = Together(
            self, _devices, _rows_of_devices, most_rows
        )


def _commit(session: Session, commits: Sequence[ShardCommit]) -> Sequence[int | Exception]:
    """Each is stored, and how many rows its trim dropped; or StoreUnavailable with nothing of it stored; or Fenced.
    They share a transaction unless one of them is at fault, and then that one fails alone.
    """
    asked_at = time.monotonic()
    try:
        written = session.do(lambda connection: shard_writes.write(connection, commits))
    except Exception as error:  # noqa: BLE001 - whatever it is, each hears of it
        if isinstance(error, StoreUnavailable) and session.lost:
            return _read_back(session, commits, error)
        if len(commits) > 1 and _is_of_one(error):
            return each_by_itself(_commit, session, commits)
        fenced = isinstance(error.__cause__, psycopg.errors.DivisionByZero)
        return [one.hold.another() if fenced else error for one in commits]
    if session.warned:
        unconfirmed = StoreUnavailable(f"{session.server.name}: no standby confirmed the commit")
        stored = _read_back(session, commits, unconfirmed)
        return [
            done.dropped if isinstance(answer, int) else answer
            for done, answer in zip(written, stored, strict=True)
        ]
    for one, done in zip(commits, written, strict=True):
        one.hold.proved(done.standing, asked_at)
    return [done.dropped for done in written]


def _read_back(
    session: Session, commits: Sequence[ShardCommit], error: StoreUnavailable
) -> Sequence[int | Exception]:
    """Of those that are stored nobody knows what their trims dropped: 0."""
    found = hold.read_back(session, [one.hold for one in commits], error)
    return [0 if answer is None else answer for answer in found]


def _prove(session: Session, holds: Sequence[Hold]) -> Sequence[Exception | None]:
    try:
        return hold.prove(session, holds)
    except StoreUnavailable as error:
        return [error] * len(holds)


def _load(session: Session, asked: Sequence[GroupAsked]) -> Sequence[Loaded | Exception]:
    try:
        return session.do(lambda connection: shard_reads.load(connection, asked))
    except Exception as error:  # noqa: BLE001 - whatever it is, each hears of it
        if len(asked) > 1 and _is_of_one(error):
            return each_by_itself(_load, session, asked)
        return [error] * len(asked)


def _devices(session: Session, asked: Sequence[DevicesAsked]) -> Sequence[DeviceStates | Exception]:
    try:
        return session.do(lambda connection: shard_reads.devices(connection, asked))
    except Exception as error:  # noqa: BLE001 - whatever it is, each hears of it
        if len(asked) > 1 and _is_of_one(error):
            return each_by_itself(_devices, session, asked)
        return [error] * len(asked)


def _is_of_one(error: Exception) -> bool:
    """Whether what failed may be one job's fault: what it holds, or that its shard is another's."""
    cause = error.__cause__ if isinstance(error, StoreUnavailable) else None
    return not isinstance(error, StoreUnavailable) or isinstance(
        cause, psycopg.DataError | psycopg.IntegrityError
    )


def _rows_written(commit: ShardCommit) -> int:
    return commit.rows


def _one_row(hold: Hold) -> int:  # noqa: ARG001 - whichever it is
    return 1


def _rows_of_group(asked: GroupAsked) -> int:
    return asked.rows


def _rows_of_devices(asked: DevicesAsked) -> int:
    return len(asked.uids)

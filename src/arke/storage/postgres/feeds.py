"""Feeds in PostgreSQL. See `arke.storage.ports.feeds.FeedStore`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from arke.domain.homes import is_home, person_of
from arke.storage.ports.feeds import Census, Feed, Subject
from arke.storage.postgres.database import columns, fetched, queries, transaction

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from arke.domain.identity import IdKey
    from arke.storage.ports.feeds import Holding
    from arke.storage.postgres.connection import Connection
    from arke.storage.postgres.database import Database, InOrder

SQL = queries("feeds")
KINDS: Final[tuple[Literal["trait", "segment"], ...]] = ("trait", "segment")
"""By the numbers that stand for them in the tables."""


class PostgresFeeds:
    """A subject of a feed is a row with a number, each id in it another one. `changes` are those of files, too."""

    def __init__(self, database: Database, changes: InOrder) -> None:
        self._database = database
        self._changes = changes

    async def open(self, name: str, dpid: int, subjects: Collection[Subject]) -> list[Feed]:
        return await self._changes.run(_open, name, dpid, [*subjects])

    async def name(self, file: int, named: Sequence[Holding]) -> None:
        await self._changes.rows(SQL["name"], (file, *_holdings(named)))

    async def count(self, feed: int, file: int) -> Census:
        ((held, absent),) = await self._changes.rows(SQL["count"], (file, feed))
        return Census(held, absent)

    async def begin(self, file: int, at: int, feeds: Collection[int]) -> None:
        await self._changes.rows(SQL["begin"], (file, at, [*feeds]))

    async def hold(self, file: int, held: Sequence[Holding], unsure: Sequence[Holding]) -> None:
        await self._changes.run(_hold, file, held, unsure)

    async def page(self, feed: int, after: str, limit: int) -> list[tuple[str, int]]:
        return [(id_, file) for id_, file in await self._database.rows(SQL["page"], (feed, after, limit))]

    async def is_held(self, feed: Feed, file: int, key: IdKey, device: str) -> bool:
        kind, subject = _stored(feed.subject)
        home = person_of(device) if is_home(device) else (None, None)
        bindings = {
            "dpid": key[0],
            "id": key[1],
            "device": device,
            "home_dpid": home[0],
            "home_id": home[1],
            "kind": kind,
            "subject": subject,
            "feed": feed.number,
            "file": file,
        }
        return bool(await self._database.rows(SQL["is_held"], bindings))

    def let_go(self, connection: Connection, file: int, gone: Iterable[Holding]) -> None:
        """Within a transaction: ids that a file does not name are in no more."""
        connection.execute(SQL["let_go"], (*_holdings(gone), file))

    def forget(
        self,
        connection: Connection,
        uuids: Collection[str],
        ids: Collection[IdKey],
        forgotten: Collection[IdKey],
    ) -> None:
        """Within a transaction: devices and ids are in no more by any feed, nor are ids that were forgotten with
        their last device.
        """
        connection.execute(SQL["forget"], columns([*((0, uuid) for uuid in uuids), *ids], 2))
        connection.execute(SQL["forget_unlinked"], columns(forgotten, 2))


def _open(connection: Connection, name: str, dpid: int, subjects: Sequence[Subject]) -> list[Feed]:
    kinds, numbers = columns(map(_stored, subjects), 2)
    with transaction(connection):
        connection.execute(SQL["make"], (name, dpid, kinds, numbers))
    bindings = {"name": name, "dpid": dpid, "kinds": kinds, "subjects": numbers}
    found = {
        (kind, subject): (number, file, at, shared)
        for kind, subject, number, file, at, shared in fetched(connection, SQL["find"], bindings)
    }
    feeds = []
    for subject in subjects:
        number, file, at, shared = found[_stored(subject)]
        feeds.append(Feed(number, dpid, subject, file, at, shared))
    return feeds


def _hold(connection: Connection, file: int, held: Sequence[Holding], unsure: Sequence[Holding]) -> None:
    with transaction(connection):
        connection.execute(SQL["hold"], (file, *_holdings(held)))
        connection.execute(SQL["keep"], (file, *_holdings(unsure)))


def _holdings(some: Iterable[Holding]) -> list[list[object]]:
    """Each once: a statement cannot change a row twice."""
    return columns(dict.fromkeys(some), 2)


def _stored(subject: Subject) -> tuple[int, int]:
    return KINDS.index(subject.kind), subject.number

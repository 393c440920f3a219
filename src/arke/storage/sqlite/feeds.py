"""Feeds in the directory's SQLite file. See `arke.storage.ports.feeds.FeedStore`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from arke.storage.ports.feeds import Census, Feed, Holding, Subject
from arke.storage.sql_files import statements

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from arke.domain.identity import IdKey
    from arke.storage.sqlite.connection import Database

SQL = statements(Path(__file__).with_name("queries") / "feeds.sql")
KINDS: Final[tuple[Literal["trait", "segment"], ...]] = ("trait", "segment")
"""By the numbers that stand for them in the tables."""


class SqliteFeeds:
    """A subject of a feed is a row with a number, each id in it another one."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def open(self, name: str, dpid: int, subjects: Collection[Subject]) -> list[Feed]:
        return await self._database.write(self._open, name, dpid, [*subjects])

    def _open(self, name: str, dpid: int, subjects: Sequence[Subject]) -> list[Feed]:
        run = self._database.connection.execute
        found = []
        for subject in subjects:
            row = (name, dpid, *_stored(subject))
            run(SQL["make"], row)
            number, file, at = next(run(SQL["find"], row))
            shared = bool(next(run(SQL["others"], (*_stored(subject), number)))[0])
            found.append(Feed(number, dpid, subject, file, at, shared))
        return found

    async def name(self, file: int, named: Sequence[Holding]) -> None:
        rows = [(feed, id_, file) for feed, id_ in named]
        await self._database.write(self._database.run_many, SQL["name"], rows)

    async def count(self, feed: int, file: int) -> Census:
        return await self._database.write(self._count, feed, file)

    def _count(self, feed: int, file: int) -> Census:
        return Census(*next(self._database.connection.execute(SQL["count"], (feed, file))))

    async def begin(self, file: int, at: int, feeds: Collection[int]) -> None:
        rows = [(file, at, number) for number in feeds]
        await self._database.write(self._database.run_many, SQL["begin"], rows)

    async def hold(self, file: int, held: Sequence[Holding], unsure: Sequence[Holding]) -> None:
        await self._database.write(self._hold, file, held, unsure)

    def _hold(self, file: int, held: Sequence[Holding], unsure: Sequence[Holding]) -> None:
        run = self._database.run_many
        run(SQL["hold"], ((feed, id_, file) for feed, id_ in held))
        run(SQL["keep"], ((feed, id_, file) for feed, id_ in unsure))

    async def page(self, feed: int, after: str, limit: int) -> list[tuple[str, int]]:
        return [(id_, file) for id_, file in self._database.rows(SQL["page"], (feed, after, limit))]

    async def is_held(self, feed: Feed, file: int, key: IdKey, device: str) -> bool:
        bindings = (*key, device, *_stored(feed.subject), feed.number, file)
        return self._database.row(SQL["is_held"], bindings) is not None

    def let_go(self, file: int, gone: Iterable[Holding]) -> None:
        """Within a transaction of the directory: ids that a file does not name are in no more."""
        self._database.run_many(SQL["let_go"], ((feed, id_, file) for feed, id_ in gone))

    def forget(self, uuids: Collection[str], ids: Collection[IdKey], forgotten: Collection[IdKey]) -> None:
        """Within a transaction of the directory: devices and ids are in no more by any feed, nor are ids that were
        forgotten with their last device.
        """
        run = self._database.run_many
        run(SQL["forget"], ((0, uuid) for uuid in uuids))
        run(SQL["forget"], ids)
        run(SQL["forget_unlinked"], forgotten)


def _stored(subject: Subject) -> tuple[int, int]:
    return KINDS.index(subject.kind), subject.number

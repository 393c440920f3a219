"""A file that is the whole audience: who was in by its feed, and is absent from it, leaves.

A feed is a trait or segment with the data source of the ids and, where the columns file gives one, a name: so the
same export under another file name goes on where the last one was. Who is in is kept in the directory before a
shard is told, so that whatever becomes of a file, the next one knows whom it may have brought in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from arke.domain.file_lines import Said
from arke.domain.time import utc_text
from arke.errors import FileRefused
from arke.onboarding.allowance import parse_allowance, percent_of
from arke.storage.ports.feeds import Holding, Subject

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from arke.domain.identity import IdKey
    from arke.onboarding.allowance import Allowance
    from arke.onboarding.columns import Columns
    from arke.onboarding.parsing import Statement
    from arke.storage.ports.feeds import Feed, FeedStore

ALLOW = "If it is meant, load the file once with `mirror_guard: 100%` in its columns file"
PAGE = 500
"""Ids looked at between two turns of the event loop; those of them that leave are told together."""


async def open_mirror(store: FeedStore, columns: Columns | None, at: int) -> Mirror | None:
    """The mirror of a file with a time in its name (0: none); None for a file of another mode."""
    if columns is None or columns.mode != "mirror":
        return None
    feeds = await store.open(columns.feed, columns.id.dpid, columns.subjects)
    return Mirror(store, feeds, parse_allowance(columns.mirror_guard, "mirror_guard"), at)


class Mirror:
    """The feeds of one file. `check_time`, `name` and `admit`; `hold` with each chunk, `absent` at last."""

    def __init__(self, store: FeedStore, feeds: Sequence[Feed], guard: Allowance, at: int) -> None:
        self._store = store
        self._feeds = {feed.subject: feed for feed in feeds}
        self._guard = guard
        self._at = at
        self._shared = {subject for subject, feed in self._feeds.items() if feed.shared}

    def is_begun_by(self, file: int) -> bool:
        """Whether a file rules all feeds already."""
        return all(feed.file == file for feed in self._feeds.values())

    def is_stale(self, file: int) -> bool:
        """Whether what is recorded of a file says nothing any more: another file has come since it was loaded,
        and none with a later time in its name.
        """
        return not self.is_begun_by(file) and (not self._at or self._at >= self._newest)

    @property
    def _newest(self) -> int:
        return max(feed.at for feed in self._feeds.values())

    async def name(
        self, file: int, statements: Sequence[Statement], unsure: Sequence[tuple[IdKey, Subject]]
    ) -> None:
        """Note whom a file names, before anything of it counts."""
        await self._store.name(file, [*self._held_by(statements), *self._kept_by(unsure)])

    def check_time(self) -> None:
        """Raises FileRefused for a file that is older than one that was loaded."""
        if self._at and self._at < self._newest:
            raise FileRefused(
                "older",
                f"its name says {utc_text(self._at)}, and this feed has come to {utc_text(self._newest)} already: "
                "who is in is left as the newer file says",
            )

    async def admit(self, file: int, received: int) -> None:
        """Let a file rule the feeds, once all that it names is noted. Raises FileRefused where too many would
        leave.
        """
        held = 0
        for subject, feed in self._feeds.items():
            census = await self._store.count(feed.number, file)
            held += census.held
            if census.absent and not self._guard.admits(census.absent, census.held):
                share = percent_of(census.absent, census.held)
                raise FileRefused(
                    "mirror_guard",
                    f"{census.absent:,} of {census.held:,} ids would leave {subject} ({share}), more than the "
                    f"{self._guard} that may: nothing was changed. {ALLOW}",
                )
        if not received and not held:
            raise FileRefused("empty", "the file has no lines")
        await self._store.begin(file, self._at, [feed.number for feed in self._feeds.values()])

    async def check_stored(self, stored: int) -> None:
        """Raises FileRefused where nothing of the file was stored, and everybody would leave for it."""
        if stored:
            return
        held = sum([(await self._store.count(feed.number, 0)).held for feed in self._feeds.values()])
        if held and not self._guard.admits(held, held):
            raise FileRefused(
                "mirror_guard",
                f"none of its lines was stored, and everybody who is in would leave. {ALLOW}",
            )

    def _held_by(self, statements: Sequence[Statement]) -> list[Holding]:
        return [
            Holding(self._feeds[subject].number, statement.key[1])
            for statement in statements
            for subject in self._said_in(statement.said)
        ]

    def _kept_by(self, unsure: Sequence[tuple[IdKey, Subject]]) -> list[Holding]:
        return [Holding(self._feeds[subject].number, key[1]) for key, subject in unsure]

    def _said_in(self, said: Said) -> Iterator[Subject]:
        """What a line says that somebody is in, of what is mirrored."""
        for number in said.realise:
            if (trait := Subject("trait", number)) in self._feeds:
                yield trait
        for number, status in said.memberships.items():
            if status and (segment := Subject("segment", number)) in self._feeds:
                yield segment

    async def hold(
        self, file: int, statements: Sequence[Statement], unsure: Sequence[tuple[IdKey, Subject]]
    ) -> None:
        """Durable on return: whom these lines bring in, and who stays in for a cell that could not be read."""
        held, kept = self._held_by(statements), self._kept_by(unsure)
        if held or kept:
            await self._store.hold(file, held, kept)

    async def without_held(self, file: int, statement: Statement, devices: Sequence[str]) -> Statement:
        """A line without the zeros of what another feed holds somebody in."""
        said = statement.said
        zeros = [Subject("trait", number) for number in said.remove]
        zeros += [Subject("segment", number) for number, status in said.memberships.items() if not status]
        held = set()
        for subject in self._shared.intersection(zeros):
            feed = self._feeds[subject]
            for device in devices or ("",):
                if await self.keeps(feed, file, statement.key, device):
                    held.add(subject)
        if not held:
            return statement
        return msgspec.structs.replace(
            statement,
            said=msgspec.structs.replace(
                said,
                remove=tuple(number for number in said.remove if Subject("trait", number) not in held),
                memberships={
                    number: status
                    for number, status in said.memberships.items()
                    if status or Subject("segment", number) not in held
                },
            ),
        )

    @property
    def is_shared(self) -> bool:
        """Whether other feeds are about the same."""
        return bool(self._shared)

    async def keeps(self, feed: Feed, file: int, key: IdKey, device: str = "") -> bool:
        """Whether something else keeps an id that leaves, or its device, in."""
        return await self._store.is_held(feed, file, key, device)

    async def absent(self, file: int) -> AsyncIterator[tuple[Feed, list[str]]]:
        """Who is in and was not named by a file: ids of a feed, some at a time."""
        for feed in self._feeds.values():
            after = ""
            while page := await self._store.page(feed.number, after, PAGE):
                after = page[-1][0]
                yield feed, [id_ for id_, said_by in page if said_by != file]


def leaving(subject: Subject) -> Said:
    """What takes somebody out."""
    if subject.kind == "trait":
        return Said((), (subject.number,))
    return Said((), (), {subject.number: 0})

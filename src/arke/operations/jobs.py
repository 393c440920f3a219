"""Work that operators begin and follow: batch runs, data files, the replay of what destinations are owed."""

from __future__ import annotations

import re
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from arke.background import Pause, retry
from arke.delivery.refusals import KEPT, Refused, newest_first
from arke.domain.digits import LARGEST_NUMBER
from arke.domain.token import LOCAL
from arke.engine.batches import DestinationBatches, RunFacts
from arke.errors import ArkeError, InvalidInput, NotFound, ShardDown, ShardMoved
from arke.onboarding.receipt import FileState, LoadedFile, Receipt, WaitingFile
from arke.operations.paging import PAGE, Page, has_text, number_in, page_of, page_size
from arke.shard.protocol import AskOwed, AskRefusals, OwedDevice
from arke.wording import many

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from arke.engine.audit import Audit
    from arke.engine.batches import Batches
    from arke.engine.live_catalog import LiveCatalog
    from arke.engine.shards import Shards
    from arke.engine.undelivered import Undelivered
    from arke.onboarding.service import Onboarding

__all__ = ["BatchOperations", "DestinationBatches", "RunFacts"]


class BatchOperations:
    """Begins batch runs and says how far they are. Every beginning is audited."""

    def __init__(self, batches: Batches, audit: Audit) -> None:
        self._batches = batches
        self._audit = audit

    async def page(
        self,
        search: str | None = None,
        cursor: str | None = None,
        limit: int = PAGE,
        *,
        running_first: bool = False,
    ) -> Page[DestinationBatches]:
        """Destinations in the order of the catalog: what ran, what runs, what is due. `search`: those whose name or
        id has this text, in any letter case. Raises InvalidInput.
        """
        found = [one for one in self._batches.destinations() if has_text(search, one.name, str(one.id))]
        if running_first:
            running = await self._batches.running()
            found.sort(key=lambda one: one.id not in running)
        page = page_of(found, lambda one: str(one.id), cursor, limit)
        return Page(await self._batches.status([one.id for one in page.items]), page.next)

    async def of(self, destination: int) -> DestinationBatches | None:
        """One destination's batches; None where the catalog has none of this number."""
        return next(iter(await self._batches.status([destination])), None)

    async def show(self, destination: int, number: int) -> RunFacts:
        """One run, with how far it is. Raises InvalidInput."""
        return await self._batches.run(destination, number)

    async def run(self, destination: int, *, actor: str = LOCAL) -> RunFacts:
        """Begin a batch now; answers at once. Raises InvalidInput, BatchRunning."""
        record = await self._batches.start(destination, "command")
        await self._audit.record(actor, "batch_begun", f"batch {record.number} of destination {destination}")
        return await self.show(destination, record.number)

    async def resync(self, destination: int, *, restate: bool = False, actor: str = LOCAL) -> RunFacts:
        """Begin to send the full current state; `restate`: also a 0 for whatever does not hold. Answers at once.
        Raises InvalidInput, BatchRunning.
        """
        record = await self._batches.start(destination, "restate" if restate else "resync")
        detail = f"batch {record.number} of destination {destination}"
        await self._audit.record(actor, "restate_begun" if restate else "resync_begun", detail)
        return await self.show(destination, record.number)


__all__ = ["FileOperations", "FileState", "LoadedFile", "Receipt", "Ticket", "WaitingFile"]


class Ticket(msgspec.Struct, frozen=True, omit_defaults=True):
    """Under which a file is asked about; nothing where it was only checked."""

    id: str | None = None


class FileOperations:
    """Takes files. Without a service (None) no method may be called."""

    def __init__(self, onboarding: Onboarding | None) -> None:
        self._given = onboarding

    @property
    def _onboarding(self) -> Onboarding:
        if self._given is None:
            raise RuntimeError("this engine takes no files")
        return self._given

    async def receive(
        self,
        name: str,
        columns: str | None,
        parts: AsyncIterator[bytes],
        *,
        check: bool = False,
        actor: str = LOCAL,
    ) -> Ticket:
        """Take a file; durable on return. `check`: only say whether a file of this name would be taken. Raises
        InvalidInput, Overloaded, StoreUnavailable.
        """
        if check:
            self._onboarding.check(name, columns)
            return Ticket()
        return Ticket(await self._onboarding.receive(name, columns, parts, actor=actor))

    async def show(self, ticket: str) -> FileState:
        """How far a file has come. Raises InvalidInput for a ticket that is not known."""
        return await self._onboarding.state(ticket)

    async def waiting(self, limit: int = PAGE) -> list[WaitingFile]:
        """Files that were sent and are not loaded yet, the oldest first."""
        return await self._onboarding.waiting(limit) if self._given is not None else []

    async def loaded(self, cursor: str | None = None, limit: int = PAGE) -> Page[LoadedFile]:
        """Files that were begun, however they came, the newest first. Raises InvalidInput."""
        before, size = number_in(cursor), page_size(limit)
        if self._given is None:
            return Page([])
        found = await self._given.loaded(LARGEST_NUMBER if before is None else before, size + 1)
        return Page(found[:size], str(found[size - 1].number) if len(found) > size else None)

    async def one(self, number: int) -> LoadedFile:
        """Raises NotFound."""
        found = await self._onboarding.loaded(number + 1, 1)
        if not found or found[0].number != number:
            raise NotFound(f"there is no file {number}: receipts of loaded files are kept for a while only")
        return found[0]


__all__ = ["OWED_PAGE", "OwedDevice", "Refused", "ReplayReport", "UndeliveredOperations"]

OWED_PAGE = 500
OWED_SHOWN = 50
"""Devices on a page for people."""
_FIRST = (0, -1)
_CURSOR = re.compile(r"([0-9]{1,4})_(-?[0-9]{1,18})_(-?[0-9]{1,18})")
PAUSE = Pause(0.2, 2.0)
PATIENCE_S = 15.0
"""For a shard that is being started again, or is on its way to another worker."""


class ReplayReport(msgspec.Struct, frozen=True, omit_defaults=True):
    """How many devices were set off again; `owed`: how many are owed afterwards, where the command saw the end."""

    devices: int
    owed: int | None = None


class OwedShown(msgspec.Struct, frozen=True):
    """A page of what is owed; `next` is where the one after it begins, None at the end."""

    devices: list[OwedDevice]
    next: str | None


class UndeliveredOperations:
    """Lists and replays what is owed. Every use is audited but counting."""

    def __init__(self, undelivered: Undelivered, live: LiveCatalog, shards: Shards, audit: Audit) -> None:
        self._undelivered = undelivered
        self._live = live
        self._shards = shards
        self._audit = audit

    async def each(self, destination: int | None, *, actor: str = LOCAL) -> AsyncIterator[OwedDevice]:
        """Everything that is owed, shard by shard. Raises InvalidInput."""
        owed = self._owed(destination)
        first = await anext(owed, None)
        await self._audit.record(actor, "undelivered_listed", _whom(destination))
        if first is not None:
            yield first
        async for device in owed:
            yield device

    async def page(
        self,
        destination: int | None,
        after: str | None = None,
        limit: int = OWED_SHOWN,
        *,
        actor: str = LOCAL,
    ) -> OwedShown:
        """Some of what is owed, from where the page before ended (`after` is its `next`). Raises InvalidInput, and
        Unavailable where a shard does not answer.
        """
        self._check(destination)
        shard, place = _place(after)
        found: list[OwedDevice] = []
        while shard < len(self._shards) and len(found) < limit:
            page = await self._shards.ask(shard, AskOwed(destination, place, limit - len(found)))
            found += page.devices
            shard, place = (shard, page.next) if page.next is not None else (shard + 1, _FIRST)
        await self._audit.record(actor, "undelivered_listed", _whom(destination))
        more = shard < len(self._shards)
        return OwedShown(found, f"{shard}_{place[0]}_{place[1]}" if more else None)

    async def refusals(self, destination: int | None, *, actor: str = LOCAL) -> list[Refused]:
        """The newest refusals of every shard, newest first, a few of each destination. Raises InvalidInput."""
        self._check(destination)
        found: list[Refused] = []
        kept: Counter[int] = Counter()
        answers = await self._shards.ask_each(AskRefusals(destination))
        parts = [answer for answer in answers if not isinstance(answer, ArkeError)]
        for one in newest_first(one for part in parts for one in part):
            kept[one.destination] += 1
            if kept[one.destination] <= KEPT and self._live.has_destination(one.destination):
                found.append(one)
        await self._audit.record(actor, "refusals_listed", _whom(destination))
        return found

    async def count(self, destination: int | None) -> int:
        """How many devices are owed something. Raises InvalidInput."""
        return sum([1 async for _ in self._owed(destination)])

    async def replay(self, destination: int | None, *, actor: str = LOCAL) -> ReplayReport:
        """Send what is owed as current state; delivery follows. Raises InvalidInput, Unavailable."""
        devices = await self._undelivered.replay(destination)
        await self._audit.record(
            actor, "undelivered_replayed", f"{many(devices, 'device')} to {_whom(destination)}"
        )
        return ReplayReport(devices)

    async def _owed(self, destination: int | None) -> AsyncIterator[OwedDevice]:
        self._check(destination)
        for shard in range(len(self._shards)):
            after: tuple[int, int] | None = _FIRST
            while after is not None:
                ask = partial(self._shards.ask, shard, AskOwed(destination, after, OWED_PAGE))
                # A list that has begun should not break off for a shard that changes hands.
                page = await retry(ask, PAUSE, on=(ShardDown, ShardMoved), patience_s=PATIENCE_S)
                for device in page.devices:
                    yield device
                after = page.next

    def _check(self, destination: int | None) -> None:
        if destination is not None and not self._live.has_destination(destination):
            raise InvalidInput(f"no destination {destination} in the catalog")


def _place(cursor: str | None) -> tuple[int, tuple[int, int]]:
    """The shard, and where in it a page begins. Raises InvalidInput."""
    if cursor is None:
        return 0, _FIRST
    found = _CURSOR.fullmatch(cursor)
    if found is None:
        raise InvalidInput("this is no place in the list: go back to its beginning")
    return int(found[1]), (int(found[2]), int(found[3]))


def _whom(destination: int | None) -> str:
    return "all destinations" if destination is None else f"destination {destination}"

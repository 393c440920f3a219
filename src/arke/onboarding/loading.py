"""Loading a file: parse chunks in a thread, find whose they are, hand them to the shards, remember how far.

The position and the counters go to the directory in one transaction once the shards have made everything
before it durable. What is done again after a crash finds its mark on the profile and changes nothing, so the
receipt is the same with a crash and without.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from arke.domain.time import DAY_S, utc_text
from arke.domain.token import LOCAL
from arke.errors import ArkeError, FileRefused, InvalidInput
from arke.log import get_logger
from arke.onboarding.applying import Applier
from arke.onboarding.columns import Columns, check_memberships, unknown_traits
from arke.onboarding.columns_file import parse_columns
from arke.onboarding.mirror import open_mirror
from arke.onboarding.names import FileName, parse_name
from arke.onboarding.reading import Reading
from arke.onboarding.receipt import MAX_REFUSED, LoadedFile, Receipt, Tally
from arke.wording import many

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from arke.clock import Clock
    from arke.onboarding.applying import Sorted
    from arke.onboarding.mirror import Mirror
    from arke.onboarding.source import Survey
    from arke.onboarding.target import Target
    from arke.storage.committer import Committer
    from arke.storage.ports.files import FileRecord, FileStore, ListedFile

    Progress = Callable[[int, int], None]

COMMIT_LINES = 10_000
"""Lines between two commits of the position: what a crash makes do again."""
RECORDS_DAYS = 400
"""How long a file is known again."""
PEOPLE_FIRST = (
    "the first column holds ids of people: put device ids first; the rows are resolved through the devices that "
    "these people are known by"
)
DEFECT = "a defect of Arke: the log names its kind; what was stored last is not counted here"
NO_TARGET = "the name says no data source of traits: only traits that name none are realised"

log = get_logger("onboarding")


class Job(msgspec.Struct, frozen=True):
    """A file that may be loaded: its name, taken apart, and how its columns are read if it is a table."""

    name: FileName
    columns: Columns | None


class _Shown(NamedTuple):
    """How far a file has come, as whoever asked and everybody else is shown it."""

    target: Target
    file: str
    lines: int
    progress: Progress

    def up_to(self, line: int) -> None:
        self.target.show(self.file, line, self.lines)
        self.progress(line, self.lines)


class Loader:
    """Loads files one after another. `worker` runs whatever blocks."""

    def __init__(self, target: Target, files: FileStore, clock: Clock, worker: Committer) -> None:
        self._target = target
        self._files = files
        self._clock = clock
        self._worker = worker
        self._turn = asyncio.Lock()

    def check(self, name: str, columns: str | bytes | None) -> Job:
        """Whether a file of this name could be loaded now. Raises InvalidInput saying why not."""
        parsed = parse_name(name)
        if parsed.kind != "table":
            if columns is not None:
                raise InvalidInput(f"{name}: only tables (.csv, .parquet) are read by a columns file")
            mapping = None
        elif columns is None:
            raise InvalidInput(
                f"{name}: a table needs a columns file: {name}.columns.yaml beside it, or --columns"
            )
        else:
            where = f"the columns file of {name}"
            mapping = parse_columns(columns, where)
            if parsed.form == "parquet" and not mapping.header:
                raise InvalidInput(f"{where}: a Parquet file names its columns: leave `header: false` out")
            external = {segment.id: segment.external for segment in self._target.catalog.segments}
            check_memberships(mapping, external, where)
            parsed = mapping.named(parsed)
        for dpid in () if parsed.typed else parsed.dpids:
            if not self._target.known(dpid):
                raise InvalidInput(f"{name}: no data source {dpid} in the catalog: apply one that has it")
        return Job(parsed, mapping)

    async def load(
        self,
        path: Path | str,
        name: str,
        columns: str | bytes | None = None,
        progress: Progress | None = None,
        *,
        actor: str = LOCAL,
        folder: int | None = None,
    ) -> Receipt:
        """Load a file, or go on with it. What is wrong with its content is told by the receipt. `folder`: an
        open folder that `path` is a name in; no link is followed then.

        Raises InvalidInput where its name is wrong, and Unavailable, Overloaded when the engine cannot take
        it now: load it again, and it goes on from where it was.
        """
        async with self._turn:
            job = self.check(name, columns)
            try:
                reading = await self._worker.run(Reading, path, job.name, job.columns, folder)
                try:
                    return await self._read(job, reading, progress or _nobody, actor)
                finally:
                    await self._worker.between(reading.close)
            except FileRefused as error:
                return self._failed(job, error)
            except (ArkeError, OSError):
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is, the files behind this one are loaded
                return self._failed(job, _defect(error))

    async def newest(self, before: int, limit: int) -> list[LoadedFile]:
        """Files that were begun, with numbers below `before`, the newest first."""
        return [_listed(one) for one in await self._files.newest(before, limit)]

    async def _read(self, job: Job, reading: Reading, progress: Progress, actor: str) -> Receipt:
        survey = await self._worker.run(reading.survey)
        mirror = await open_mirror(self._files.feeds, job.columns, job.name.at)
        record = await self._begin(job, survey, mirror)
        if record.done:
            return msgspec.structs.replace(msgspec.json.decode(record.body, type=Receipt), repeated=True)
        tally = msgspec.json.decode(record.body, type=Tally) if record.body else Tally()
        if _has_failed(record):  # and is under way again
            record = record._replace(body=msgspec.json.encode(tally))
            await self._files.advance(record.number, record.position, record.body, {})
        shown = _Shown(self._target, job.name.name, survey.lines, progress)
        applier = Applier(self._target, self._files, self._clock, job.name, record, mirror)
        try:
            shown.up_to(record.position)
            if mirror is not None and not mirror.is_begun_by(record.number):
                await self._admit(mirror, reading, record.number)
            await self._worker.run(reading.start, record.position, self._target.catalog)
            position = await self._chunks(applier, reading, record, tally, shown)
            reading.check_complete(tally, may_be_empty=mirror is not None)
            if mirror is not None:
                await self._leave(mirror, applier, record.number, position, tally)
            receipt = self._receipt(job, "done", tally, record, survey)
            receipt.warnings += reading.warnings
        except FileRefused as error:
            await self._note(job, error, applier, record, survey)
            return self._failed(job, error, tally, record, survey)
        except (ArkeError, OSError):
            raise
        except Exception as error:  # noqa: BLE001 - see `load`; whatever was counted may be in doubt
            return await self._note(job, _defect(error), applier, record, survey)
        finally:
            self._target.ended()
        await self._files.finish(record.number, msgspec.json.encode(receipt))
        await self._target.loaded(
            actor, f"{job.name.name}: {tally.stored:,} of {many(tally.received, 'line')}"
        )
        await self.prune()
        return receipt

    async def _note(
        self, job: Job, error: FileRefused, applier: Applier, record: FileRecord, survey: Survey
    ) -> Receipt:
        """Record that it failed. Its counters go on from what is committed, should the file be given again."""
        committed = msgspec.json.decode(applier.counters or b"{}", type=Tally)
        noted = self._failed(job, error, committed, record, survey)
        await self._files.advance(record.number, applier.position, msgspec.json.encode(noted), {})
        return noted

    async def _begin(self, job: Job, survey: Survey, mirror: Mirror | None) -> FileRecord:
        """What is recorded of this very file."""
        name, now = job.name.name, int(self._clock.now())
        record = await self._files.begin(name, survey.digest, now)
        if mirror is not None and mirror.is_stale(record.number):
            record = await self._files.begin(name, survey.digest, now, anew=True)
        return record

    async def _admit(self, mirror: Mirror, reading: Reading, file: int) -> None:
        """Read a mirror's file before anything of it counts: whom it names. Raises FileRefused."""
        mirror.check_time()
        received = 0
        await self._worker.run(reading.start, 0, self._target.catalog)
        end = False
        while not end:
            chunk = await self._worker.run(reading.chunk)
            await mirror.name(file, chunk.statements, chunk.unsure)
            received += chunk.tally.received
            end = chunk.end
        await mirror.admit(file, received)

    async def _leave(self, mirror: Mirror, applier: Applier, file: int, position: int, tally: Tally) -> None:
        """Whoever was in, and was not named. Raises FileRefused."""
        if not tally.left:
            await mirror.check_stored(tally.stored)
        async for feed, ids in mirror.absent(file):
            gone = await applier.leave(feed, ids) if ids else []
            if gone:
                tally.left += len(gone)
                await applier.commit(position, msgspec.json.encode(tally), gone)
            await asyncio.sleep(0)

    async def _chunks(
        self, applier: Applier, reading: Reading, record: FileRecord, tally: Tally, shown: _Shown
    ) -> int:
        """While shards take one chunk, it is found out whose the lines of the next one are, and the one behind it
        is parsed. Returns the last line's number.
        """
        version = self._target.catalog_version
        committed = record.position

        async def store(found: Sorted) -> None:
            nonlocal committed
            await applier.store(found)
            position = found.chunk.last
            tally.add(found.chunk.tally)
            if found.chunk.end or position - committed >= COMMIT_LINES:
                await applier.commit(position, msgspec.json.encode(tally))
                committed = position
            shown.up_to(position)

        ahead = asyncio.ensure_future(self._worker.run(reading.chunk))
        storing = asyncio.ensure_future(asyncio.sleep(0))
        try:
            while True:
                try:
                    chunk = await ahead
                except FileRefused:
                    await storing  # what is before it counts
                    raise
                if self._target.catalog_version != version:
                    version = self._target.catalog_version
                    await self._worker.run(reading.under, self._target.catalog)
                if not chunk.end:
                    ahead = asyncio.ensure_future(self._worker.run(reading.chunk))
                found = await applier.sort(chunk)
                await storing
                storing = asyncio.ensure_future(store(found))
                if chunk.end:
                    await storing
                    return chunk.last
        finally:
            ahead.cancel()
            storing.cancel()
            await asyncio.gather(ahead, storing, return_exceptions=True)

    def close(self) -> None:
        self._worker.close()

    async def prune(self) -> None:
        """Forget files of too long ago."""
        now = int(self._clock.now())
        await self._files.prune(now - RECORDS_DAYS * DAY_S)

    def _failed(
        self,
        job: Job,
        error: FileRefused,
        tally: Tally | None = None,
        record: FileRecord | None = None,
        survey: Survey | None = None,
    ) -> Receipt:
        receipt = self._receipt(job, "failed", tally or Tally(), record, survey)
        return msgspec.structs.replace(receipt, reason=error.reason, message=error.message)

    def _receipt(
        self,
        job: Job,
        state: str,
        tally: Tally,
        record: FileRecord | None,
        survey: Survey | None,
    ) -> Receipt:
        now = int(self._clock.now())
        name = job.name
        id_sync = name.kind == "id_sync"
        receipt = Receipt(
            file=name.name,
            kind=name.kind,
            state="done" if state == "done" else "failed",
            data_source=name.dpids[0],
            target=None if id_sync else name.target,
            begun=utc_text(record.begun if record is not None else now),
            ended=utc_text(now),
            digest=survey.digest.hex() if survey is not None else "",
            **msgspec.structs.asdict(tally),
            warnings=self._warnings(job),
        )
        too_many = receipt.beyond(MAX_REFUSED)
        if too_many:
            receipt.warnings.append(too_many)
        return receipt

    def _warnings(self, job: Job) -> list[str]:
        name = job.name
        if name.kind == "id_sync" and self._target.of_people(name.dpids[0]):
            return [PEOPLE_FIRST]
        if name.kind != "id_sync" and name.target == 0:
            return [NO_TARGET]
        return (
            unknown_traits(job.columns, self._target.catalog, name.target) if job.columns is not None else []
        )


def failure(name: str, reason: str, message: str) -> Receipt:
    """The receipt of a file that was refused for its name."""
    return Receipt(file=name, kind="unknown", state="failed", reason=reason, message=message)


def _defect(error: Exception) -> FileRefused:
    log.error("load_failed", error=type(error).__name__)
    return FileRefused("internal", DEFECT)


def _nobody(_: int, __: int) -> None:
    return


class _Noted(msgspec.Struct, frozen=True):
    """What is recorded of a file that is not done: counters, or the receipt of its failure, from whose counters it
    goes on.
    """

    state: str = ""


def _has_failed(record: FileRecord) -> bool:
    return not record.done and bool(record.body and msgspec.json.decode(record.body, type=_Noted).state)


def _listed(one: ListedFile) -> LoadedFile:
    record = one.record
    ended = record.done or _has_failed(record)
    receipt = msgspec.json.decode(record.body, type=Receipt) if ended else None
    tally = receipt or (msgspec.json.decode(record.body, type=Tally) if record.body else Tally())
    return LoadedFile(
        number=record.number,
        name=one.name,
        begun=utc_text(record.begun),
        done=record.done,
        lines=tally.received,
        receipt=receipt,
    )

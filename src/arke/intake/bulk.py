"""`POST /v1/events`: NDJSON of any length, stored in groups while it arrives.

Lines are parsed as they arrive, and stored once a group is full or the sender pauses. The answer counts what
is durable. When storing stops part-way, it names the line to go on from: every line before that one was stored
or rejected for good. A line on which the engine fails costs itself, unless there is one after another. A body that
is there as a whole, and is one sound event, needs nothing of that.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import msgspec

from arke.defects import HELD, INTERNAL, MAX_DEFECTS, Defects
from arke.domain.digits import whole_number
from arke.errors import EventError, Overloaded, Unavailable
from arke.intake.asgi import Disconnected, WholeBody, answer_json, come_again, content_encoding, header
from arke.intake.line_stream import BodyRefused, LineSplitter, inflater_for, only_line
from arke.intake.ndjson import left_out, parse_event_line, refusal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from arke.clock import Clock
    from arke.domain.event import Accepted, IncomingEvent
    from arke.doors.answers import Answer
    from arke.intake.asgi import Message, Receive, Scope
    from arke.intake.line_stream import Inflater
    from arke.intake.ports import Ingest
    from arke.intake.room import Reservation
    from arke.intake.settings import IntakeSettings


class Remark(msgspec.Struct, frozen=True, gc=False):
    """Why one line was refused, or a part of it was left out."""

    line: int
    code: str
    message: str


_ONE_ACCEPTED: Final = answer_json(200, {"accepted": 1, "rejected": []})


class _Lines:
    """What lines are made of, for all requests alike: one on which the engine fails is refused by itself, but not
    one after another.
    """

    def __init__(self, ingest: Ingest, clock: Clock) -> None:
        self._ingest = ingest
        self._clock = clock
        self._defects = Defects("intake", "event_failed", clock)
        self._unread = self._unstored = 0
        """In a row."""

    def parse(self, line: bytes) -> IncomingEvent:
        """Raises EventError, or the defect."""
        return parse_event_line(line, int(self._clock.now()), self._ingest)

    def read(self, line: bytes, number: int) -> IncomingEvent | EventError:
        """The event of a line, or why there is none. Raises _Unreadable."""
        try:
            event = self.parse(line)
        except EventError as problem:
            self._unread = 0
            return problem
        except Exception as defect:  # noqa: BLE001 - whatever it is, it costs this line alone
            refused = self._defects.met(defect, line=number)
            self._unread += 1
            if self._unread > MAX_DEFECTS:
                raise _Unreadable from None
            return refused
        self._unread = 0
        return event

    def check(self, results: Sequence[Accepted | EventError]) -> None:
        """Of these events what can be stored is. Raises BodyRefused where nothing is, for defects."""
        failed = sum(isinstance(one, EventError) and one.reason == INTERNAL for one in results)
        self._unstored = self._unstored + failed if failed == len(results) else 0
        if self._unstored > MAX_DEFECTS:
            raise _held()


class _Unreadable(Exception):
    """The engine has failed on one line after another, as it read them."""


def _held() -> BodyRefused:
    return BodyRefused(500, INTERNAL, HELD)


class BulkIntake:
    """The endpoint. The caller has checked method and token."""

    def __init__(self, ingest: Ingest, settings: IntakeSettings, clock: Clock) -> None:
        self._ingest = ingest
        self._settings = settings
        self._lines = _Lines(ingest, clock)

    async def __call__(self, scope: Scope, receive: Receive) -> Answer:
        if isinstance(receive, WholeBody) and (answer := await self._single(scope, receive.body)) is not None:
            return answer
        upload = self._upload()
        try:
            upload.unpack_with(content_encoding(scope))
            upload.refuse_if_longer(header(scope, b"content-length"))
            await upload.run(receive)
        except (Overloaded, Unavailable) as problem:
            return _stopped(upload, problem)
        except BodyRefused as problem:
            return _refused(upload, problem)
        return answer_json(200, upload.receipt())

    async def _single(self, scope: Scope, body: bytes) -> Answer | None:
        """The answer to a body of one event; None, and nothing has happened, where it is not just that, or is not
        sound.
        """
        line = only_line(body, self._settings.max_line_bytes)
        if line is None or len(body) > self._settings.max_bulk_bytes or content_encoding(scope):
            return None
        try:
            with await self._ingest.enter(1) as place:
                try:
                    event = self._lines.parse(line)
                except MemoryError:
                    raise
                except Exception:  # noqa: BLE001 - it is read once more, and whoever does so answers
                    place.leave(answered=False)
                    return None
                results = await self._ingest.ingest((event,), place, evaluated=False)
                self._lines.check(results)
        except (Overloaded, Unavailable) as problem:
            return _stopped(self._upload(), problem)
        except BodyRefused as problem:
            return _refused(self._upload(), problem)
        if refusal(results[0]) is None and not left_out(results[0]):
            return _ONE_ACCEPTED
        upload = self._upload()
        upload.took((1,), results)
        return answer_json(200, upload.receipt())

    def _upload(self) -> _Upload:
        return _Upload(self._ingest, self._settings, self._lines)


def _refused(upload: _Upload, problem: BodyRefused) -> Answer:
    return answer_json(problem.status, upload.stopped(problem.reason, problem.message), hang_up=True)


def _stopped(upload: _Upload, problem: Overloaded | Unavailable) -> Answer:
    body = upload.stopped(problem.code, problem.to_strangers)
    return answer_json(problem.status, body, [come_again(problem)])


class _Upload:
    """One request: the lines that wait to be stored, and what became of those before them."""

    def __init__(self, ingest: Ingest, settings: IntakeSettings, read: _Lines) -> None:
        self._ingest = ingest
        self._settings = settings
        self._read = read
        self._lines = LineSplitter(settings.max_line_bytes)
        self._inflater: Inflater | None = None
        self._size = 0
        self._events: list[IncomingEvent] = []
        self._event_lines: list[int] = []
        self._pending_rejections: list[Remark] = []
        self._rejected = _Remarks("rejected", settings.max_rejections)
        self._warnings = _Remarks("warnings", settings.max_rejections)
        self._accepted = 0
        self._done_through = 0
        self._place: Reservation | None = None

    def unpack_with(self, encoding: bytes) -> None:
        self._inflater = inflater_for(encoding, self._settings.max_inflate_ratio)

    def refuse_if_longer(self, length: bytes) -> None:
        given = whole_number(length.decode("latin-1"))
        if given is not None and given > self._settings.max_bulk_bytes:
            raise self._too_large()

    async def run(self, receive: Receive) -> None:
        """Read to the end of the body and store everything on the way."""
        try:
            await self._run(receive)
        except _Unreadable:
            await self._store_before(self._first_unreadable())
            raise _held() from None
        finally:
            self._leave(answered=False)

    async def _run(self, receive: Receive) -> None:
        while True:
            message = await self._next(receive)
            if message["type"] == "http.disconnect":
                raise Disconnected
            await self._take(message.get("body", b""))
            if not message.get("more_body", False):
                break
        if self._inflater is not None:
            self._inflater.finish()
        for line in self._lines.finish():
            self._parse(line)
        await self._store()

    def _first_unreadable(self) -> int:
        """The line of this group with which those begin that cannot be read, one after another up to the last."""
        first, sound = self._lines.number, self._event_lines[-1] if self._event_lines else 0
        for one in reversed(self._pending_rejections):
            if one.code != INTERNAL or one.line < sound:
                break
            first = one.line
        return first

    async def _store_before(self, line: int) -> None:
        """Store the group; this line and those after it are to be sent again."""
        self._pending_rejections = [one for one in self._pending_rejections if one.line < line]
        await self._store()
        self._done_through = line - 1

    def receipt(self) -> dict[str, object]:
        rejected, warnings = self._rejected.shown(), self._warnings.shown()
        return {"accepted": self._accepted, **rejected, **(warnings if warnings["warnings"] else {})}

    def stopped(self, code: str, message: str) -> dict[str, object]:
        """The receipt of a request that ended early; lines from `next_line` on are to be sent again."""
        next_line = self._event_lines[0] if self._event_lines else self._done_through + 1
        self._settle([one for one in self._pending_rejections if one.line < next_line])
        return {**self.receipt(), "next_line": next_line, "error": {"code": code, "message": message}}

    async def _next(self, receive: Receive) -> Message:
        """The next part; while the sender pauses, what is waiting gets stored."""
        if isinstance(receive, WholeBody):
            return await receive()
        arriving = asyncio.ensure_future(receive())
        try:
            if self._events:
                arrived, _ = await asyncio.wait((arriving,), timeout=self._settings.bulk_linger_s)
                if not arrived:
                    await self._store()
            else:
                self._leave(answered=False)  # nothing is held for what a sender has yet to send
            arrived, _ = await asyncio.wait((arriving,), timeout=self._settings.body_idle_timeout_s)
            if not arrived:
                raise BodyRefused(408, "body_too_slow", "the body stopped arriving")
            return arriving.result()
        finally:
            arriving.cancel()

    async def _take(self, part: bytes) -> None:
        for plain in self._plain(part):
            left = plain.count(b"\n") + 1
            await self._enter(left)
            self._size += len(plain)
            if self._size > self._settings.max_bulk_bytes:
                await self._store()
                raise self._too_large()
            for line in self._lines.feed(plain):
                left -= 1
                if line == b"":
                    continue
                self._parse(line)
                if len(self._events) + len(self._pending_rejections) >= self._settings.bulk_group_events:
                    await self._store()
                    await self._enter(left)

    async def _enter(self, lines: int) -> None:
        """Take room for the group that these lines go into, before any of them is parsed. Raises Overloaded,
        Unavailable.
        """
        wanted = min(self._settings.bulk_group_events, len(self._events) + lines)
        if self._place is None:
            self._place = await self._ingest.enter(wanted, resuming=self._done_through > 0)
        else:
            self._place.widen_to(wanted)

    def _leave(self, *, answered: bool) -> None:
        if self._place is not None:
            self._place.leave(answered=answered)
            self._place = None

    def _plain(self, part: bytes) -> Iterator[bytes]:
        return iter((part,)) if self._inflater is None else self._inflater.feed(part)

    def _parse(self, line: bytes | None) -> None:
        number = self._lines.number
        if line is None:
            longest = self._settings.max_line_bytes
            self._reject(number, "line_too_long", f"the line is longer than {longest} bytes")
            return
        if not line or line.isspace():
            return
        event = self._read.read(line, number)
        if isinstance(event, EventError):
            self._reject(number, event.reason, event.message)
            self._ingest.figures.ids_dropped.update(event.id_codes)
        else:
            self._events.append(event)
            self._event_lines.append(number)

    def _reject(self, line: int, code: str, message: str) -> None:
        self._pending_rejections.append(Remark(line, code, message))

    async def _store(self) -> None:
        """Hand the group to the engine. If that raises, the group stays as it is, for `stopped` to read."""
        results: Sequence[Accepted | EventError] = ()
        if self._events:
            results = await self._ingest.ingest(self._events, self._place, evaluated=False)
            self._read.check(results)
        else:
            await asyncio.sleep(0)  # a body of nothing but bad lines must not keep others waiting
        self.took(self._event_lines, results)
        stored = bool(self._events)
        self._events, self._event_lines = [], []
        self._done_through = self._lines.number
        self._leave(answered=stored)

    def took(self, lines: Sequence[int], results: Sequence[Accepted | EventError]) -> None:
        """What became of the events on these lines, and of the lines between them."""
        for line, result in zip(lines, results, strict=True):
            refused = refusal(result)
            if refused is not None:
                self._reject(line, refused.reason, refused.message)
            else:
                self._accepted += 1
                if parts := left_out(result):
                    self._ingest.figures.left_out(parts)
                    self._warnings.add([Remark(line, part.code, part.message) for part in parts])
        self._settle(self._pending_rejections)
        self._pending_rejections = []

    def _settle(self, rejections: list[Remark]) -> None:
        """These lines are rejected for good: nobody sends them again because of this answer."""
        self._rejected.add(rejections)
        for rejection in rejections:
            self._ingest.figures.refused(rejection.code)

    def _too_large(self) -> BodyRefused:
        limit = self._settings.max_bulk_bytes
        return BodyRefused(413, "body_too_large", f"the body is larger than {limit} bytes: send it in parts")


class _Remarks:
    """What an answer lists under a name: so many remarks, by line, and how many there were."""

    def __init__(self, name: str, most: int) -> None:
        self._name = name
        self._most = most
        self._listed: list[Remark] = []
        self._total = 0

    def add(self, remarks: list[Remark]) -> None:
        self._total += len(remarks)
        self._listed += remarks[: max(0, self._most - len(self._listed))]

    def shown(self) -> dict[str, object]:
        self._listed.sort(key=lambda remark: remark.line)
        listed: dict[str, object] = {self._name: self._listed}
        return {**listed, f"{self._name}_total": self._total} if self._total > len(self._listed) else listed

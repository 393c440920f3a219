"""Sends a plan of visits to an intake over HTTP, at its pace, and counts what became of every event."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlencode

import msgspec

from arke.demo.catalog import WEB_DPID, is_counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.demo.intake_client import HttpAnswer, IntakeClient
    from arke.demo.visitors import AppLine, Plan, Step, WebVisitor

BUNDLE_EVERY_S: Final = 0.1
BUNDLE_LINES: Final = 200
PATIENCE: Final = 20
"""How often an event is offered again to an intake that is busy, before it counts as unanswered."""
_DEVICE_COOKIE: Final = "demdex"


class Rejection(msgspec.Struct, frozen=True):
    """A line's refusal as the intake words it."""

    line: int
    code: str


class Receipt(msgspec.Struct, frozen=True):
    """What `/v1/events` answers; `next_line` where it stopped part-way."""

    accepted: int
    rejected: list[Rejection]
    next_line: int | None = None


class Outcome(msgspec.Struct, frozen=True):
    """What `/event` and `/ibs:` answer: with a UUID the event was stored."""

    uuid: str | None = None


class Told(msgspec.Struct, frozen=True):
    """What an app's line says of a visitor."""

    signals: dict[str, str] = {}


class Tally(msgspec.Struct):
    """What was sent and how it was answered. `sent` = `accepted` + all of `rejected` + `unanswered`. `counted`: the
    accepted ones that have to be found in profiles afterwards, once each; those of visitors who opted out are not.
    """

    sent: int = 0
    accepted: int = 0
    rejected: Counter[str] = msgspec.field(default_factory=Counter)
    unanswered: int = 0
    requests: int = 0
    opt_outs: int = 0
    counted: int = 0
    seconds: float = 0.0


class Traffic:
    """Plays a plan. `run` returns when it is over, or soon after `stop` is set."""

    def __init__(self, plan: Plan, client: IntakeClient, token: str, stop: asyncio.Event) -> None:
        self._plan = plan
        self._client = client
        self._token = token
        self._stop = stop
        self._started = 0.0
        self.tally = Tally()
        self.cookies: set[str] = set()
        """Devices that web visitors were given."""
        self.visitors_seen = 0

    async def run(self) -> Tally:
        loop = asyncio.get_running_loop()
        self._started = loop.time()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._collector())
            for visitor in self._plan.web:
                group.create_task(self._browse(visitor))
        self.tally.seconds = loop.time() - self._started
        return self.tally

    async def _wait_until(self, at_s: float) -> bool:
        """Whether to go on: False once the demo is stopped."""
        delay_s = self._started + at_s - asyncio.get_running_loop().time()
        if delay_s > 0 and not self._stop.is_set():
            try:
                async with asyncio.timeout(delay_s):
                    await self._stop.wait()
            except TimeoutError:
                return True
        return not self._stop.is_set()

    # --- the web site -----------------------------------------------------------------------------------

    async def _browse(self, visitor: WebVisitor) -> None:
        cookie: str | None = None
        counted = 0
        for step in visitor.steps:
            if not await self._wait_until(step.at_s):
                return
            if step.fresh:
                cookie = None
            answer = await self._request(_target(visitor, step), cookie, counted=not step.opt_out)
            if answer is not None:
                cookie = _cookie_of(answer) or cookie
            if step.opt_out:
                self.tally.opt_outs += 1
                self.tally.counted -= counted
            elif self._count(answer) and is_counted({} if step.sync else step.signals):
                counted += 1
                self.tally.counted += 1

    async def _request(self, target: str, cookie: str | None, *, counted: bool) -> HttpAnswer | None:
        """The answer, offered again while the intake is busy; None if there is none in the end."""
        headers = {"Cookie": f"{_DEVICE_COOKIE}={cookie}"} if cookie is not None else {}
        self.tally.sent += counted
        for _ in range(PATIENCE):
            self.tally.requests += 1
            try:
                answer = await self._client.get(target, headers)
            except OSError:
                return None
            if answer.status not in (429, 503):
                return answer
            await asyncio.sleep(_retry_after_s(answer))
        return None

    def _count(self, answer: HttpAnswer | None) -> bool:
        """Whether it was accepted."""
        if answer is None:
            self.tally.unanswered += 1
            return False
        uuid = msgspec.json.decode(answer.body, type=Outcome).uuid if answer.status == 200 else None
        if uuid is not None:
            self.tally.accepted += 1
            self.cookies.add(uuid)
        else:
            code = answer.headers.get("x-error", [str(answer.status)])[0]
            self.tally.rejected[f"code {code}"] += 1
        return uuid is not None

    # --- the app's collector ----------------------------------------------------------------------------

    async def _collector(self) -> None:
        waiting = deque(self._plan.app)
        due_s = 0.0
        while waiting:
            due_s = max(due_s + BUNDLE_EVERY_S, waiting[0].at_s)
            if not await self._wait_until(due_s):
                return
            now_s = asyncio.get_running_loop().time() - self._started
            while waiting and waiting[0].at_s <= now_s:
                bundle: list[AppLine] = []
                while waiting and waiting[0].at_s <= now_s and len(bundle) < BUNDLE_LINES:
                    bundle.append(waiting.popleft())
                await self._post([item.line for item in bundle])

    async def _post(self, lines: Sequence[bytes]) -> None:
        """One bundle; what the intake is too busy for goes again from the line it names."""
        self.tally.sent += len(lines)
        rest = list(lines)
        for _ in range(PATIENCE):
            self.tally.requests += 1
            try:
                answer = await self._client.post(
                    "/v1/events",
                    b"\n".join(rest) + b"\n",
                    {"Authorization": f"Bearer {self._token}", "Content-Type": "application/x-ndjson"},
                )
            except OSError:
                break
            if answer.status not in (200, 429, 503):
                break
            receipt = msgspec.json.decode(answer.body, type=Receipt)
            self.tally.accepted += receipt.accepted
            self.tally.rejected.update(rejection.code for rejection in receipt.rejected)
            self.tally.counted += _counted(rest, receipt)
            if receipt.next_line is None:
                return
            rest = rest[receipt.next_line - 1 :]
            await asyncio.sleep(_retry_after_s(answer))
        self.tally.unanswered += len(rest)


def _target(visitor: WebVisitor, step: Step) -> str:
    if step.opt_out:
        return "/demoptout?d_rtbd=json"
    if step.sync:
        return f"/ibs:dpid={WEB_DPID}&dpuuid={quote(visitor.partner_id)}&d_rtbd=json"
    query = dict(step.signals) | {"d_rtbd": "json"}
    if step.faulty:
        query["d_uuid"] = "not-a-device"
    return f"/event?{urlencode(query)}"


def _counted(lines: Sequence[bytes], receipt: Receipt) -> int:
    """How many of the accepted ones count."""
    read = lines if receipt.next_line is None else lines[: receipt.next_line - 1]
    rejected = {rejection.line for rejection in receipt.rejected}
    accepted = (line for number, line in enumerate(read, 1) if number not in rejected)
    return sum(is_counted(msgspec.json.decode(line, type=Told).signals) for line in accepted)


def _cookie_of(answer: HttpAnswer) -> str | None:
    """The device cookie that the answer sets, as a browser would keep it."""
    for text in answer.headers.get("set-cookie", ()):
        name, _, rest = text.partition("=")
        if name == _DEVICE_COOKIE:
            return rest.partition(";")[0]
    return None


def _retry_after_s(answer: HttpAnswer) -> float:
    return min(5.0, float(answer.headers.get("retry-after", ["1"])[0]))

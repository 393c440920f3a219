"""The load generator: a process of its own, `python -m peers.load`, that does one `Load` a line."""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections import deque
from typing import TYPE_CHECKING, Final, cast

import httptools
import msgspec
import uvloop

from peers.wire import Load, Loaded, share_of

if TYPE_CHECKING:
    from collections.abc import Coroutine

PAUSE_S: Final = 0.05
"""After a refusal."""
ANSWERS_WITHIN_S: Final = 60.0
"""How long the last answers are waited for."""
MOST_CONNECTIONS: Final = 512
READY: Final = 16
"""Connections that are open before the first event is due."""


class Post(msgspec.Struct):
    """A body, sent again until it is taken; `sent_ns` the last time."""

    body: bytes
    events: int
    sent_ns: int = 0


class Caller(asyncio.Protocol):
    """A keep-alive connection with one POST under way."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._answer: list[bytes] = []
        self.transport: asyncio.Transport | None = None
        self.post: Post | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Also of the connection that comes after one that broke."""
        self.transport = cast("asyncio.Transport", transport)
        self._parser = httptools.HttpResponseParser(self)
        self._answer.clear()

    def send(self, post: Post) -> None:
        assert self.transport is not None
        self.post = post
        post.sent_ns = time.monotonic_ns()
        self.transport.write(self._run.head(len(post.body)) + post.body)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self._answer.append(body)

    def on_message_complete(self) -> None:
        post, self.post = self.post, None
        answer = b"".join(self._answer)
        self._answer.clear()
        if not self._parser.should_keep_alive() and self.transport is not None:
            self.transport.close()
            self.transport = None
        if post is not None:
            self._run.answered(self, post, self._parser.get_status_code(), answer)

    def connection_lost(self, _: Exception | None) -> None:
        self.transport = None
        if self.post is not None:
            post, self.post = self.post, None
            self._run.broke(self, post)


class Run:
    """One `Load`, from its first POST to its last answer."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._loop = asyncio.get_running_loop()
        self._number = load.first
        self._left = load.events
        self._accepted = self._refused = self._broke = self._under_way = 0
        self._late_ns = self._end_ns = 0
        self._answers_ns: list[int] = []
        self._done = asyncio.Event()
        self._free: list[Caller] = []
        self._waiting: deque[Post] = deque()
        self._callers = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._reason = ""
        named = {"Host": f"127.0.0.1:{load.posting.port}", "Content-Type": "application/json"}
        lines = "".join(f"{name}: {value}\r\n" for name, value in (named | load.posting.headers).items())
        self._head = f"POST {load.posting.path} HTTP/1.1\r\n{lines}Content-Length: ".encode()
        self._event = [part.encode() for part in load.posting.event]
        self._between = load.posting.between.encode()
        self._proof = load.posting.proof.encode()

    def head(self, length: int) -> bytes:
        return b"%b%d\r\n\r\n" % (self._head, length)

    async def run(self) -> Loaded:
        paced = bool(self._load.rate)
        callers = [await self._connect() for _ in range(READY if paced else self._load.connections)]
        began_ns = time.monotonic_ns()
        self._end_ns = began_ns + int(self._load.seconds * 1e9)
        if paced:
            self._free = callers
            await self._on_time(began_ns)
        else:
            for caller in callers:
                self._next(caller)
        deadline = self._load.seconds + ANSWERS_WITHIN_S
        try:
            async with asyncio.timeout(deadline):
                while self._under_way:
                    self._done.clear()
                    await self._done.wait()
        except TimeoutError:
            self._reason = self._reason or f"{self._under_way} answers did not come in {deadline:.0f} s"
        for caller in callers + self._free:
            caller.post = None
            if caller.transport is not None:
                caller.transport.abort()
        return Loaded(
            began_ns=began_ns,
            accepted=self._accepted,
            refused=self._refused,
            broke=self._broke,
            answer_p50_ms=share_of(self._answers_ns, 0.5),
            late_ms=self._late_ns / 1e6,
            reason=self._reason,
        )

    async def _connect(self) -> Caller:
        self._callers += 1
        _, caller = await self._loop.create_connection(
            lambda: Caller(self), "127.0.0.1", self._load.posting.port
        )
        return caller

    async def _on_time(self, began_ns: int) -> None:
        """Each when it is due, whether or not those before it were answered."""
        step_ns = 1e9 / self._load.rate
        for turn in range(round(self._load.rate * self._load.seconds)):
            due_ns = began_ns + int(turn * step_ns)
            wait_ns = due_ns - time.monotonic_ns()
            if wait_ns > 0:
                await asyncio.sleep(wait_ns / 1e9)
            self._late_ns = max(self._late_ns, time.monotonic_ns() - due_ns)
            self._under_way += 1
            self._give(self._post(1, due_ns))
        self._end_ns = time.monotonic_ns()

    def _give(self, post: Post) -> None:
        """To a connection that is free, or to a new one; else it waits."""
        while self._free:
            caller = self._free.pop()
            if caller.transport is not None:
                caller.send(post)
                return
            self._callers -= 1
        self._waiting.append(post)
        if self._callers < MOST_CONNECTIONS:
            self._keep(self._one_more())

    async def _one_more(self) -> None:
        try:
            caller = await self._connect()
        except OSError as error:
            self._callers -= 1
            self._reason = str(error)
            return
        self._spare(caller)

    def _spare(self, caller: Caller) -> None:
        if self._waiting and caller.transport is not None:
            caller.send(self._waiting.popleft())
        else:
            self._free.append(caller)

    def _post(self, events: int, due_ns: int) -> Post:
        """About the next users, due now unless told otherwise."""
        before, after = self._event
        due_ns = due_ns or time.monotonic_ns()
        numbers = range(self._number, self._number + events)
        self._number += events
        return Post(
            self._between.join(b"%bu%d-%d%b" % (before, number, due_ns, after) for number in numbers), events
        )

    def _next(self, caller: Caller) -> None:
        """The next POST of a connection that has no other."""
        events = self._load.events_a_post
        if self._load.events:
            events = min(events, self._left)
            self._left -= events
        if events and time.monotonic_ns() < self._end_ns:
            self._under_way += 1
            self._send(caller, self._post(events, 0))

    def _send(self, caller: Caller, post: Post) -> None:
        if caller.transport is not None:
            caller.send(post)
        else:
            self._keep(self._again(caller, post))

    def answered(self, caller: Caller, post: Post, status: int, answer: bytes) -> None:
        if 200 <= status < 300 and self._proof in answer:
            self._answers_ns.append(time.monotonic_ns() - post.sent_ns)
            self._accepted += post.events
            self._finish()
            if self._load.rate:
                self._spare(caller)
            else:
                self._next(caller)
            return
        self._refused += 1
        self._reason = f"answered {status}: {answer[:200].decode(errors='replace')}"
        self._loop.call_later(PAUSE_S, self._once_more, caller, post)

    def broke(self, caller: Caller, post: Post) -> None:
        self._broke += 1
        self._loop.call_later(PAUSE_S, self._once_more, caller, post)

    def _once_more(self, caller: Caller, post: Post) -> None:
        if time.monotonic_ns() >= self._end_ns and not self._load.rate:
            self._finish()
        else:
            self._send(caller, post)

    async def _again(self, caller: Caller, post: Post) -> None:
        """On a new connection under the old one's name."""
        try:
            await self._loop.create_connection(lambda: caller, "127.0.0.1", self._load.posting.port)
        except OSError as error:
            self._reason = str(error)
            self._loop.call_later(PAUSE_S, self._once_more, caller, post)
        else:
            caller.send(post)

    def _finish(self) -> None:
        self._under_way -= 1
        if not self._under_way:
            self._done.set()

    def _keep(self, work: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _serve() -> None:
    gc.freeze()
    while line := await asyncio.to_thread(sys.stdin.readline):
        loaded = await Run(msgspec.json.decode(line, type=Load)).run()
        sys.stdout.write(msgspec.json.encode(loaded).decode() + "\n")
        sys.stdout.flush()


def main() -> None:
    uvloop.run(_serve())


if __name__ == "__main__":
    main()

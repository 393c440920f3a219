"""One request and its answer. Whatever an application raises becomes a 500 in the door's own form.

The words of an error may quote what the caller sent, so only its kind and place are logged, and never a traceback.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from arke.doors.refusals import INTERNAL
from arke.log import kind_and_place

if TYPE_CHECKING:
    from arke.doors.answers import Answer, Whole
    from arke.doors.bounds import Door
    from arke.tracing import Span

SERVER_ERROR: Final = 500
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT"})
"""What is told of a request's method; any other may be anything."""


class Unanswered(Exception):
    """Raised where an application has ended without an answer, which is a defect."""


class Exchange(RequestResponseCycle):
    """uvicorn's request cycle, with a 500 of the door for what the application raises. Its time is counted under
    the `route` that the application has put into the scope.
    """

    def __init__(self, door: Door, **facts: Any) -> None:
        super().__init__(**facts)
        self._door = door
        self._status = 0

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
        await super().send(message)

    async def run(self, app: Any, whole: Whole | None) -> None:
        """Have the request answered: by `whole` where all of it has arrived, else by the ASGI application."""
        scope: Any = self.scope
        began, tracer = perf_counter(), self._door.tracer
        span = tracer.begin("server", _traceparent(self.scope)) if tracer is not None else None
        try:
            if whole is None or self.more_body:
                await app(scope, self.receive, self.send)
            elif (said := await whole(scope, bytes(self.body))) is not None:
                await self._put(said)
            self._check_answered()
        except self._door.gone:
            return
        except Exception as problem:  # noqa: BLE001 - what it is for
            self._door.refusals.failed(self._door.name, kind_and_place(problem))
            if not self.response_started:
                await self.send_500_response()
        finally:
            if not self.response_complete and not self.disconnected:
                self.transport.close()  # too late for a status: an answer that is cut off says as much
            self.on_response = _nobody_waits
            route: Any = self.scope.get("route", "")
            if span is not None:
                self._traced(span, route or "other")
            self._door.refusals.answered.add(self._door.name, route, self._status, perf_counter() - began)

    async def _put(self, said: Answer) -> None:
        """Write an answer, in one piece."""
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        self._status = said.status
        if self.disconnected:
            return
        self.keep_alive = self.keep_alive and not said.hang_up
        only_head = self.scope["method"] == "HEAD"
        text = said.text(self.default_headers, keep_alive=self.keep_alive, only_head=only_head)
        self.response_started = self.response_complete = True
        self.waiting_for_100_continue = False
        self.transport.write(text)
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()

    def _check_answered(self) -> None:
        if not self.response_started and not self.disconnected:
            raise Unanswered

    def _traced(self, span: Span, route: str) -> None:
        method: Any = self.scope["method"]
        if method not in METHODS:
            method = "_OTHER"
        facts = {
            "arke.door": self._door.name,
            "http.request.method": method,
            "http.route": route,
            "http.response.status_code": self._status,
        }
        span.end(f"{method} {route}", facts, failed=self._status >= SERVER_ERROR)

    async def send_500_response(self) -> None:
        await answer(self.send, self._door, 500, "internal", INTERNAL)


def _traceparent(scope: Any) -> str:
    found: bytes = next((value for name, value in scope["headers"] if name == b"traceparent"), b"")
    return found.decode("latin-1")


async def answer(
    send: Any, door: Door, status: int, code: str, message: str, *more: tuple[bytes, bytes]
) -> None:
    """An error in the door's own form."""
    body = door.body(code, message)
    headers = [*door.headers, (b"content-length", str(len(body)).encode()), *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _nobody_waits() -> None:
    return

"""Requests to one engine, however it is reached: an endpoint of the table is asked, its type is answered."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol
from urllib.parse import parse_qs, urlsplit

import msgspec

from arke.api import parameters
from arke.api.query import address
from arke.api.table import files
from arke.domain.digits import whole_number
from arke.errors import ArkeError, EngineUnreachable, rebuild
from arke.operations.paging import Page

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from arke.api.endpoint import B, Endpoint, Listing, P, R, Route, Stream
    from arke.onboarding.columns_file import Outgoing
    from arke.operations.jobs import Receipt

FileProgress = Callable[[str, int, int], None]
"""Hears of a file's name, its lines so far, and all of them (0: not known)."""
POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Call:
    """One request: an endpoint, and what it is asked with."""

    route: Route[Any, Any]
    given: msgspec.Struct
    body: bytes | BinaryIO | None = None

    @property
    def target(self) -> str:
        return address(self.route, self.given)


class Reply(Protocol):
    """What comes back: a status, headers, and a body that is read whole or by lines."""

    status: int

    def getheader(self, name: str, default: str) -> str: ...

    def read(self) -> bytes: ...

    def __iter__(self) -> Iterator[bytes]: ...


class Session(ABC):
    """One or more requests to an engine."""

    @abstractmethod
    def send(self, call: Call) -> AbstractContextManager[Reply]:
        """Raises EngineUnreachable, also for what goes wrong while the reply is read."""

    @abstractmethod
    def pause(self, seconds: float) -> None:
        """Let time pass."""

    def finish(self, destination: int | None) -> int | None:  # noqa: ARG002 - for those that know the end
        """Wait until everything is sent that can be, where this process is the engine: how many devices are still
        owed something. None: a running engine goes on by itself.
        """
        return None

    def ask(self, endpoint: Endpoint[P, B, R], given: P | None = None, body: B | BinaryIO | None = None) -> R:
        """Raises what the engine raised, and EngineUnreachable."""
        asked = endpoint.parameters() if given is None else given
        with self.send(Call(endpoint, asked, _encoded(body))) as reply:
            return msgspec.json.decode(_accepted(reply).read(), type=endpoint.answer)

    def page(self, listing: Listing[P, B, R], given: P | None = None) -> Page[R]:
        """A page of a list. Raises what the engine raised, and EngineUnreachable."""
        asked = listing.parameters() if given is None else given
        with self.send(Call(listing, asked)) as reply:
            items = msgspec.json.decode(_accepted(reply).read(), type=list[listing.answer])  # type: ignore[name-defined]
            return Page(items, _cursor(reply.getheader("Link", "")))

    def every(self, listing: Listing[P, B, R], given: P | None = None) -> Iterator[R]:
        """The whole list, page by page."""
        asked = listing.parameters() if given is None else given
        following: str | None = None
        while True:
            page = self.page(listing, asked)
            yield from page.items
            following = page.next
            if following is None:
                return
            asked = msgspec.structs.replace(asked, cursor=following)

    def each(self, stream: Stream[P, B, R], given: P) -> Iterator[R]:
        """What is found, as it comes. Raises what the engine raised, and EngineUnreachable."""
        with self.send(Call(stream, given)) as reply:
            for line in _accepted(reply):
                yield msgspec.json.decode(line, type=stream.answer)

    def load(self, sent: Sequence[Outgoing], progress: FileProgress) -> Iterator[Receipt]:
        """Send files and wait until each is loaded. None is sent unless every name is right."""
        for path, columns in sent:
            self.ask(files.SEND_FILE, parameters.DataFile(path.name, columns, check=True))
        for path, columns in sent:
            with path.open("rb") as body:
                ticket = self.ask(files.SEND_FILE, parameters.DataFile(path.name, columns), body)
            while (known := self.ask(files.SHOW_FILE, parameters.OneFile(ticket.id or ""))).receipt is None:
                progress(path.name, known.lines, known.total)
                self.pause(POLL_S)
            yield known.receipt


def _cursor(link: str) -> str | None:
    """Where the next page begins, by the header Link; None: there is none."""
    target = link.partition(">")[0].removeprefix("<")
    found = parse_qs(urlsplit(target).query).get("cursor")
    return found[0] if found else None


def _encoded(body: object) -> bytes | BinaryIO | None:
    if isinstance(body, str):
        return body.encode("utf-8", "surrogatepass")  # the engine says what is wrong with half a character
    if isinstance(body, msgspec.Struct):
        return msgspec.json.encode(body)
    return body  # type: ignore[return-value] # a file, or nothing


def _accepted(reply: Reply) -> Reply:
    """The reply, if it is no refusal; else raises that."""
    if not 200 <= reply.status < 300:
        raise _refusal(reply, reply.read())
    return reply


def _refusal(reply: Reply, body: bytes) -> ArkeError:
    """What the admin API refused. Details that are not in the body are told by status and headers."""
    status = reply.status
    try:
        problem = msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.MsgspecError:
        problem = {}
    if 300 <= status < 400:
        return EngineUnreachable(
            "what answers there points to another address: --url must name the engine's own"
        )
    message = str(problem.get("message", f"the engine answered {status}"))
    details = {**problem, "status": status}
    again = whole_number(reply.getheader("Retry-After", ""))
    if again is not None:
        details["retry_after_s"] = again
    return rebuild(str(problem.get("code", "")), message, details, status)

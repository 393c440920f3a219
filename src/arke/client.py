"""How commands reach an engine: a running one over its Unix socket or a URL, otherwise the store itself."""

from __future__ import annotations

import asyncio
import functools
import http.client
import ipaddress
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from arke.app import DIRECTORY_FILE, SOCKET_FILE, file_loader, running_engine
from arke.catalog.load import parse_catalog
from arke.clock import SystemClock
from arke.console.onboard import Ticket
from arke.data_directory import check_private
from arke.domain.digits import whole_number
from arke.domain.token import LOCAL
from arke.engine.batches import DestinationBatches, RunFacts
from arke.engine.estimate import Estimate
from arke.errors import ArkeError, EngineUnreachable, InvalidInput, rebuild
from arke.onboarding.service import FileState
from arke.operations.explain import Explanation
from arke.operations.operations import AppliedReport, NewToken, Operations, Status, TokenFacts
from arke.operations.privacy import LiftReport, PrivacyReport
from arke.privacy.access import Access
from arke.shard.protocol import OwedDevice
from arke.unix_socket import reachable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Iterator, Sequence
    from typing import BinaryIO

    from arke.catalog.destinations import Checkers
    from arke.onboarding.receipt import Receipt
    from arke.onboarding.sending import Outgoing
    from arke.operations.privacy import LiftAsk, PrivacyAsk
    from arke.settings import Settings

T = TypeVar("T")
FileProgress = Callable[[str, int, int], None]
"""Hears of a file's name, its lines so far, and all of them (0: not known)."""
TIMEOUT_S = 300.0
DRAIN_S = 600.0
LOOK_EVERY_S = 0.2
"""How often a batch run that is followed is asked how far it is."""
POLL_S = 0.1


class ReplayReport(msgspec.Struct, frozen=True, omit_defaults=True):
    """How many devices were set off again; `owed`: how many are owed afterwards, where the command saw the end."""

    devices: int
    owed: int | None = None


class Connection(http.client.HTTPConnection):
    """HTTP over an engine's Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT_S)
        with reachable(self._path) as name:
            self.sock.connect(name)


class RemoteClient:
    """Operations of a running engine, over its admin API."""

    def __init__(
        self, connect: Callable[[], http.client.HTTPConnection], token: str | None, where: str
    ) -> None:
        self._connect = connect
        self._token = token
        self._where = where

    def status(self) -> Status:
        return self._ask("GET", "/v1/status", Status)

    def explain(self, uuid: str | None, partner: str | None) -> Explanation:
        return self._ask("GET", "/v1/explain", Explanation, uuid=uuid, id=partner)

    def estimate(self, rule: str, sample: int | None) -> Estimate:
        body = rule.encode("utf-8", "surrogatepass")  # the engine says what is wrong with half a character
        return self._ask("POST", "/v1/estimate", Estimate, body=body, sample=sample)

    def apply(self, path: Path, text: str, *, dry_run: bool) -> AppliedReport:
        flag = "1" if dry_run else None
        return self._ask(
            "POST",
            "/v1/catalog",
            AppliedReport,
            body=text.encode(),
            name=str(path),
            folder=str(path.resolve().parent),
            dry_run=flag,
        )

    def rollback(self, version: int | None, *, dry_run: bool) -> AppliedReport:
        flag = "1" if dry_run else None
        return self._ask("POST", "/v1/catalog/rollback", AppliedReport, version=version, dry_run=flag)

    def undelivered(self, destination: int | None) -> Iterator[OwedDevice]:
        with self._response("GET", "/v1/undelivered", destination=destination) as response:
            for line in response:
                yield msgspec.json.decode(line, type=OwedDevice)

    def replay(self, destination: int | None) -> ReplayReport:
        return self._ask("POST", "/v1/undelivered/replay", ReplayReport, destination=destination)

    def batches(self) -> list[DestinationBatches]:
        return self._ask("GET", "/v1/batches", list[DestinationBatches])

    def run_batch(self, destination: int, show: Callable[[RunFacts], None], *, resync: bool) -> RunFacts:
        """Begin a run and follow it to its end; `show` hears how far it is."""
        path = "/v1/resync" if resync else "/v1/batches"
        facts = self._ask("POST", path, RunFacts, destination=destination)
        while facts.finished_at is None:
            show(facts)
            time.sleep(LOOK_EVERY_S)
            facts = self._ask("GET", f"/v1/batches/{facts.number}", RunFacts, destination=destination)
        show(facts)
        return facts

    def privacy_access(self, ask: PrivacyAsk) -> list[Access]:
        return self._ask("POST", "/v1/privacy/access", list[Access], body=msgspec.json.encode(ask))

    def privacy_request(self, ask: PrivacyAsk, wait_s: float) -> list[PrivacyReport]:
        """The reports once the requests have ended, or after `wait_s`: the engine goes on by itself."""
        end = time.monotonic() + wait_s
        reports = self._ask(
            "POST", "/v1/privacy/requests", list[PrivacyReport], body=msgspec.json.encode(ask)
        )
        ended = []
        for report in reports:
            while (shown := self.privacy_show(report.number)).state != "done" and time.monotonic() < end:
                time.sleep(POLL_S)
            ended.append(shown)
        return ended

    def privacy_lift(self, ask: LiftAsk) -> LiftReport:
        return self._ask("POST", "/v1/privacy/lift", LiftReport, body=msgspec.json.encode(ask))

    def privacy_list(self, before: int | None) -> list[PrivacyReport]:
        return self._ask("GET", "/v1/privacy/requests", list[PrivacyReport], before=before)

    def privacy_show(self, number: int) -> PrivacyReport:
        return self._ask("GET", f"/v1/privacy/requests/{number}", PrivacyReport)

    def onboard(self, files: Sequence[Outgoing], progress: FileProgress) -> Iterator[Receipt]:
        """Send files and wait until each is loaded. None is sent unless every name is right."""
        for path, columns in files:
            self._ask("POST", "/v1/onboard", dict[str, str], name=path.name, columns=columns, check=1)
        for path, columns in files:
            with path.open("rb") as body:
                ticket = self._ask(
                    "POST", "/v1/onboard", Ticket, body=body, name=path.name, columns=columns
                ).id
            while (known := self._ask("GET", f"/v1/onboard/{ticket}", FileState)).receipt is None:
                progress(path.name, known.lines, known.total)
                time.sleep(POLL_S)
            yield known.receipt

    def create_token(self, scopes: str, name: str, expires: str | None) -> NewToken:
        return self._ask("POST", "/v1/tokens", NewToken, scope=scopes, name=name, expires=expires)

    def list_tokens(self) -> list[TokenFacts]:
        return self._ask("GET", "/v1/tokens", list[TokenFacts])

    def revoke_token(self, token_id: str) -> None:
        self._ask("DELETE", f"/v1/tokens/{quote(token_id, safe='')}", dict[str, str])

    def _ask(
        self, method: str, path: str, kind: type[T], *, body: bytes | BinaryIO | None = None, **query: Any
    ) -> T:
        with self._response(method, path, body=body, **query) as response:
            return msgspec.json.decode(response.read(), type=kind)

    @contextmanager
    def _response(
        self, method: str, path: str, *, body: bytes | BinaryIO | None = None, **query: Any
    ) -> Iterator[http.client.HTTPResponse]:
        given = {name: value for name, value in query.items() if value is not None}
        connection = self._connect()
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        try:
            connection.request(method, f"{path}?{urlencode(given)}" if given else path, body, headers)
            response = connection.getresponse()
            if not 200 <= response.status < 300:
                raise _error(response, response.read())
            yield response
        except msgspec.MsgspecError:
            raise EngineUnreachable(
                f"{self._where}: what answers there is no engine of this version"
            ) from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise EngineUnreachable(
                f"{self._where}: no engine answers ({reason.lower()}): see that `arke up` runs there, then ask "
                "again; what had begun goes on from where it was"
            ) from error
        finally:
            connection.close()


def _error(response: http.client.HTTPResponse, body: bytes) -> ArkeError:
    """What the admin API refused. Details that are not in the body are told by status and headers."""
    status = response.status
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
    again = whole_number(response.getheader("Retry-After", ""))
    if again is not None:
        details["retry_after_s"] = again
    return rebuild(str(problem.get("code", "")), message, details, status)


class LocalClient:
    """The same operations on a store that no engine has open."""

    def __init__(self, data: Path, settings: Settings, checkers: Checkers) -> None:
        self._data = data
        self._settings = settings
        self._checkers = checkers

    def status(self) -> Status:
        self._must_exist()
        return self._run(lambda operations: operations.status())

    def explain(self, uuid: str | None, partner: str | None) -> Explanation:
        self._must_exist()
        return self._run(lambda operations: operations.explain(uuid, partner))

    def estimate(self, rule: str, sample: int | None) -> Estimate:
        self._must_exist()
        return self._run(lambda operations: operations.estimate(rule, sample))

    def apply(self, path: Path, text: str, *, dry_run: bool) -> AppliedReport:
        folder = path.resolve().parent
        if dry_run and not self._exists():  # what a new store would make of it, without making one
            with TemporaryDirectory() as scratch:
                fresh = LocalClient(Path(scratch), self._settings, self._checkers)
                return fresh._run(lambda operations: operations.apply(text, str(path), folder, dry_run=True))
        if not self._exists():  # a catalog that is refused must not leave an empty store behind
            parse_catalog(text, name=str(path), base_dir=folder, checkers=self._checkers)
        return self._run(lambda operations: operations.apply(text, str(path), folder, dry_run=dry_run))

    def rollback(self, version: int | None, *, dry_run: bool) -> AppliedReport:
        self._must_exist()
        return self._run(lambda operations: operations.rollback(version, dry_run=dry_run))

    def undelivered(self, destination: int | None) -> Iterator[OwedDevice]:
        self._must_exist()

        async def collect(operations: Operations) -> list[OwedDevice]:
            return [device async for device in operations.undelivered(destination)]

        yield from self._run(collect)

    def replay(self, destination: int | None) -> ReplayReport:
        """Without a running engine this command is the engine until everything is sent."""
        self._must_exist()

        async def work() -> ReplayReport:
            async with self._engine(delivering=True) as (operations, drain):
                devices = await operations.replay(destination)
                await drain(DRAIN_S)
                return ReplayReport(devices, sum([1 async for _ in operations.owed(destination)]))

        return asyncio.run(work())

    def batches(self) -> list[DestinationBatches]:
        self._must_exist()
        return self._run(lambda operations: operations.batches())

    def run_batch(self, destination: int, show: Callable[[RunFacts], None], *, resync: bool) -> RunFacts:
        """Without a running engine this command is the engine until the run has ended."""
        self._must_exist()

        async def work() -> RunFacts:
            async with self._engine(delivering=True) as (operations, _):
                begin = operations.resync if resync else operations.run_batch
                facts = await begin(destination)
                while facts.finished_at is None:
                    show(facts)
                    await asyncio.sleep(LOOK_EVERY_S)
                    facts = await operations.batch(destination, facts.number)
                show(facts)
                return facts

        return asyncio.run(work())

    def privacy_access(self, ask: PrivacyAsk) -> list[Access]:
        self._must_exist()
        return self._run(lambda operations: operations.privacy.access(ask, actor=LOCAL))

    def privacy_request(self, ask: PrivacyAsk, wait_s: float) -> list[PrivacyReport]:
        """Without a running engine this command is the engine until the requests have ended, or for `wait_s`;
        the next engine goes on with what is left.
        """
        self._must_exist()

        async def work() -> list[PrivacyReport]:
            async with self._engine(delivering=True) as (operations, _):
                reports = await operations.privacy.request(ask, actor=LOCAL)
                return await operations.privacy.wait([report.number for report in reports], wait_s)

        return asyncio.run(work())

    def privacy_lift(self, ask: LiftAsk) -> LiftReport:
        self._must_exist()
        return self._run(lambda operations: operations.privacy.lift(ask, actor=LOCAL))

    def privacy_list(self, before: int | None) -> list[PrivacyReport]:
        self._must_exist()
        return self._run(lambda operations: operations.privacy.newest(before))

    def privacy_show(self, number: int) -> PrivacyReport:
        self._must_exist()
        return self._run(lambda operations: operations.privacy.show(number))

    def onboard(self, files: Sequence[Outgoing], progress: FileProgress) -> Iterator[Receipt]:
        """Load files into the store. None is loaded unless every name is right."""
        self._must_exist()

        async def work() -> AsyncGenerator[Receipt, None]:
            async with running_engine(
                self._data, self._settings, in_process=True, delivering=False
            ) as engine:
                with closing(file_loader(engine)) as loader:
                    for path, columns in files:
                        loader.check(path.name, columns)
                    for path, columns in files:
                        tell = functools.partial(progress, path.name)
                        yield await loader.load(path, path.name, columns, tell)
                await engine.joins.settle(DRAIN_S)

        yield from _each(work())

    def create_token(self, scopes: str, name: str, expires: str | None) -> NewToken:
        from arke.tokens import parse_lifetime_s

        async def work(operations: Operations) -> NewToken:
            return await operations.create_token(scopes, name, parse_lifetime_s(expires) if expires else None)

        return self._run(work)

    def list_tokens(self) -> list[TokenFacts]:
        self._must_exist()

        async def work(operations: Operations) -> list[TokenFacts]:
            return await operations.list_tokens()

        return self._run(work)

    def revoke_token(self, token_id: str) -> None:
        self._must_exist()

        async def work(operations: Operations) -> None:
            await operations.revoke_token(token_id)

        self._run(work)

    def _exists(self) -> bool:
        return (self._data / DIRECTORY_FILE).is_file()

    def _must_exist(self) -> None:
        """Looking at data must not make some."""
        if not self._exists():
            raise InvalidInput(
                f"{self._data}: no engine has kept data here: name its folder with --data, or start `arke up`"
            )

    def _run(self, ask: Callable[[Operations], Coroutine[Any, Any, T]]) -> T:
        async def work() -> T:
            async with self._engine() as (operations, _):
                return await ask(operations)

        return asyncio.run(work())

    @asynccontextmanager
    async def _engine(
        self, *, delivering: bool = False
    ) -> AsyncIterator[tuple[Operations, Callable[[float], Coroutine[Any, Any, None]]]]:
        async with running_engine(
            self._data, self._settings, in_process=True, delivering=delivering
        ) as engine:
            yield Operations(engine, SystemClock(), self._checkers), engine.drain


def _each(found: AsyncGenerator[T, None]) -> Iterator[T]:
    """What an asynchronous iterator finds, as it comes."""
    with asyncio.Runner() as runner:
        try:
            while True:
                try:
                    yield runner.run(_next(found))
                except StopAsyncIteration:
                    return
        finally:
            runner.run(found.aclose())


async def _next(found: AsyncGenerator[T, None]) -> T:
    return await anext(found)


def engine_socket(data: Path) -> Path:
    return data / SOCKET_FILE


def connect(
    data: Path,
    url: str | None,
    token: str | None,
    settings: Settings,
    checkers: Checkers,
    *,
    insecure: bool = False,
) -> RemoteClient | LocalClient:
    """The right client: `url` where given, else the running engine of `data`, else its store. `insecure`: the url
    may be http:// to another machine.
    """
    if url is not None:
        return _remote(url, token, insecure=insecure)
    path = engine_socket(data)
    if _answers(path):
        check_private(data)
        return RemoteClient(lambda: Connection(path), None, str(path))
    return LocalClient(data, settings, checkers)


def _remote(url: str, token: str | None, *, insecure: bool) -> RemoteClient:
    """No address is followed that an answer names, and no proxy of the environment asked."""
    host, port, secure = _address(url)
    if secure:
        context = ssl.create_default_context()
        return RemoteClient(
            lambda: http.client.HTTPSConnection(host, port, timeout=TIMEOUT_S, context=context), token, url
        )
    if not (insecure or _is_here(host)):
        raise InvalidInput(
            "--url http:// to another machine sends the token, and what is asked about people, in clear: write "
            "https:// (the admin API behind a TLS proxy), or --insecure where everybody on the way is trusted"
        )
    return RemoteClient(lambda: http.client.HTTPConnection(host, port, timeout=TIMEOUT_S), token, url)


def _address(url: str) -> tuple[str, int | None, bool]:
    """Host, port, and whether it is https. Raises InvalidInput, which does not repeat what may hold a password."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc:
        raise InvalidInput("--url is not an http(s) address of an admin API, as https://arke.example:8443")
    return host, port, parts.scheme == "https"


def _is_here(host: str) -> bool:
    """Whether this is this very machine, without asking anybody what a name means."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _answers(path: Path) -> bool:
    """Whether an engine listens; a socket file left by a crash does not."""
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with reachable(path) as name:
            probe.connect(name)
    except OSError:
        return False
    finally:
        probe.close()
    return True

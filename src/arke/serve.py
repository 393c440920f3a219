"""A running engine and its three doors: intake, admin API, and the Unix socket for commands."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from typing import TYPE_CHECKING

import msgspec

from arke.api.app import admin_server, api_app, socket_server
from arke.app import consent_rules, onboarding, running_engine, segment_rules, way_out
from arke.background import Background, every
from arke.clock import SystemClock
from arke.console.app import console_app, with_console
from arke.data_directory import DIRECTORY_FILE, SOCKET_FILE, DataLock, reachable
from arke.doors.bounds import Bounds
from arke.doors.names import KnownHosts, TrustedProxies
from arke.doors.refusals import Refusals
from arke.engine.sources.reading import Sources
from arke.errors import SettingsError
from arke.garbage import collect_seldom, keep_what_is_there
from arke.intake.http import intake_app, intake_server
from arke.intake.origins import listeners, parse_origins
from arke.intake.settings import IntakeSettings, OptOutSettings
from arke.log import get_logger
from arke.operations.installation import Surroundings
from arke.operations.subjects import Operations
from arke.process import raise_file_limit
from arke.settings import host_and_port
from arke.shard_app import confined_to
from arke.source_app import reading_sources
from arke.telemetry import check_telemetry, told_where, tracer_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from arke.catalog.destinations import Checkers
    from arke.cluster.role import Role
    from arke.onboarding.service import Onboarding
    from arke.operations.engine import Engine
    from arke.operations.nodes import ClusterNode
    from arke.settings import Settings, Telemetry
    from arke.transport.starting import Starter


class Doors(msgspec.Struct, frozen=True):
    """Where a running engine listens; `intake` is empty on a node that takes no events. `console` is a link that
    signs in once.
    """

    intake: str
    admin: str
    socket: str
    console: str = ""

    def text(self, *, as_json: bool) -> str:
        """What is printed when all are open."""
        intake = f"http://{self.intake}" if self.intake else None
        admin = f"http://{self.admin}"
        if as_json:
            urls = {"intake": intake, "admin": admin, "console": self.console, "socket": self.socket}
            return msgspec.json.encode(urls).decode() + "\n"
        return (f"intake {intake}\n" if intake else "") + f"admin  {admin}\nconsole {self.console}\nready\n"


def serve(
    data: Path,
    settings: Settings,
    checkers: Checkers,
    role: Role = "all",
    *,
    starter: Starter | None = None,
    as_json: bool = False,
) -> None:
    """Run until SIGINT or SIGTERM; prints where it listens once everything does, as lines or as one of JSON. `role`
    is that of a node of a cluster; the `starter` is for an engine without one.
    """
    import uvloop

    async def run() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        async with open_doors(data, settings, checkers, role, starter) as (_, doors):
            sys.stdout.write(doors.text(as_json=as_json))
            sys.stdout.flush()
            await stop.wait()
            get_logger("engine").info("stopping")

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


@contextlib.asynccontextmanager
async def open_doors(
    data: Path,
    settings: Settings,
    checkers: Checkers,
    role: Role = "all",
    starter: Starter | None = None,
) -> AsyncIterator[tuple[Engine, Doors]]:
    """A running engine with its servers. Listening sockets are bound before the engine starts."""
    raise_file_limit()
    check_telemetry(settings.telemetry)
    proxies = TrustedProxies(settings.server.trusted_proxies)
    admin_host, _ = host_and_port(settings.server.admin, "server.admin")
    try:
        hosts = KnownHosts(admin_host, settings.server.admin_hosts)
    except ValueError as error:
        raise SettingsError(f"server.admin_hosts: {error}") from None
    with contextlib.ExitStack() as sockets:
        takes = role in ("all", "intake")
        intake = sockets.enter_context(_listen(settings.server.intake, "server.intake")) if takes else None
        admin = sockets.enter_context(_listen(settings.server.admin, "server.admin"))
        async with (
            _engine(data, settings, role, starter) as (engine, files, node),
            _sources(engine, settings, node, takes=takes) as sources,
            way_out(settings) as wire,
        ):
            control = sockets.enter_context(_listen_unix(data / SOCKET_FILE))
            refusals = Refusals()
            operations = Operations(
                engine,
                SystemClock(),
                checkers,
                confined_to(settings),
                files,
                node,
                sources,
                wire=wire,
                settings=settings,
                admin_url=f"http://{_called(admin)}",
                around=Surroundings(data, refusals.counts),
            )
            edge = intake_app(engine.events, engine.opt_outs, engine.doorkeeper, intake_settings(settings))
            most, per_address = settings.server.connections, settings.server.connections_per_address
            servers = [
                (
                    admin_server(
                        with_console(
                            api_app(operations, engine.doorkeeper, refusals),
                            console_app(operations, SystemClock()),
                        ),
                        refusals,
                        hosts,
                        connections=most,
                        per_address=per_address,
                        proxies=proxies,
                    ),
                    admin,
                ),
                (
                    socket_server(api_app(operations, None, refusals), refusals, connections=most),
                    control,
                ),
            ]
            if intake is not None:
                edge_server = intake_server(
                    edge,
                    refusals,
                    bounds=Bounds(connections=most, per_address=per_address),
                    proxies=proxies,
                    tracer=tracer_of(settings.telemetry),
                )
                servers.append((edge_server, intake))
            pushing = Background()
            if told_where(settings.telemetry, "metrics"):
                pushing.spawn(_push_metrics(settings.telemetry, operations, refusals), "metrics")
            tasks = [asyncio.create_task(server.serve(sockets=[door])) for server, door in servers]
            try:
                # uvicorn offers no event to wait for.
                while not all(server.started for server, _ in servers):
                    for task in tasks:
                        if task.done():  # it could not listen
                            task.result()
                    await asyncio.sleep(0.01)
                await engine.audit.log_end()
                at = _address(intake) if intake is not None else ""
                link = operations.sign_in.first_link()
                yield engine, Doors(at, _address(admin), str(data / SOCKET_FILE), link.url)
            finally:
                await pushing.stop()
                for server, _ in servers:
                    server.should_exit = True
                await asyncio.gather(*tasks, return_exceptions=True)
                with contextlib.suppress(OSError):
                    os.unlink(data / SOCKET_FILE)  # noqa: PTH108 - the socket is ours


async def _push_metrics(settings: Telemetry, operations: Operations, doors: Refusals) -> None:
    from arke.api.otlp import MetricsPusher

    pusher = MetricsPusher(settings, operations.status, doors)
    try:
        await every(settings.metrics_every_s, pusher.push)
    finally:
        pusher.close()


@contextlib.asynccontextmanager
async def _engine(
    data: Path, settings: Settings, role: Role, starter: Starter | None
) -> AsyncIterator[tuple[Engine, Onboarding, ClusterNode | None]]:
    """The engine of a data directory, or a node of the cluster that the settings name."""
    collect_seldom()
    if not settings.cluster.store:
        if role != "all":
            raise SettingsError(f"--role {role} is for nodes of a cluster: set cluster.store")
        async with (
            running_engine(data, settings, starter=starter) as engine,
            onboarding(engine, data, settings) as files,
        ):
            keep_what_is_there()
            yield engine, files, None
        return
    try:
        from arke.cluster_node import running_node
    except ImportError as error:
        raise SettingsError(f"a cluster needs the extra arke[cluster]: {error}") from None
    if (data / DIRECTORY_FILE).exists():
        raise SettingsError(
            f"cluster.store: {data} has the data of an engine without a cluster, which no node would use: "
            f"`arke cluster import --data {data}` moves it in; start nodes with another --data"
        )
    lock = DataLock(data)
    try:
        async with running_node(data, settings, role) as node:
            keep_what_is_there()
            yield node.engine, node.files, node.view
    finally:
        lock.release()


@contextlib.asynccontextmanager
async def _sources(
    engine: Engine, settings: Settings, node: ClusterNode | None, *, takes: bool
) -> AsyncIterator[Sources]:
    """The topics that a node reads that takes events."""
    if not takes:
        yield Sources(engine.directory.sources)
        return
    name = node.name if node is not None else "engine"
    async with reading_sources(engine, settings, name) as sources:
        yield sources


def intake_settings(settings: Settings) -> IntakeSettings:
    """What the edge needs to know of all settings."""
    return IntakeSettings(
        auth=settings.auth.intake,
        region=settings.region,
        memberships=settings.answers.memberships,
        listeners=listeners(settings.answers.origins),
        opt_outs=OptOutSettings(
            whom=settings.privacy.public_opt_out,
            per_minute=settings.privacy.opt_outs_per_minute,
            origins=parse_origins(settings.privacy.opt_out_origins),
        ),
        consent=consent_rules(settings),
        segment=segment_rules(settings),
    )


def _listen(text: str, option: str) -> socket.socket:
    host, port = host_and_port(text, option)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise SettingsError(f"{option}: cannot listen on {text}: {error.strerror}") from None
    return listener


def _listen_unix(path: Path) -> socket.socket:
    """The data directory's lock is held, so a file that is there was left behind."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        with reachable(path) as name:
            listener.bind(name)
    except OSError as error:
        listener.close()
        raise SettingsError(f"{path}: cannot listen: {error.strerror or error}") from None
    finally:
        os.umask(mask)
    return listener


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _called(listener: socket.socket) -> str:
    """How it is reached from this machine: what listens on all addresses is reached by loopback."""
    address = _address(listener)
    for everywhere, here in (("0.0.0.0:", "127.0.0.1:"), ("[::]:", "[::1]:")):
        address = address.replace(everywhere, here)
    return address

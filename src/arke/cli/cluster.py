"""`arke cluster`: many nodes over one PostgreSQL."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from click.exceptions import Exit

from arke.cli.declared import Option, Subject
from arke.cli.options import Config, Data, Json
from arke.cli.progress import LongWork, following_rows
from arke.wording import many

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.cluster.founding import Founded
    from arke.cluster.moving_in import MovedIn
    from arke.cluster.standing import ClusterStatus
    from arke.settings import Settings
    from arke.storage.ports.cluster import Made, Moved, ShardState

cluster_app = Subject("cluster", "Many nodes over one PostgreSQL and one log of events.")

LISTED = 12
"""Shards that a line names."""


@cluster_app.named("init")
def init(config: Config = None, json: Json = False) -> None:
    """Make what a cluster needs, or bring it up to date: schema, shards, topic. May be repeated."""
    import asyncio

    import msgspec

    settings = _settings(config)
    from arke.cluster_app import found_cluster

    founded = asyncio.run(found_cluster(settings))
    if json:
        sys.stdout.write(msgspec.json.encode(founded).decode() + "\n")
    else:
        _show_founded(founded)


def _settings(config: Path | None) -> Settings:
    """Those of a cluster. Raises SettingsError, and InvalidInput where the clients of its servers are missing."""
    from importlib.util import find_spec

    from arke.errors import InvalidInput, SettingsError
    from arke.settings import find_settings

    settings = find_settings(config)
    if not settings.cluster.store:
        raise SettingsError(
            "cluster.store is empty: it names the PostgreSQL of a cluster, as env:NAME or file:PATH"
        )
    if find_spec("psycopg") is None or find_spec("confluent_kafka") is None:
        raise InvalidInput("a cluster needs the clients of PostgreSQL and Kafka: pip install 'arke[cluster]'")
    return settings


def _show_founded(founded: Founded) -> None:
    sys.stdout.write(_made("", founded.store))
    for name, made in founded.servers.items():
        sys.stdout.write(_made(f"{name}: ", made))
    if founded.log is not None:
        sys.stdout.write(f"topic {founded.log.name}: {founded.log.partitions} partitions\n")
        for warning in founded.log.warnings:
            sys.stderr.write(f"arke: warning: {warning}\n")


def _made(name: str, server: Made) -> str:
    done = "made" if server.before == 0 else f"brought from schema {server.before} to {server.schema}"
    if server.before == server.schema:
        done = "up to date"
    return f"{name}{server.name}: {done}, schema {server.schema}, {many(server.shards, 'shard')}\n"


@cluster_app.named("status")
def status(
    config: Config = None,
    shards: Annotated[bool, Option("--shards", help="List every shard.")] = False,
    json: Json = False,
) -> None:
    """Show nodes, who leads, who owns which shard, and how far behind it is, as the database has them.

    Exit code 1 if a shard has no owner, or its server cannot be used.
    """
    import asyncio

    import msgspec

    settings = _settings(config)
    from arke.cluster_app import cluster_status

    found = asyncio.run(cluster_status(settings))
    if json:
        sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
    else:
        _show_status(found, every_shard=shards)
    if found.unowned or found.waiting:
        raise Exit(1)


@cluster_app.named("move")
def move(
    shard: Annotated[str, Option("--shard", metavar="N[,N..]", help="Which: 3, or 3,7, or 128-255.")],
    to: Annotated[str, Option("--to", metavar="SERVER", help="A name in cluster.servers, or `store`.")],
    config: Config = None,
    json: Json = False,
) -> None:
    """Move shards to another PostgreSQL, one after the other; their events wait meanwhile. May be repeated."""
    import asyncio

    shards = _numbers(shard)
    settings = _settings(config)
    asyncio.run(_move(settings, shards, to, json=json))


async def _move(settings: Settings, shards: list[int], target: str, *, json: bool) -> None:
    import msgspec

    from arke.cluster_app import move_shards

    done = 0
    with LongWork(f"shards to {target}", quiet=json, total=len(shards)) as work:
        async for moved in move_shards(settings, shards, target):
            done += 1
            with work.put_away():
                sys.stdout.write(msgspec.json.encode(moved).decode() + "\n" if json else _moved(moved))
                sys.stdout.flush()
            work.tell(f"{done} of {len(shards)} shards to {target}", done, len(shards))


def _moved(moved: Moved) -> str:
    if moved.source == moved.target:
        return f"shard {moved.shard}: is on {moved.target}\n"
    way = f"from {moved.source} to {moved.target}"
    return f"shard {moved.shard}: {way}, {many(moved.rows, 'row')}, {moved.seconds:.1f} s\n"


def _numbers(text: str) -> list[int]:
    """`3,7,128-255`. Raises InvalidInput."""
    from arke.errors import InvalidInput

    found: dict[int, None] = {}
    for part in text.split(","):
        matched = re.fullmatch(r"([0-9]{1,4})(?:-([0-9]{1,4}))?", part.strip())
        if matched is None:
            raise InvalidInput(f"--shard {text}: numbers with commas in between, and ranges: 3,7,128-255")
        first, last = matched[1], matched[2] or matched[1]
        found |= dict.fromkeys(range(int(first), int(last) + 1))
    return list(found)


@cluster_app.named("import")
def import_(
    data: Data,
    config: Config = None,
    json: Json = False,
) -> None:
    """Copy a data directory, whose engine is stopped, into a new cluster: everything told stays told."""
    import msgspec

    settings = _settings(config)
    from arke.cluster_app import import_directory

    with LongWork("copying", quiet=json) as work:
        moved = import_directory(settings, data, following_rows(work))
    if json:
        sys.stdout.write(msgspec.json.encode(moved).decode() + "\n")
    else:
        _show_moved(moved)


def _show_moved(moved: MovedIn) -> None:
    for title, tables in (("directory", moved.directory), ("shards", moved.shard_tables)):
        sys.stdout.write(f"{title}\n")
        for table in tables:
            gone = "" if table.before == table.after else f" of {table.before:,}"
            sys.stdout.write(f"  {table.table:<16} {table.after:>12,}{gone}\n")
    rate = f", {moved.rows / moved.seconds:,.0f} rows/s" if moved.seconds else ""
    sys.stdout.write(
        f"profiles are the same on both sides: {moved.digest}\n"
        f"{moved.source}: {many(moved.shards, 'shard')} went into {moved.cluster_shards}; "
        f"{many(moved.rows, 'row')}, {moved.bytes / 1e6:,.1f} MB in {moved.seconds:g} s{rate}\n"
        "Start the cluster's nodes, and no engine on that directory any more: both would tell destinations.\n"
    )


def _show_status(found: ClusterStatus, *, every_shard: bool) -> None:
    from arke.cluster.standing import SILENT_S
    from arke.domain.time import utc_text

    unowned = found.unowned
    owned = "all owned" if not unowned else f"{len(unowned)} without an owner"
    sys.stdout.write(f"{many(len(found.shards), 'shard')}, {owned}; {many(len(found.nodes), 'node')}\n")
    sys.stdout.write(_behind(found))
    for node in found.nodes:
        leads = ", leads" if node.name == found.leader else ""
        silent = "" if node.figures.ready else ", NOT READY"
        if node.silent_s >= SILENT_S:
            silent = f", SILENT for {node.silent_s:.0f} s"
        sys.stdout.write(
            f"{node.name}: {node.role} at {node.address}, version {node.version}, catalog {node.catalog}, "
            f"{many(found.owned_by(node.name), 'shard')}{leads}{silent}\n"
        )
    if unowned:
        sys.stdout.write(f"without an owner: {_some(unowned)}\n")
    _show_servers(found)
    if (newest := found.refused.newest) is not None:
        sys.stdout.write(
            f"{many(found.refused.count, 'message')} of the log could not be read, "
            f"the newest of {utc_text(newest.at)}: {newest.source}, shard {newest.shard}, "
            f"position {newest.position}: {newest.reason}\n"
        )
    if every_shard:
        for one in found.shards:
            on = f", on {one.server}" if len(found.servers) > 1 else ""
            sys.stdout.write(f"{_shard(one, found.behind.get(one.shard, 0))}{on}\n")


def _show_servers(found: ClusterStatus) -> None:
    """Where there are several, or one that cannot be used."""
    if len(found.servers) > 1 or found.waiting:
        for server in found.servers:
            down = f", CANNOT BE USED: {server.problem}" if server.problem is not None else ""
            sys.stdout.write(f"{server.name}: {server.where}, {many(found.on(server.name), 'shard')}{down}\n")
    if found.waiting:
        sys.stdout.write(f"waiting for their server: {_some(found.waiting)}\n")
    for one in found.shards:
        if one.moving_to is not None:
            sys.stdout.write(
                f"shard {one.shard} is on its way from {one.server} to {one.moving_to}: if no command is at it, "
                f"`arke cluster move --shard {one.shard} --to {one.moving_to}` goes on\n"
            )


def _some(shards: Sequence[int]) -> str:
    return ", ".join(map(str, shards[:LISTED])) + (" ..." if len(shards) > LISTED else "")


def _behind(found: ClusterStatus) -> str:
    """Of the log, by what the owners said a moment ago."""
    gaps = f"log: messages are gone, these shards STAND STILL: {_some(found.gaps)}\n" if found.gaps else ""
    if not found.behind:
        return gaps or "log: all is taken\n"
    most = max(found.behind, key=found.behind.__getitem__)
    return (
        f"log: {sum(found.behind.values()):,} messages wait, the most for shard {most}: "
        f"{found.behind[most]:,}\n{gaps}"
    )


def _shard(one: ShardState, behind: int) -> str:
    proved = "never owned" if one.proved_s is None else f"proved {one.proved_s:.1f} s ago"
    return (
        f"shard {one.shard}: {one.owner or 'nobody'}, epoch {one.epoch}, position {one.position}, "
        f"{behind:,} behind, {many(one.profiles, 'profile')}, {proved}"
    )

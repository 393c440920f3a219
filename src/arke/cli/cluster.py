"""`arke cluster`: many nodes over one PostgreSQL."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from arke.cli.options import Config, Json

if TYPE_CHECKING:
    from arke.cluster.founding import Founded
    from arke.cluster.moving_in import MovedIn, Progress
    from arke.cluster.standing import ClusterStatus
    from arke.settings import Settings
    from arke.storage.ports.cluster import ShardState

cluster_app = typer.Typer(help="Many nodes over one PostgreSQL and one log of events.", no_args_is_help=True)

LISTED = 12
"""Shards that a line names."""
BAR = 24
"""Characters of a progress bar."""
CLEAR_LINE = "\r\x1b[K"


@cluster_app.command("init")
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
    store = founded.store
    done = "made" if store.before == 0 else f"brought from schema {store.before} to {store.schema}"
    if store.before == store.schema:
        done = "up to date"
    sys.stdout.write(f"{store.name}: {done}, schema {store.schema}, {founded.shards} shards\n")
    if founded.log is not None:
        sys.stdout.write(f"topic {founded.log.name}: {founded.log.partitions} partitions\n")
        for warning in founded.log.warnings:
            sys.stderr.write(f"arke: warning: {warning}\n")


@cluster_app.command("status")
def status(
    config: Config = None,
    shards: Annotated[bool, typer.Option("--shards", help="List every shard.")] = False,
    json: Json = False,
) -> None:
    """Nodes, who leads, and who owns which shard, as the database has them. Exit code 1 if a shard has no owner."""
    import asyncio

    import msgspec

    settings = _settings(config)
    from arke.cluster_app import cluster_status

    found = asyncio.run(cluster_status(settings))
    if json:
        sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
    else:
        _show_status(found, every_shard=shards)
    if found.unowned:
        raise typer.Exit(1)


@cluster_app.command("import")
def import_(
    data: Annotated[
        Path,
        typer.Option("--data", envvar="ARKE_DATA", help="The data directory that moves in.", file_okay=False),
    ],
    config: Config = None,
    json: Json = False,
) -> None:
    """Copy a data directory, whose engine is stopped, into a new cluster: everything told stays told."""
    import msgspec

    settings = _settings(config)
    from arke.cluster.moving_in import Progress
    from arke.cluster_app import import_directory

    moved = import_directory(settings, data, Progress(_show_progress if sys.stderr.isatty() else None))
    if sys.stderr.isatty():
        sys.stderr.write(CLEAR_LINE)
    if json:
        sys.stdout.write(msgspec.json.encode(moved).decode() + "\n")
    else:
        _show_moved(moved)


def _show_progress(progress: Progress) -> None:
    share = min(progress.done / progress.total, 1.0) if progress.total else 0.0
    bar = "#" * round(share * BAR) + "-" * (BAR - round(share * BAR))
    sys.stderr.write(f"{CLEAR_LINE}[{bar}] {share:4.0%} {progress.done:,} rows: {progress.stage}")
    sys.stderr.flush()


def _show_moved(moved: MovedIn) -> None:
    for title, tables in (("directory", moved.directory), ("shards", moved.shard_tables)):
        sys.stdout.write(f"{title}\n")
        for table in tables:
            gone = "" if table.before == table.after else f" of {table.before:,}"
            sys.stdout.write(f"  {table.table:<16} {table.after:>12,}{gone}\n")
    rate = f", {moved.rows / moved.seconds:,.0f} rows/s" if moved.seconds else ""
    sys.stdout.write(
        f"profiles are the same on both sides: {moved.digest}\n"
        f"{moved.source}: {moved.shards} shard(s) are in {moved.cluster_shards}; {moved.rows:,} rows, "
        f"{moved.bytes / 1e6:,.1f} MB in {moved.seconds:g} s{rate}\n"
        "Start the cluster's nodes, and no engine on that directory any more: both would tell destinations.\n"
    )


def _show_status(found: ClusterStatus, *, every_shard: bool) -> None:
    from arke.cluster.standing import SILENT_S

    unowned = found.unowned
    owned = "all owned" if not unowned else f"{len(unowned)} without an owner"
    sys.stdout.write(f"{len(found.shards)} shards, {owned}; {len(found.nodes)} node(s)\n")
    for node in found.nodes:
        leads = ", leads" if node.name == found.leader else ""
        silent = f", SILENT for {node.silent_s:.0f} s" if node.silent_s >= SILENT_S else ""
        sys.stdout.write(
            f"{node.name}: {node.role} at {node.address}, version {node.version}, catalog {node.catalog}, "
            f"{found.owned_by(node.name)} shards{leads}{silent}\n"
        )
    if unowned:
        some = ", ".join(map(str, unowned[:LISTED])) + (" ..." if len(unowned) > LISTED else "")
        sys.stdout.write(f"without an owner: {some}\n")
    if every_shard:
        for one in found.shards:
            sys.stdout.write(_shard(one))


def _shard(one: ShardState) -> str:
    proved = "never owned" if one.proved_s is None else f"proved {one.proved_s:.1f} s ago"
    return (
        f"shard {one.shard}: {one.owner or 'nobody'}, epoch {one.epoch}, position {one.position}, "
        f"{one.profiles:,} profiles, {proved}\n"
    )

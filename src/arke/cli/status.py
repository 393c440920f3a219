"""`arke status`: health and figures."""

from __future__ import annotations

import sys

import typer

from arke.cli.options import DATA, Config, Data, Json, Token, Url, client


def status(
    data: Data = DATA, config: Config = None, url: Url = None, token: Token = None, json: Json = False
) -> None:
    """Health and figures of an engine."""
    import msgspec

    figures = client(data, url, token, config).status()
    if json:
        sys.stdout.write(msgspec.json.encode(figures).decode() + "\n")
    else:
        from rich.console import Console
        from rich.table import Table

        ready = "ready" if figures.ready else "NOT READY"
        console = Console()
        console.print(
            f"{ready}; catalog version {figures.catalog_version}; {figures.shards} shard(s); "
            f"{figures.profiles:,} profiles; since start: {figures.events:,} events, {figures.changes:,} changes"
        )
        table = Table(
            "destination",
            "messages",
            "acknowledged",
            "users",
            "retries",
            "owed",
            "backlog",
            "circuit",
            "p50 ms",
            "p99 ms",
            "answers",
        )
        for row in figures.destinations:
            answers = ", ".join(f"{answer}: {count:,}" for answer, count in sorted(row.answers.items()))
            table.add_row(
                f"{row.id} {row.name}",
                f"{row.messages:,}",
                f"{row.acknowledged:,}",
                f"{row.users:,}",
                f"{row.retries:,}",
                f"{row.owed:,}",
                f"{row.backlog:,}",
                row.circuit,
                "" if row.p50_ms is None else f"{row.p50_ms:.0f}",
                "" if row.p99_ms is None else f"{row.p99_ms:.0f}",
                answers,
            )
        console.print(table)
    if not figures.ready:
        raise typer.Exit(1)

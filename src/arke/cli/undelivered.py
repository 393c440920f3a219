"""`arke undelivered`: what destinations are owed."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from arke.cli.options import DATA, Config, Data, Insecure, Json, Token, Url, client, whole

undelivered_app = typer.Typer(
    help="What destinations should know and have not acknowledged.", no_args_is_help=True
)

Destination = Annotated[
    int | None, typer.Option("--destination", parser=whole(), help="Only this destination.")
]


@undelivered_app.command("list")
def list_owed(
    destination: Destination = None,
    data: Data = DATA,
    config: Config = None,
    url: Url = None,
    token: Token = None,
    insecure: Insecure = False,
    json: Json = False,
) -> None:
    """List what is owed, with its reason."""
    import msgspec

    count = 0
    for owed in client(data, url, token, config, insecure=insecure).undelivered(destination):
        count += 1
        if json:
            sys.stdout.write(msgspec.json.encode(owed).decode() + "\n")
            continue
        segments = ", ".join(f"{alias}={status}" for alias, status in owed.segments.items())
        ids = ", ".join(owed.ids)
        sys.stdout.write(
            f"{owed.destination} {owed.uuid} [{ids}] {segments} since {owed.since}: {owed.reason}\n"
        )
    if not json:
        sys.stdout.write(f"{count:,} owed\n")


@undelivered_app.command("replay")
def replay(
    destination: Destination = None,
    data: Data = DATA,
    config: Config = None,
    url: Url = None,
    token: Token = None,
    insecure: Insecure = False,
    json: Json = False,
) -> None:
    """Send what is owed, as current state."""
    import msgspec

    report = client(data, url, token, config, insecure=insecure).replay(destination)
    if json:
        sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
    else:
        sys.stdout.write(f"{report.devices:,} device{'s' * (report.devices != 1)} on the way again\n")
        if report.owed:
            sys.stdout.write(f"{report.owed:,} still owed: `arke undelivered list` says why\n")
    if report.owed:
        raise typer.Exit(1)

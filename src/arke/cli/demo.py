"""`arke demo`: everything at once on this machine."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer

from arke.cli.options import whole


def demo(
    length: Annotated[
        str, typer.Option("--for", metavar="DURATION", help="How long visitors come: 30s, 2m.")
    ] = "20s",
    visitors: Annotated[int, typer.Option(parser=whole(1, 100_000), help="How many visitors come.")] = 1_500,
    seed: Annotated[int, typer.Option(help="Other visitors for another number.")] = 1,
    keep: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Keep everything in this new folder: catalog, store, CAs, every request that arrived.",
            file_okay=False,
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print only the summary, as JSON.")] = False,
) -> None:
    """Watch Arke do its job: visitors' events in, signed messages out to HTTPS endpoints, one of them bad.

    Needs no network, asks nothing, ends by itself; exit code 1 if the figures do not add up.
    """
    from arke.demo.command import demo as run
    from arke.demo.command import demo_options

    try:
        adds_up = run(demo_options(length, visitors, seed, keep), as_json=json)
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.stderr.write("arke demo: stopped\n")
        raise typer.Exit(130) from None
    if not adds_up:
        raise typer.Exit(1)

"""`arke bench`: measure this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from arke.cli.options import Json


def bench(
    which: Annotated[
        str,
        typer.Argument(
            metavar="[delivery|evaluation|end-to-end|growth|estimate|all]", help="What to measure."
        ),
    ] = "all",
    json: Json = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="One short round of each, with fewer profiles: a rough idea.")
    ] = False,
    seconds: Annotated[
        float | None,
        typer.Option("--seconds", min=0.1, max=600, help="Length of one measured stretch. [default: 5]"),
    ] = None,
    profiles: Annotated[
        int | None,
        typer.Option(
            "--profiles",
            min=1,
            max=100_000_000,
            help="Stored profiles: this size, and no smaller or larger one.",
        ),
    ] = None,
    profile: Annotated[
        bool, typer.Option("--profile", help="Also show where delivery and evaluation spend their time.")
    ] = False,
) -> None:
    """Measure delivery, evaluation, the whole way, growth and estimates, as ratios within one run."""
    from arke.bench.command import run
    from arke.bench.options import Options

    options = Options.chosen(quick=quick, seconds=seconds, profile=profile, profiles=profiles)
    run(which, options, as_json=json)

"""`arke bench`: measure this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from arke.cli.options import Json


def bench(
    which: Annotated[
        str,
        typer.Argument(
            metavar="[delivery|evaluation|end-to-end|growth|onboarding|all]", help="What to measure."
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
    lines: Annotated[
        int | None,
        typer.Option("--lines", min=1, help="Lines of the file that onboarding loads. [default: 100,000]"),
    ] = None,
    profile: Annotated[
        bool, typer.Option("--profile", help="Also show where delivery and evaluation spend their time.")
    ] = False,
) -> None:
    """Measure delivery, evaluation, the whole way, growth and onboarding, as ratios within one run."""
    from arke.bench.command import run
    from arke.bench.options import Options

    run(which, Options.chosen(quick=quick, seconds=seconds, profile=profile, lines=lines), as_json=json)

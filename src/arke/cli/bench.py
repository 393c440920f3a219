"""`arke bench`: measure this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from arke.cli.options import Json


def bench(
    which: Annotated[
        str,
        typer.Argument(
            metavar="[BENCH]",
            help="delivery, evaluation, end-to-end, growth, walks, stall, batch, onboarding, estimate, or all.",
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
    changed: Annotated[
        list[int] | None,
        typer.Option(
            "--changed",
            min=1,
            max=10_000_000,
            help="Changed users in a batch; may be repeated. [default: 100000 and 1000000]",
        ),
    ] = None,
    lines: Annotated[
        int | None,
        typer.Option("--lines", min=1, help="Lines of the file that onboarding loads. [default: 100,000]"),
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
    """Measure what this machine does with Arke on it, as ratios within one run."""
    from arke.bench.command import run
    from arke.bench.figures import Options

    options = Options.chosen(
        quick=quick, seconds=seconds, profile=profile, changed=changed, lines=lines, profiles=profiles
    )
    run(which, options, as_json=json)

"""`arke apply`: plan a catalog and switch to it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from arke.cli.options import DATA, Config, Data, Json, Token, Url, catalog_text, client

if TYPE_CHECKING:
    from arke.engine.operations import AppliedReport


def apply(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="The catalog, YAML or JSON.", show_default=False)
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and change nothing.")] = False,
    rollback: Annotated[
        bool, typer.Option("--rollback", help="Go back to an earlier catalog instead of reading FILE.")
    ] = False,
    to: Annotated[
        int | None, typer.Option("--to", help="With --rollback: the version. Default: the one before.")
    ] = None,
    data: Data = DATA,
    config: Config = None,
    url: Url = None,
    token: Token = None,
    json: Json = False,
) -> None:
    """Show what a catalog changes, and switch to it: all at once or not at all."""
    if (file is None) == (not rollback):
        raise typer.BadParameter("give either FILE or --rollback")
    engine = client(data, url, token, config)
    if file is None:
        report = engine.rollback(to, dry_run=dry_run)
    else:
        report = engine.apply(file, catalog_text(file), dry_run=dry_run)
    _show(report, json=json)


def _show(report: AppliedReport, *, json: bool) -> None:
    import msgspec

    if json:
        sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
        return
    for warning in report.warnings:
        sys.stderr.write(f"warning: {warning}\n")
    changes = report.dry_run or report.version is not None
    for line in report.lines if changes else ():
        sys.stdout.write(f"{line}\n")
    about = "" if report.profiles_exact else "about "
    touched = f"{about}{report.profiles:,} of {report.profiles_stored:,} stored profiles are concerned"
    if report.dry_run:
        sys.stdout.write(f"dry run: nothing was changed; {touched}\n")
    elif report.version is None:
        sys.stdout.write("nothing to change: this catalog is in force already\n")
    else:
        sys.stdout.write(f"catalog version {report.version} is in force; {touched}\n")

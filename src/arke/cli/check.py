"""`arke check`: validate a catalog."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from arke.cli.options import Json


def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The catalog, YAML or JSON.")],
    json: Json = False,
) -> None:
    """Validate a catalog: every problem with its file, line and column, and how to mend it."""
    import msgspec

    from arke.app import catalog_checkers
    from arke.catalog.check import check_report

    report = check_report(file, checkers=catalog_checkers())
    if json:
        sys.stdout.write(msgspec.json.encode(report.json).decode() + "\n")
    else:
        stream = sys.stdout if report.ok else sys.stderr
        stream.write("\n".join(report.lines) + "\n")
    if not report.ok:
        raise typer.Exit(2)

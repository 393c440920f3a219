"""`arke simulate`: a script through the real engine on a virtual clock."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

if TYPE_CHECKING:
    from arke.domain.catalog import Catalog
    from arke.simulate.network import Sent


class _Lines:
    """Writes each request as a line of JSON."""

    def __init__(self, output: BinaryIO) -> None:
        self._output = output

    def append(self, sent: Sent) -> None:
        import msgspec

        self._output.write(msgspec.json.encode(sent) + b"\n")


def simulate(
    script: Annotated[Path, typer.Argument(metavar="SCRIPT", help="NDJSON in time order.", dir_okay=False)],
    catalog: Annotated[Path, typer.Option("--catalog", help="The catalog to start with.", dir_okay=False)],
    out: Annotated[
        Path | None, typer.Option("--out", help="Where to write requests, one a line. Default: stdout.")
    ] = None,
    no_schedule: Annotated[
        bool, typer.Option("--no-schedule", help="Do not run batches on their schedule.")
    ] = False,
    seed: Annotated[int, typer.Option("--seed", help="Of the randomness that makes new UUIDs.")] = 0,
) -> None:
    """Run a script of events and write what would be sent. Same input, same output, to the byte."""
    from arke.app import catalog_checkers
    from arke.catalog.load import load_catalog
    from arke.errors import InvalidInput
    from arke.simulate.run import Simulation

    def load(path: Path) -> Catalog:
        return load_catalog(path, checkers=catalog_checkers()).catalog

    try:
        output = out.open("wb") if out is not None else sys.stdout.buffer
    except OSError as error:
        raise InvalidInput(f"{out}: cannot be written: {error.strerror}") from None

    try:
        if not script.is_file():
            raise InvalidInput(f"{script}: no such script")
        summary = Simulation(load, _Lines(output), schedule=not no_schedule).run(script, catalog, seed=seed)
    finally:
        output.flush()
        if out is not None:
            output.close()
    for complaint in summary.complaints:
        sys.stderr.write(f"{complaint}\n")
    sys.stderr.write(f"{summary.events:,} events, {summary.requests:,} requests, {summary.owed:,} owed\n")

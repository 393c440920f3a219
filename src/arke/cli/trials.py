"""`arke demo`, `arke simulate` and `arke bench`: Arke tried out on this machine."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

from click.exceptions import Exit

from arke.cli.declared import Argument, Option
from arke.cli.options import Json, check_out, seconds, whole
from arke.cli.progress import LongWork
from arke.wording import many

if TYPE_CHECKING:
    from collections.abc import Collection

    from arke.domain.catalog import Catalog
    from arke.simulate.network import Sent


def demo(
    length: Annotated[
        str | None,
        Option(
            "--for",
            metavar="DURATION",
            help="How long visitors come (30s, 2m), and then end. Without it 20s, and on a terminal until a key is "
            "pressed.",
        ),
    ] = None,
    visitors: Annotated[int, Option(parser=whole(1, 100_000), help="How many visitors come.")] = 1_500,
    seed: Annotated[int, Option(parser=whole(0), help="Other visitors for another number.")] = 1,
    keep: Annotated[
        Path | None,
        Option(
            metavar="DIR",
            help="Keep everything in this new folder: catalog, store, CAs, every request that arrived.",
            file_okay=False,
        ),
    ] = None,
    cluster: Annotated[
        bool,
        Option("--cluster", help="On four nodes and a PostgreSQL that it starts; one node is killed."),
    ] = False,
    kafka: Annotated[
        str,
        Option(
            metavar="HOST:PORT,...",
            envvar="ARKE_DEMO_KAFKA",
            help="With --cluster: brokers that carry the events.",
        ),
    ] = "",
    json: Json = False,
) -> None:
    """Watch Arke do its job: visitors' events in, signed messages out to HTTPS endpoints, one of them bad.

    Needs no network and asks nothing. On a terminal it stays until a key is pressed, with the console to look at,
    elsewhere it ends by itself; exit code 1 if the figures do not add up.
    """
    from arke.demo.command import demo as run
    from arke.demo.command import demo_options

    try:
        options = demo_options(length, visitors, seed, keep, cluster=cluster, kafka=kafka)
        adds_up = run(options, as_json=json, may_stay=length is None)
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.stderr.write("arke demo: stopped\n")
        raise Exit(130) from None
    if not adds_up:
        raise Exit(1)


class _Lines:
    """Writes each request as a line of JSON: to `out`, or where it is None to stdout."""

    def __init__(self, out: Path | None) -> None:
        self._out = out
        self._file: BinaryIO | None = None
        self._error: OSError | None = None

    def begin(self, read: Collection[Path]) -> None:
        """Open the file, which is none of those that are read. Raises InvalidInput."""
        from arke.errors import InvalidInput

        if self._out is None:
            return
        try:
            check_out(self._out, read)
            self._file = self._out.open("wb")
        except OSError as error:
            raise InvalidInput(f"{self._out}: cannot be written: {error.strerror}") from None

    def append(self, sent: Sent) -> None:
        """A line that cannot be written ends the output. `close` says so: the lane that sends would take it for a
        message that failed.
        """
        import msgspec

        if self._error is not None:
            return
        try:
            (self._file or sys.stdout.buffer).write(msgspec.json.encode(sent) + b"\n")
        except OSError as error:
            self._error = error

    def close(self) -> None:
        """Raises OSError where not all could be written."""
        try:
            if self._file is not None:
                self._file.close()
            elif self._out is None:
                sys.stdout.buffer.flush()
        except OSError as error:
            self._error = self._error or error
        if self._error is not None:
            self._error.filename = self._out
            raise self._error


def simulate(
    script: Annotated[Path, Argument(metavar="SCRIPT", help="NDJSON in time order.", dir_okay=False)],
    catalog: Annotated[Path, Option("--catalog", help="The catalog to start with.", dir_okay=False)],
    out: Annotated[
        Path | None, Option("--out", help="Where to write requests, one a line. Default: stdout.")
    ] = None,
    no_schedule: Annotated[
        bool, Option("--no-schedule", help="Do not run batches on their schedule.")
    ] = False,
    seed: Annotated[
        int, Option("--seed", parser=whole(0), help="Of the randomness that makes new UUIDs.")
    ] = 0,
) -> None:
    """Run a script of events and write what would be sent. Same input, same output, to the byte."""
    from arke.catalog.load import load_catalog
    from arke.checking import catalog_checkers
    from arke.errors import InvalidInput
    from arke.simulate.run import Simulation

    def load(path: Path) -> Catalog:
        return load_catalog(path, checkers=catalog_checkers()).catalog

    if not script.is_file():
        raise InvalidInput(f"{script}: no such script")
    lines = _Lines(out)
    try:
        simulation = Simulation(load, lines, schedule=not no_schedule)
        summary = simulation.run(script, catalog, seed=seed, reads=lines.begin)
    finally:
        lines.close()
    for complaint in summary.complaints:
        sys.stderr.write(f"{complaint}\n")
    sys.stderr.write(
        f"{many(summary.events, 'event')}, {many(summary.requests, 'request')}, {summary.owed:,} owed\n"
    )


def bench(
    which: Annotated[
        str,
        Argument(
            metavar="[BENCH]",
            help="delivery, evaluation, end-to-end, intake, growth, walks, stall, overload, outage, batch, "
            "onboarding, estimate, cluster, or all.",
        ),
    ] = "all",
    json: Json = False,
    quick: Annotated[
        bool, Option("--quick", help="One short round of each, with fewer profiles: a rough idea.")
    ] = False,
    seconds: Annotated[
        float | None,
        Option("--seconds", parser=seconds(0.1, 600), help="Length of one measured stretch. [default: 5]"),
    ] = None,
    changed: Annotated[
        list[int] | None,
        Option(
            "--changed",
            parser=whole(1, 10_000_000),
            help="Changed users in a batch; may be repeated. [default: 100000 and 1000000]",
        ),
    ] = None,
    lines: Annotated[
        int | None,
        Option("--lines", parser=whole(), help="Lines of the file that onboarding loads. [default: 100,000]"),
    ] = None,
    profiles: Annotated[
        int | None,
        Option(
            "--profiles",
            parser=whole(1, 100_000_000),
            help="Stored profiles: this size, and no smaller or larger one.",
        ),
    ] = None,
    profile: Annotated[
        bool, Option("--profile", help="Also show where delivery and evaluation spend their time.")
    ] = False,
) -> None:
    """Measure what this machine does with Arke on it, as ratios within one run."""
    from arke.bench.command import run
    from arke.bench.figures import Options

    options = Options.chosen(
        quick=quick, seconds=seconds, profile=profile, changed=changed, lines=lines, profiles=profiles
    )

    def measuring(name: str, done: int, total: int) -> LongWork:
        return LongWork(f"measuring {name}", quiet=json, done=done, total=total)

    run(which, options, as_json=json, shown=measuring)

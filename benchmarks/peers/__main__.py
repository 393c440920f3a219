"""The command: `PYTHONPATH=src:benchmarks python -m peers [--only NAME ...] [--rounds N] [--json FILE]`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from peers.arke_engine import Arke
from peers.connect import Connect
from peers.convoy import Convoy
from peers.driver import run
from peers.outpost import Outpost
from peers.scenes import CONNECTIONS, RATES, Settings
from peers.tables import markdown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from peers.contender import Contender


def contenders(source: Path | None) -> dict[str, Contender]:
    """By the names that `--only` knows."""
    own = [(None, "arke")] + ([(source, "arke-before")] if source else [])
    return {
        **{
            f"{name}-{shards}-{users}": Arke(shards, users, tree)
            for tree, name in own
            for shards in (1, 2)
            for users in (1, 10)
        },
        **{
            f"connect-{buffer}-{users}": Connect(buffer, users)
            for buffer in ("none", "memory", "sqlite")
            for users in (1, 10)
        },
        "outpost": Outpost(),
        "convoy": Convoy(),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    options = argparse.ArgumentParser(
        prog="peers", description="Arke and its peers through the same load, in turns."
    )
    options.add_argument(
        "--only", nargs="+", metavar="NAME", help="for example arke, connect-none, connect-sqlite-10, outpost"
    )
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--seconds", type=float, default=5.0, help="of each rate")
    options.add_argument("--latency-seconds", type=float, default=10.0)
    options.add_argument("--connections", type=int, nargs="*", default=CONNECTIONS)
    options.add_argument("--rates", type=int, nargs="*", default=RATES, help="of which latency is measured")
    options.add_argument("--outage-events", type=int, default=20_000, help="0: no outage")
    options.add_argument("--source", type=Path, help="`src` of another tree of Arke, as four more contenders")
    options.add_argument("--json", type=Path, metavar="FILE", help="every round goes there too")
    given = options.parse_args(arguments)
    known = contenders(given.source and given.source.resolve())
    chosen = [
        one
        for name, one in known.items()
        if not given.only or any(f"{name}-".startswith(f"{begin}-") for begin in given.only)
    ]
    if not chosen:
        options.error(f"--only: none of {', '.join(known)} begins so")
    settings = Settings(
        seconds=given.seconds,
        latency_seconds=given.latency_seconds,
        connections=tuple(given.connections),
        rates=tuple(given.rates),
        outage_events=given.outage_events,
    )
    with tempfile.TemporaryDirectory(prefix="arke-peers-") as folder:
        report = run(chosen, settings, given.rounds, Path(folder))
    if given.json:
        given.json.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1))
    sys.stdout.write(markdown(report))


if __name__ == "__main__":
    main()

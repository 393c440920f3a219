"""Runs the demo as a program: a watcher that fits the terminal, the report at the end."""

from __future__ import annotations

import asyncio
import logging
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

import msgspec
import uvloop
from rich.console import Console

from arke.catalog.values import parse_duration_ms
from arke.demo.run import Options, run_demo
from arke.demo.watch import Held, Lines, Screen, Silence
from arke.errors import InvalidInput
from arke.log import configure_logging

if TYPE_CHECKING:
    from pathlib import Path

    from arke.demo.summary import Summary

SHORTEST_MS = 1_000
LONGEST_MS = 3_600_000
USUAL = "20s"
"""How long visitors come where nobody says."""


def demo_options(
    length: str | None, visitors: int, seed: int, keep: Path | None, *, cluster: bool = False, kafka: str = ""
) -> Options:
    """Raises InvalidInput where the length is no duration, or what a cluster needs is missing."""
    length_ms = parse_duration_ms(length or USUAL)
    if length_ms is None or not SHORTEST_MS <= length_ms <= LONGEST_MS:
        raise InvalidInput(f"--for {length!r}: give a duration from 1s to 1h, for example 30s")
    if kafka and not cluster:
        raise InvalidInput("--kafka names the brokers of a cluster: give --cluster, too")
    if cluster and (find_spec("psycopg") is None or find_spec("confluent_kafka") is None):
        raise InvalidInput("a cluster needs the clients of PostgreSQL and Kafka: pip install 'arke[cluster]'")
    return Options(visitors, length_ms / 1000, seed, keep, cluster, kafka)


def demo(options: Options, *, as_json: bool, may_stay: bool) -> bool:
    """Whether everything added up. `may_stay`: on a terminal it runs on until a key is pressed."""
    configure_logging(logging.ERROR)
    watcher = Silence() if as_json else _watcher(Console(), may_stay=may_stay)

    async def run() -> Summary:
        if not options.cluster:
            return await run_demo(options, watcher)
        from arke.demo.cluster import run_cluster_demo

        return await run_cluster_demo(options, watcher)

    with watcher, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        summary = runner.run(run())
    if as_json:
        sys.stdout.write(msgspec.json.encode(summary).decode() + "\n")
    return summary.ok


def _watcher(console: Console, *, may_stay: bool) -> Lines:
    if not console.is_terminal:
        return Lines(console)
    return Held(console) if may_stay and sys.stdin.isatty() else Screen(console)

"""Runs the demo as a program: a watcher that fits the terminal, the report at the end."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import TYPE_CHECKING

import msgspec
import uvloop
from rich.console import Console

from arke.catalog.units import parse_duration_ms
from arke.demo.report import print_report
from arke.demo.run import Options, run_demo
from arke.demo.watch import Lines, Screen, Silence
from arke.errors import InvalidInput
from arke.log import configure_logging

if TYPE_CHECKING:
    from pathlib import Path

    from arke.demo.summary import Summary

SHORTEST_MS = 1_000
LONGEST_MS = 3_600_000


def demo_options(length: str, visitors: int, seed: int, keep: Path | None) -> Options:
    """Raises InvalidInput where the length is no duration."""
    length_ms = parse_duration_ms(length)
    if length_ms is None or not SHORTEST_MS <= length_ms <= LONGEST_MS:
        raise InvalidInput(f"--for {length!r}: give a duration from 1s to 1h, for example 30s")
    return Options(visitors=visitors, length_s=length_ms / 1000, seed=seed, keep=keep)


def demo(options: Options, *, as_json: bool) -> bool:
    """Whether everything added up."""
    configure_logging(logging.ERROR)
    console = Console()
    watcher = Silence() if as_json else Screen(console) if console.is_terminal else Lines(console)

    async def run() -> Summary:
        return await run_demo(options, watcher)

    with watcher, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        summary = runner.run(run())
    if as_json:
        sys.stdout.write(msgspec.json.encode(summary).decode() + "\n")
    else:
        print_report(console, summary)
    return summary.ok

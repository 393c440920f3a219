"""One driver for all contenders: in turns, each afresh, through the same scenes."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import msgspec

from arke.bench.command import machine
from arke.bench.sinks import BenchFailed
from peers.helper import destination, generator
from peers.processes import MostMemory
from peers.scenes import Drain, Latency, Rate, Settings, Stage, is_whole, scenes, turns

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from peers.contender import Contender
    from peers.scenes import Outcome


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """What one contender did in one turn; the load average is that before it began."""

    load_average: float
    memory_mb: float
    processes: int
    outcomes: list[Rate | Latency | Drain]


class Row(msgspec.Struct, kw_only=True):
    """A contender and its rounds. `missing` says why there are none."""

    name: str
    users_a_request: int
    version: str
    durability: str
    unlike: str
    keeps: bool
    missing: str = ""
    rounds: list[Round] = []


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Of all contenders."""

    machine: dict[str, str]
    settings: Settings
    rows: list[Row]


def run(contenders: Sequence[Contender], settings: Settings, rounds: int, folder: Path) -> Report:
    """One after another, `rounds` times over. A contender that fails is told of, and the others go on."""
    rows = [_row(contender) for contender in contenders]
    for number in range(rounds):
        for contender, row in zip(contenders, rows, strict=True):
            if row.missing:
                continue
            directory = folder / f"{number}-{len(row.rounds)}-{id(row):x}"
            directory.mkdir()
            _tell(f"round {number + 1}: {row.name}, {row.users_a_request} a request")
            try:
                row.rounds.append(_round(contender, settings, directory))
            except BenchFailed as error:
                row.missing = f"failed: {error}"
                _tell(row.missing)
    return Report(machine=machine(), settings=settings, rows=rows)


def _row(contender: Contender) -> Row:
    missing = contender.missing()
    return Row(
        name=contender.name,
        users_a_request=contender.users_a_request,
        version="" if missing else contender.version(),
        durability=contender.durability,
        unlike=contender.unlike,
        keeps=contender.keeps,
        missing=missing,
    )


def _round(contender: Contender, settings: Settings, directory: Path) -> Round:
    """All scenes; after one that left something under way the next begins with a contender started anew."""
    load_average = os.getloadavg()[0]
    outcomes: list[Outcome] = []
    memory_mb, lives, processes = 0.0, 0, 0
    while True:
        lives += 1
        life = directory / f"life-{lives}"
        life.mkdir()
        with (
            destination(life, contender.signature) as sink,
            generator() as load,
            contender.running(life, sink.facts) as running,
            MostMemory(running.pids) as memory,
        ):
            stage = Stage(settings, running, load, sink, turns())
            stage.warm_up()
            planned = scenes(settings, bulk=running.posting.bulk, keeps=contender.keeps)
            for scene in planned[len(outcomes) :]:
                outcomes.append(scene(stage))
                _tell(f"  {outcomes[-1]}")
                if not is_whole(outcomes[-1]):
                    break
        memory_mb = max(memory_mb, memory.mb)
        processes = len(running.pids)
        if len(outcomes) == len(planned):
            return Round(
                load_average=load_average, memory_mb=memory_mb, processes=processes, outcomes=outcomes
            )


def _tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()

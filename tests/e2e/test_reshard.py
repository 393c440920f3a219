"""`arke reshard`: the same people in another number of shards. What was told stays told, what was not is told, an
event that has counted has counted, and a run that has ended has ended.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from chaos import verdict
from e2e.catalogs import IN_MARKET, LENSES, STILL_LOOKING, TOLD, catalog, destination, device, visit
from e2e.engine_process import ARKE, EngineProcess
from e2e.receiver_thread import ReceiverThread
from patience import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from arke.receiver.http import Record

WELL, DOWN, AT_NIGHT = 1, 2, 3
PEOPLE = range(1, 61)
ALIASES = {number: str(number) for number in (IN_MARKET, LENSES, STILL_LOOKING, TOLD)}


@pytest.fixture
def receivers() -> Iterator[dict[int, ReceiverThread]]:
    with ReceiverThread() as well, ReceiverThread() as down, ReceiverThread() as night:
        yield {WELL: well, DOWN: down, AT_NIGHT: night}


def town(receivers: dict[int, ReceiverThread]) -> str:
    options: dict[int, dict[str, Any]] = {
        WELL: {"batch": False},
        DOWN: {"batch": False},
        AT_NIGHT: {"realtime": False, "batch": {"every": "24h"}},
    }
    text = catalog(
        [
            destination(number, receivers[number].url, receivers[number].ca_file, **options[number])
            for number in receivers
        ]
    )
    # Twice is needed, so that an event that counts again is seen.
    return text.replace('"rule": "1001T"', '"rule": "frequency([1001T] <= 60D) >= 2"')


def said_by(records: list[Record]) -> list[bytes]:
    return [record.request.body for record in records if record.verdict == "accepted"]


@pytest.mark.parametrize(("before", "after"), [(1, 4), (4, 1), (3, 5)])
def test_a_town_moves(before: int, after: int, receivers: dict[int, ReceiverThread], tmp_path: Path) -> None:
    engine = EngineProcess(tmp_path, shards=before)
    receivers[DOWN].misbehave("reset")
    with engine:
        engine.apply(town(receivers))
        engine.accept(*(visit(n, "camera", "lens", event_id=f"e{n}") for n in PEOPLE))
        client = engine.client()
        wait_until(receivers[WELL].messages, "messages")
        client.run_batch(AT_NIGHT, lambda _: None, resync=False)
        engine.accept(*({**visit(n, "bag", event_id=f"f{n}")} for n in PEOPLE if n % 2))
        wait_until(
            lambda: all(receivers[WELL].segments_of(f"p{n}") == {str(IN_MARKET)} for n in PEOPLE if n % 2),
            "all to be told",
        )
        wait_until(lambda: _row(engine, WELL).backlog == 0, "the well one to be told everything")
        assert _row(engine, DOWN).owed + _row(engine, DOWN).backlog
    told = {number: len(receiver.messages()) for number, receiver in receivers.items()}
    done = json.loads(engine.arke("reshard", "--shards", str(after), "--json").stdout)
    assert (done["before"], done["after"]) == (before, after)
    assert sorted(path.name for path in engine.data.glob("*.db")) == [
        "directory.db",
        *(f"shard-{n:02d}.db" for n in range(after)),
    ]
    assert len(list((tmp_path / done["kept"]).glob("shard-*.db"))) == before
    engine._shards = None
    receivers[DOWN].misbehave()
    with engine:
        wait_until(engine.delivered, "what was not told before")
        assert len(receivers[WELL].messages()) == told[WELL], "the well one was told twice"
        for n in PEOPLE:
            assert receivers[DOWN].segments_of(f"p{n}") == receivers[WELL].segments_of(f"p{n}") != set()
        run = engine.client().run_batch(AT_NIGHT, lambda _: None, resync=False)
        assert (run.number, run.users, run.acknowledged) == (2, 30, 30), "the bags, and nothing else"
        engine.accept(*(visit(n, "camera", "lens", event_id=f"e{n}") for n in PEOPLE))
        assert not any(str(LENSES) in receivers[WELL].segments_of(f"p{n}") for n in PEOPLE)
        engine.accept(*(visit(n, "lens", event_id=f"g{n}") for n in PEOPLE))
        wait_until(engine.delivered, "the second lens to be told")
    kept = verdict.read(engine.data, map(device, PEOPLE), (f"p{n}" for n in PEOPLE))
    believed = verdict.beliefs(kept, ALIASES)
    assert len(kept.profiles) == len(PEOPLE)
    assert all(str(LENSES) in held for held in believed.values())
    for number in (WELL, DOWN):
        assert {partner: receivers[number].segments_of(partner) for partner in believed} == believed
        assert verdict.ledger_beliefs(kept, number) == believed


def _row(engine: EngineProcess, number: int) -> Any:
    return next(row for row in engine.client().status().destinations if row.id == number)


def test_there_and_back_and_a_kill_in_the_middle(
    receivers: dict[int, ReceiverThread], tmp_path: Path
) -> None:
    """Killed at whatever point, the directory has one number of shards or the other, and everybody is there."""
    engine = EngineProcess(tmp_path, shards=3)
    with engine:
        engine.apply(town(receivers))
        engine.accept(*(visit(n, "camera") for n in PEOPLE))
        wait_until(engine.delivered, "everything to be told")
    told = len(receivers[WELL].messages())
    engine._shards = None
    for after, wait_ms in ((2, 300), (4, 600), (1, 900), (3, 1_200)):
        process = subprocess.Popen(
            [ARKE, "reshard", "--shards", str(after)],
            env={**engine.environ, "ARKE_DATA": str(engine.data)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=tmp_path,
        )
        try:
            process.wait(wait_ms / 1e3)  # the moment of death is the test's input
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.wait(PATIENCE_S)
        again = engine.arke("reshard", "--shards", str(after))
        assert again.returncode == 0 or f"has {after} shard{'s' * (after > 1)} already" in again.stderr
    with engine:
        wait_until(engine.delivered, "nothing to be left to tell")
        assert engine.client().status().profiles == len(PEOPLE)
        assert len(receivers[WELL].messages()) == told


def test_what_is_refused(receivers: dict[int, ReceiverThread], tmp_path: Path) -> None:
    with EngineProcess(tmp_path, shards=2) as engine:
        engine.apply(town(receivers))
        running = engine.arke("reshard", "--shards", "4")
        assert (running.returncode, "stop it first" in running.stderr) == (1, True)
        engine.stop()
        same = engine.arke("reshard", "--shards", "2")
        assert (same.returncode, "has 2 shards already" in same.stderr) == (2, True)
        assert engine.arke("reshard", "--shards", "65").returncode == 2

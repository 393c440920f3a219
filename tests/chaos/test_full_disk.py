"""A disk that takes nothing more: no acknowledgement, 503, not ready; with space again the same process goes on.

Without root the disk is played by the file size limit of the running processes, which can be set and lifted from
outside: the kernel then fails the very writes that a full disk would (QUALITY 4).
"""

from __future__ import annotations

import resource
import time
from typing import TYPE_CHECKING
from zlib import crc32

import apsw
import pytest

from chaos import verdict
from chaos.visitors import Sent
from e2e.catalogs import DPID, catalog, destination, device
from e2e.engine_process import EngineProcess, request
from e2e.receiver_thread import ReceiverThread
from patience import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NO_SPACE_BYTES = 4_096
NOT_STORED = 503


@pytest.fixture
def receiver() -> Iterator[ReceiverThread]:
    with ReceiverThread() as running:
        yield running


@pytest.fixture
def engine(tmp_path: Path, receiver: ReceiverThread) -> Iterator[EngineProcess]:
    with EngineProcess(tmp_path) as running:
        # A window over every trait keeps all realisations one by one, so that each can be looked up.
        text = catalog([destination(1, receiver.url, receiver.ca_file)])
        running.apply(text.replace('"1000T"', '"frequency([1000T,1001T,1002T] <= 60D) >= 1"'))
        yield running


def fill_disk(pid: int) -> None:
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (NO_SPACE_BYTES, hard))


def free_disk(pid: int) -> None:
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))


def test_nothing_is_acknowledged_and_nothing_acknowledged_is_lost(
    engine: EngineProcess, receiver: ReceiverThread
) -> None:
    """The shard's disk is full for a while, in the middle of traffic and of deliveries."""
    base_ts = int(time.time()) - 86_400
    sent = [Sent(number, f"p{number}", "camera", base_ts + number) for number in range(60)]
    for one in sent[:20]:
        engine.accept(one.event())
        one.acknowledged = True
    (worker,) = engine.workers()
    fill_disk(worker)
    for one in sent[20:40]:
        reply = engine.send(one.event())
        assert (reply.status, reply.json()["error"]["code"]) == (NOT_STORED, "store_unavailable")
        assert (reply.json()["accepted"], reply.json()["next_line"]) == (0, 1)
        assert int(reply.headers["retry-after"]) > 0
    assert request(engine.intake, "GET", "/readyz").status == NOT_STORED
    assert request(engine.admin, "GET", "/readyz").status == NOT_STORED
    assert request(engine.intake, "GET", "/healthz").status == 200
    dcs = request(engine.intake, "GET", f"/event?d_uuid={device(1)}&c_see=lens")
    assert (dcs.status, dcs.json()["error"]["code"]) == (NOT_STORED, "store_unavailable")

    free_disk(worker)
    wait_until(engine.ready, "the engine to be ready again by itself")
    assert request(engine.intake, "GET", "/readyz").status == 200
    assert engine.workers() == [worker]
    for one in sent[40:]:
        engine.accept(one.event())
        one.acknowledged = True
    wait_until(engine.delivered, "everything to be delivered")
    told = [number for number in range(60) if receiver.segments_of(f"p{number}")]
    assert told == [*range(20), *range(40, 60)]
    assert engine.stop() == 0
    kept = verdict.read(engine.data, (device(one.device) for one in sent), (one.partner for one in sent))
    assert verdict.lost_events(kept, sent) == []
    assert all(device(number) not in kept.profiles for number in range(20, 40))
    assert (kept.owed, integrity(engine.data)) == (0, {"ok"})


def test_outcomes_of_deliveries_survive_a_full_disk(engine: EngineProcess, receiver: ReceiverThread) -> None:
    """What a destination answered while the disk was full is written down once there is room: told once."""
    receiver.misbehave("slow=700ms:1")
    engine.accept({"uuid": device(1), "ids": [{"dpid": DPID, "id": "p1"}], "signals": {"c_see": "camera"}})
    wait_until(lambda: receiver.server.stats.misbehaved, "the message to be under way")
    (worker,) = engine.workers()
    fill_disk(worker)
    wait_until(receiver.messages, "the destination to have answered")
    assert engine.send({"uuid": device(2)}).status == NOT_STORED
    free_disk(worker)
    wait_until(
        lambda: "200" in str(engine.client().explain(device(1), None)), "the outcome to be written down"
    )
    assert engine.stop() == 0
    assert len(receiver.messages()) == 1


def test_identities_that_cannot_be_stored_are_not_used(engine: EngineProcess) -> None:
    """The directory's disk is full: an event that links an id is refused, and the id stays unknown."""
    fill_disk(engine.pid)
    linking = {"ids": [{"dpid": DPID, "id": "new"}], "signals": {"c_see": "camera"}}
    for _ in range(3):
        reply = engine.send(linking)
        assert (reply.status, reply.json()["error"]["code"]) == (NOT_STORED, "store_unavailable")
    for door in (engine.intake, engine.admin):
        assert request(door, "GET", "/readyz").status == NOT_STORED
        assert request(door, "GET", "/healthz").status == 200
    engine.accept({"uuid": device(1), "signals": {"c_see": "camera"}})
    assert request(engine.intake, "GET", "/readyz").status == NOT_STORED
    free_disk(engine.pid)
    wait_until(engine.ready, "the engine to be ready again by itself")
    assert request(engine.intake, "GET", "/readyz").status == 200
    assert not engine.client().explain(None, f"{DPID}:new").known
    engine.accept(linking)
    assert engine.client().explain(None, f"{DPID}:new").known


def integrity(data: Path) -> set[str]:
    """What SQLite says of every file."""
    said = set()
    for file in data.glob("*.db"):
        connection = apsw.Connection(str(file))
        said |= {str(line) for (line,) in connection.execute("PRAGMA integrity_check")}
        connection.close()
    return said


def test_events_of_a_shard_that_is_away_leave_nothing_behind(
    tmp_path: Path, receiver: ReceiverThread
) -> None:
    """One of two shards cannot write: its devices' events are refused before an id is linked; new devices go to the
    other one.
    """
    with EngineProcess(tmp_path, shards=2) as engine:
        engine.apply(catalog([destination(1, receiver.url, receiver.ca_file)]))
        away = next(device(n) for n in range(100) if crc32(device(n).encode()) % 2 == 0)
        engine.accept({"uuid": away, "ids": [{"dpid": DPID, "id": "known"}]})
        fill_disk(engine.workers()[0])
        wait_until(lambda: engine.send({"uuid": away}).status == NOT_STORED, "the shard to fail")
        for event in (
            {"uuid": away, "ids": [{"dpid": DPID, "id": "left"}]},
            {"ids": [{"dpid": DPID, "id": "known"}, {"dpid": DPID, "id": "behind"}]},
        ):
            assert [line["code"] for line in engine.send(event).json()["rejected"]] == ["shard_down"]
        engine.accept(*({"ids": [{"dpid": DPID, "id": f"new{n}"}]} for n in range(50)))
        ask = engine.client()
        assert not ask.explain(None, f"{DPID}:left").known
        assert not ask.explain(None, f"{DPID}:behind").known
        free_disk(engine.workers()[0])
        wait_until(engine.ready, "the engine to be ready again by itself")
        engine.accept({"uuid": away, "ids": [{"dpid": DPID, "id": "left"}]})
        assert engine.client().explain(None, f"{DPID}:left").known

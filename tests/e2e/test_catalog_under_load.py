"""Catalogs switched while events flow: no refusal, no bad signature, no message of two minds (QUALITY 17)."""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING

from arke.receiver import ReceiverConfig, SigningKey
from e2e.catalogs import DPID, IN_MARKET, LENSES, catalog, destination, device
from e2e.engine_process import EngineProcess
from e2e.receiver_thread import ReceiverThread
from patience import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from pathlib import Path

SWITCHES = 12
DEVICES = 40
SENDERS = 2
KEYS = ("first-key", "second-key")
_ENTRY = re.compile(rb'"Segment_ID":"(\w+)-(\d+)","Status":"(\d)"')


class Sender(threading.Thread):
    """Sends visits round and round until told to stop; notes every answer that is not a full acceptance."""

    def __init__(self, engine: EngineProcess, number: int) -> None:
        super().__init__(daemon=True)
        self._engine = engine
        self._number = number
        self._stop_asked = threading.Event()
        self.refused: list[object] = []
        self.accepted = 0

    def run(self) -> None:
        turn = self._number
        while not self._stop_asked.is_set():
            turn += SENDERS
            reply = self._engine.send(event(turn % DEVICES, turn // DEVICES))
            if reply.status == 200 and reply.json()["accepted"] == 1:
                self.accepted += 1
            else:
                self.refused.append((reply.status, reply.body))

    def stop(self) -> None:
        self._stop_asked.set()
        self.join(PATIENCE_S)


def event(number: int, turn: int) -> dict[str, object]:
    """Every visit says something new of the device, so that each sets off a message."""
    return {
        "uuid": device(number),
        "ids": [{"dpid": DPID, "id": f"p{number}"}],
        "signals": {"c_see": ["camera", "lens"]},
        "memberships": {"12176": turn % 2},
    }


def edition(number: int, receiver: ReceiverThread) -> str:
    """A catalog whose aliases carry its number; every second one signs with two keys, some have a neighbour."""
    keys = ["env:FIRST", "env:SECOND"] if number % 2 else ["env:FIRST"]
    options = {
        "segments": [
            {"segment": segment, "alias": f"{segment}-{number}"} for segment in (IN_MARKET, LENSES, 12176)
        ],
        "signatures": [{"key": key} for key in keys],
    }
    destinations = [destination(1, receiver.url, receiver.ca_file, **options)]
    if number % 3 == 0:
        destinations.append(destination(2, receiver.url, receiver.ca_file, **options))
    return catalog(destinations)


def test_switching_catalogs_under_load(tmp_path: Path) -> None:
    keys = tuple(SigningKey(secret=key.encode()) for key in KEYS)
    config = ReceiverConfig(keys=keys, kept_requests=1_000_000)
    environ = {"FIRST": KEYS[0], "SECOND": KEYS[1]}
    with ReceiverThread(config) as receiver, EngineProcess(tmp_path, shards=2, environ=environ) as engine:
        engine.apply(edition(0, receiver))
        senders = [Sender(engine, number) for number in range(SENDERS)]
        for sender in senders:
            sender.start()
        for number in range(1, SWITCHES + 1):
            before = [sender.accepted for sender in senders]
            engine.apply(edition(number, receiver))
            wait_until(
                lambda b=before: all(s.accepted > n + 5 for s, n in zip(senders, b, strict=True)),  # type: ignore[misc]
                "events under this catalog",
            )
        for sender in senders:
            sender.stop()
        assert [sender.refused for sender in senders] == [[], []]
        engine.accept(*(event(number, 1) for number in range(DEVICES)))
        wait_until(engine.delivered, "everything to be delivered")
        assert engine.client().status().catalog_version == SWITCHES + 1
        assert list(engine.client().undelivered(None)) == []
        records = receiver.messages()
        assert {record.verdict for record in records} == {"accepted"}
        assert [body for body in (record.request.body for record in records) if mixed(body)] == []
        wanted = {f"{segment}-{SWITCHES}" for segment in (IN_MARKET, LENSES, 12176)}
        for number in range(DEVICES):
            assert told(receiver, number) == wanted


def told(receiver: ReceiverThread, number: int) -> set[str]:
    """What the destination that is always there was last told of a device."""
    return receiver.ask(lambda server: server.state.segments_of(f"p{number}", destination_id="1"))


def mixed(body: bytes) -> bool:
    """Whether users are told that they are in segments under aliases of two catalogs at once."""
    return len({number for _, number, status in _ENTRY.findall(body) if status == b"1"}) > 1

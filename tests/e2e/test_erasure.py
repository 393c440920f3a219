"""Erasure (QUALITY 16): no byte of an id is left in any file, every destination that was told 1 heard the 0,
and nothing brings the people back.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from e2e.catalogs import DPID, IN_MARKET, catalog, destination, device, visit
from e2e.engine_process import EngineProcess
from e2e.receiver_thread import ReceiverThread
from patience import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

FIRST = 10**30
"""Numbers of devices that no other number in a file looks like."""
NAMES = re.compile(rb"(?=(cookie-[0-9]{31}-x|[0-9]{38}))")
"""Whatever may be a UUID or a cookie of this file's people, also where one begins within another."""


def cookie(number: int) -> str:
    return f"cookie-{number}-x"


def people(count: int) -> list[int]:
    return list(range(FIRST, FIRST + count))


def send_all(engine: EngineProcess, numbers: Sequence[int], *words: str) -> None:
    for start in range(0, len(numbers), 250):
        engine.accept(*(visit(n, *words, partner=cookie(n)) for n in numbers[start : start + 250]))


def request_file(folder: Path, numbers: Iterable[int], action: str = "delete") -> Path:
    users = [
        {"key": f"user {n}", "action": [action], "userIDs": [{"namespace": "CORE", "value": device(n)}]}
        for n in numbers
    ]
    path = folder / "request.json"
    path.write_text("//Privacy request\n" + json.dumps({"users": users, "regulation": "[gdpr]"}))
    return path


def left_behind(folder: Path, names: Iterable[str]) -> dict[str, list[str]]:
    """Files under the folder that hold one of these names, as text or as the number it is."""
    wanted = {name.encode() for name in names}
    found: dict[str, list[str]] = {}
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            hits = wanted.intersection(NAMES.findall(file.read_bytes()))
            if hits:
                found[file.name] = [name.decode() for name in sorted(hits)[:3]]
    return found


def erase(tmp_path: Path, *, deleted: int, kept: int) -> None:
    """Delete some of many, in a store that has split its pages many times; look into every file."""
    gone, staying = people(deleted), people(deleted + kept)[deleted:]
    with ReceiverThread() as receiver, EngineProcess(tmp_path, shards=2) as engine:
        engine.apply(catalog([destination(1, receiver.url, receiver.ca_file)]))
        mixed = sorted([*gone, *staying], key=lambda n: hash((n, "mixed")))
        send_all(engine, mixed, "camera")
        send_all(engine, mixed, "lens")
        wait_until(engine.delivered, "everybody told")
        names = [*(device(n) for n in gone), *(cookie(n) for n in gone)]
        assert left_behind(engine.data, names), "the search finds what is there"

        done = engine.arke("privacy", "delete", "--file", str(request_file(tmp_path, gone)), "--wait", "200")
        (tmp_path / "request.json").unlink()
        assert done.returncode == 0, done.stdout[-500:] + done.stderr
        assert left_behind(engine.data, names) == {}
        assert left_behind(tmp_path, names) == {}, "logs too"

        assert [n for n in gone if receiver.segments_of(cookie(n))] == []
        assert {str(IN_MARKET)} <= receiver.segments_of(cookie(staying[0]))
        before = len(receiver.messages())
        assert engine.client().replay(None).devices == 0
        refused = engine.send(*(visit(n, "camera", partner=cookie(n)) for n in gone[:20])).json()
        assert {one["code"] for one in refused["rejected"]} == {"opted_out"}
        by_id = [
            {"ids": [{"dpid": DPID, "id": cookie(n)}], "signals": {"c_see": ["lens"]}} for n in gone[:20]
        ]
        assert engine.send(*by_id).json()["accepted"] == 0
        engine.stop()
        engine.start()
        assert engine.client().explain(device(gone[0]), None).known is False
        assert engine.client().explain(device(staying[0]), None).known is True
        assert left_behind(engine.data, names) == {}, "nothing came back"
        assert len(receiver.messages()) == before


def test_nothing_of_the_deleted_is_left(tmp_path: Path) -> None:
    """1,000 of 6,000 people, over two shards."""
    erase(tmp_path, deleted=1_000, kept=5_000)


def test_a_deletion_survives_kill_9_at_any_step(tmp_path: Path) -> None:
    """Killed again and again while it goes on, and while its destination fails: in the end all is as if not."""
    gone = people(12)
    names = [*(device(n) for n in gone), *(cookie(n) for n in gone)]
    with ReceiverThread() as receiver:
        engine = EngineProcess(tmp_path, shards=2).start()
        engine.apply(catalog([destination(1, receiver.url, receiver.ca_file)]))
        send_all(engine, gone, "camera")
        wait_until(engine.delivered, "everybody told")
        receiver.misbehave("status=500:3")
        arguments = [
            "privacy",
            "delete",
            "--file",
            str(request_file(tmp_path, gone)),
            "--wait",
            "0",
            "--json",
        ]
        asked = engine.arke(*arguments)
        (tmp_path / "request.json").unlink()
        assert asked.returncode in (0, 1), asked.stderr
        for _ in range(4):
            engine.kill()
            engine.start()
        client = engine.client()
        wait_until(lambda: all(one.state == "done" for one in client.privacy_list(None)), "all requests done")
        wait_until(lambda: left_behind(engine.data, names) == {}, "the files to be written anew")
        assert [n for n in gone if receiver.segments_of(cookie(n))] == []
        assert len(client.privacy_list(None)) == len(gone)
        assert engine.stop() == 0
        assert left_behind(tmp_path, names) == {}

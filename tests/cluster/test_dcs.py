"""Answers at `/event` that list traits and segments: the owner of the shard is asked, for a while, or nobody is."""

from __future__ import annotations

import http.client
import json
import signal
from typing import TYPE_CHECKING, Any

from cluster.world import World
from e2e.catalogs import IN_MARKET, STILL_LOOKING, TRAITS, device
from patience import PATIENCE_S, wait_until
from servers.postgres import KINDS

if TYPE_CHECKING:
    from pathlib import Path

    from arke.api.client import Client
    from cluster.world import NodeProcess

CAMERA = TRAITS["camera"]


def asked(node: NodeProcess, number: int) -> dict[str, Any]:
    """A device sees a camera, and wants to know what comes of it."""
    host, _, port = node.doors["intake"].rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=PATIENCE_S)
    try:
        connection.request("GET", f"/event?d_uuid={device(number)}&c_see=camera&d_rtbd=json&d_cts=1")
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status == 200, body
        found: dict[str, Any] = json.loads(body)
        return found
    finally:
        connection.close()


def counted(client: Client, number: int) -> int:
    explained = client.explain(device(number), None)
    return sum(trait.count for trait in explained.traits if trait.id == CAMERA)


def test_the_owner_is_asked_for_a_while_or_nobody_is(tmp_path: Path) -> None:
    with World(tmp_path, KINDS[0]) as world:
        admin, worker, intake = world.node("admin"), world.node("worker"), world.node("intake")
        world.environ["ARKE_CLUSTER_DCS"] = "fast"
        fast = world.node("intake")
        world.apply(admin)
        client = world.client(admin)

        answers: list[dict[str, Any]] = []

        def listed() -> bool:
            """It may take longer than an answer waits."""
            answers.append(asked(intake, 1))
            return "traits" in answers[-1]

        wait_until(listed, "an answer with what came of it")
        assert answers[-1]["traits"] == [CAMERA]
        assert set(answers[-1]["segments"]) == {IN_MARKET, STILL_LOOKING}

        answer = asked(fast, 2)
        assert answer["uuid"] == device(2)
        assert "traits" not in answer
        assert "segments" not in answer
        wait_until(lambda: counted(client, 2) == 1, "it to count all the same")

        worker.send(signal.SIGSTOP)
        for node in (intake, fast):
            answer = asked(node, 3)
            assert answer["uuid"] == device(3)
            assert "traits" not in answer, "the owner is away: nobody knows what came of it"
        worker.send(signal.SIGCONT)
        wait_until(lambda: counted(client, 3) == 2, "what was answered to count")

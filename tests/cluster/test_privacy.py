"""People are forgotten while the nodes that see to it are killed: each request ends, with its report, and nothing
of them is left anywhere, whatever comes late.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import signal
from typing import TYPE_CHECKING

import msgspec
import psycopg

from arke.domain.placement import shard_of
from arke.errors import ArkeError
from arke.operations.privacy import LiftAsk, PrivacyAsk
from arke.shard.commands import Sight
from arke.storage.postgres.connection import Server, Session
from arke.transport.packing import PackedWriter
from arke.transport.postgres.carrier import PostgresCarrier
from cluster.world import SHARDS, World
from e2e.catalogs import DPID, IN_MARKET, STILL_LOOKING, device
from integration.engine.shards import sight
from patience import wait_until
from servers.postgres import KINDS, tables_with

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from arke.api.client import Client
    from arke.operations.privacy import PrivacyReport
    from cluster.world import NodeProcess

PEOPLE = range(1, 41)
STAY = range(30, 41)
"""Those who ask for nothing."""
IN_SEGMENTS = {str(IN_MARKET), str(STILL_LOOKING)}


def partner(number: int) -> str:
    return f"person-{number:03d}"


def test_requests_end_whoever_dies_in_the_middle(tmp_path: Path) -> None:
    with World(tmp_path, KINDS[-1]) as world:
        admins = [world.node("admin"), world.node("admin")]
        intake, workers = world.node("intake"), [world.node("worker"), world.node("worker")]
        world.apply(admins[0])
        wait_until(lambda: all(seen(intake, number) for number in PEOPLE), "events to be accepted")
        clients = [world.client(admin) for admin in admins]
        wait_until(lambda: settled(clients[0]), "all to be told")
        told = {number: world.receiver.segments_of(partner(number)) for number in PEOPLE}
        assert set(map(frozenset, told.values())) == {frozenset(IN_SEGMENTS)}
        leader = next(n for n in (0, 1) if admins[n].is_named(world.cluster()["leader"] or ""))
        numbers = [asked(clients[1 - leader], "delete", number) for number in range(1, 11)]
        workers[0].ended(signal.SIGKILL)
        numbers += [asked(clients[1 - leader], "opt_out", number) for number in range(11, 21)]
        admins[leader].ended(signal.SIGKILL)
        numbers += [asked(clients[1 - leader], "delete", number) for number in range(21, 30)]
        workers.append(world.node("worker"))  # shards move to it
        client = clients[1 - leader]
        for number in numbers:
            wait_until(lambda: shown(client, number).state == "done", f"request {number} to end")  # noqa: B023
            verify_report(shown(client, number))
        verify_told(world)
        assert (
            places(world, *map(partner, range(1, 30)), *map(device, [*range(1, 11), *range(21, 30)])) == set()
        )
        late(world, [sight(number, partner=partner(number)) for number in (1, 11, 21)])
        wait_until(lambda: late_ones(client) == 3, "late events to be kept out")
        (access,) = client.privacy_access(PrivacyAsk(uuid=device(1)))
        assert access.suppressed
        assert not any(one.known for one in access.devices)
        assert client.privacy_lift(LiftAsk(request=numbers[0])).lifted == 2
        assert seen(intake, 1)
        late(world, [sight(1, "lens")])
        wait_until(lambda: late_ones(client) == 4, "a late event to be kept out")
        wait_until(lambda: settled(client), "all to be told")
        assert world.receiver.segments_of(partner(1)) == IN_SEGMENTS
        for node in (admins[1 - leader], intake, *workers[1:]):
            assert node.ended(signal.SIGTERM) == 0, node.log()[-3_000:]


def settled(client: Client) -> bool:
    try:
        status = client.status()
    except ArkeError:
        return False
    (row,) = status.destinations
    return not (status.away or row.owed or row.backlog or status.queued)


def late_ones(client: Client) -> int:
    """How many events were kept out."""
    return client.status().late


def seen(intake: NodeProcess, number: int) -> bool:
    """Whether an event about a person was accepted."""
    host, _, port = intake.doors["intake"].rpartition(":")
    event = {
        "uuid": device(number),
        "ids": [{"dpid": DPID, "id": partner(number)}],
        "signals": {"c_see": ["camera"]},
        "event_id": f"first-{number}",
    }
    connection = http.client.HTTPConnection(host, int(port), timeout=60)
    try:
        connection.request("POST", "/v1/events", json.dumps(event), {"Content-Type": "application/x-ndjson"})
        answer = connection.getresponse()
        return answer.status == 200 and not json.loads(answer.read())["rejected"]
    finally:
        connection.close()


def asked(client: Client, action: str, number: int) -> int:
    """The number of a request, once somebody has taken it."""
    taken: list[PrivacyReport] = []

    def ask() -> bool:
        try:
            taken.extend(client.privacy_request(PrivacyAsk(action, device(number)), 0.0))
        except ArkeError:
            return False
        return True

    wait_until(ask, "a request to be taken")
    return taken[0].number


def shown(client: Client, number: int) -> PrivacyReport:
    found: list[PrivacyReport] = []

    def show() -> bool:
        try:
            found.append(client.privacy_show(number))
        except ArkeError:  # its shard is on its way
            return False
        return True

    wait_until(show, "a report")
    return found[0]


def verify_report(report: PrivacyReport) -> None:
    assert report.devices == 1
    (destination,) = report.destinations
    assert [one.answer for one in destination.acknowledged] == ["200"]
    assert (destination.missing, destination.untold) == (0, 0)
    assert [one.where.split()[0] for one in report.elsewhere] == ["the", "table", "PostgreSQL's"]


def verify_told(world: World) -> None:
    for number in PEOPLE:
        expected = IN_SEGMENTS if number in STAY else set()
        assert world.receiver.segments_of(partner(number)) == expected, number


def places(world: World, *needles: str) -> set[str]:
    """The tables that hold one of these texts."""
    with psycopg.connect(world.postgres.dsn(), autocommit=True) as connection:
        return tables_with(connection, needles)


def late(world: World, sights: Sequence[Sight]) -> None:
    """Append events as an intake does that had slept since before anybody withdrew."""

    async def append() -> None:
        session = Session(Server(world.postgres.dsn()), "late")
        writer = PackedWriter(PostgresCarrier(session))
        for one in sights:
            old = msgspec.structs.replace(one, edition=1)
            await writer.append(shard_of(old.event.uuid, SHARDS), [old])
        await writer.close()

    asyncio.run(append())

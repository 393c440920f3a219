"""A shard at work on PostgreSQL: events in, a real destination told over HTTPS, the server killed in between."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from arke.delivery.https.client import HttpsClient
from arke.delivery.https.egress import EgressPolicy
from arke.errors import StoreUnavailable
from conformance.shard.stores import make_cluster, open_in_postgres
from e2e.catalogs import IN_MARKET, catalog, destination, device
from e2e.receiver_thread import ReceiverThread
from integration.engine.shards import prepared, running_shard, sight
from patience import PATIENCE_S, eventually
from servers.postgres import PostgresServer, server_of_its_own

if TYPE_CHECKING:
    from arke.shard.shard import Shard

DEVICES = 60


def test_each_event_counts_once_and_is_told_whatever_happens_to_the_server(kind: str) -> None:
    """The log is read again from where the store has it; who opens the shard again goes on from there."""
    with server_of_its_own(kind) as server, ReceiverThread() as receiver:
        make_cluster(server.dsn())
        text = catalog([destination(1, receiver.url, receiver.ca_file)])
        asyncio.run(fed(server, text, upto=DEVICES // 2))
        asyncio.run(fed(server, text, upto=DEVICES))
        for number in range(DEVICES):
            assert str(IN_MARKET) in receiver.segments_of(f"p{number}")


async def fed(server: PostgresServer, text: str, upto: int) -> None:
    """A shard that takes the log up to a position, one message a device, while its server is killed."""
    store = await open_in_postgres(server.dsn(), settle_s=PATIENCE_S)
    client = HttpsClient(EgressPolicy(["127.0.0.0/8"]))
    async with running_shard(store, client, request=prepared(text=text)) as shard:
        killed = False
        while shard.taken < upto:
            if not killed and shard.taken > upto - DEVICES // 4:
                killed = True
                await asyncio.gather(taken_on(shard, upto), asyncio.to_thread(restarted, server))
            else:
                await taken_on(shard, shard.taken + 1)
        await eventually(lambda: all(lane.idle for lane in shard.lanes.values()), "all to be told")
        assert await store.count_profiles() == upto
        for number in range(upto):
            found = await store.device(device(number))
            assert found is not None
            assert found.profile.realisations == 1, "an event of which the answer was lost counts once"
            assert found.owed == []


async def taken_on(shard: Shard, upto: int) -> None:
    """Message after message, each again until it is taken."""
    while shard.taken < upto:
        number = shard.taken
        try:
            await shard.submit([sight(number)], number + 1)
        except StoreUnavailable:
            await asyncio.sleep(0)


def restarted(server: PostgresServer) -> None:
    server.kill()
    server.start()

"""How many messages of ten users one process delivers over TLS, next to `wrk` posting the same bytes.

Two contenders beside wrk: the HTTPS client alone (building, signing and ledger off), and a whole shard that
reads a journal, builds each device's state, encodes, signs, posts, and commits what was told.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import uvloop

from arke.bench.figures import Figure, Section, median_figure, ratios
from arke.bench.profiling import Profiler, tuned_collector
from arke.bench.sinks import BenchFailed, Sink, missing_programs, sink, wrk_rate
from arke.bench.stores import fill, uids_of
from arke.bench.workload import PARTNER_DPID, Workload
from arke.catalog import stored as stored_form
from arke.delivery.channel import TIMEOUT_S
from arke.delivery.https.client import HttpsClient
from arke.delivery.https.egress import EgressPolicy
from arke.delivery.https.endpoint import parse_endpoint
from arke.delivery.https.request import USER_AGENT, HeadTemplate, OutboundRequest
from arke.domain.catalog import Catalog, DataSource, Destination, Mapping, Segment, Signature, Tls
from arke.domain.change import Change, JournalRecord
from arke.domain.ledger import TOLD_1, TRIES_KEPT, LedgerEntry, LedgerRow, Try
from arke.domain.membership import Membership
from arke.domain.message import SegmentState, UserEntry
from arke.domain.message_body import encode_message, encode_user
from arke.domain.profile import PartnerId, Profile
from arke.domain.time import DAY_S
from arke.settings import Egress, Settings
from arke.shard.protocol import Prepare, Switch
from arke.shard_app import shard_over
from arke.storage.committer import ThreadCommitter
from arke.storage.ports.shard import GroupWrites
from arke.storage.sqlite.store import SqliteShardStore

if TYPE_CHECKING:
    from pathlib import Path

    from arke.bench.figures import Options
    from arke.shard.shard import Shard

CONNECTIONS = 32
DESTINATION = 423
USERS_PER_MESSAGE = 10
SEGMENTS_PER_USER = 4
DEVICES = 40_000
RECORDS_PER_S = 60_000
"""Journal records laid down for each second of measuring: more than can be delivered."""
WARM_UP_S = 3.0
"""A lane finds its number of connections meanwhile; opening one costs as much as fifty posts."""
LAID_DOWN = 20_000
CLIENT_TARGET = 0.5
SHARD_TARGET = 0.3


def run(options: Options, directory: Path) -> Section:
    """Alternate wrk, the bare client and the whole shard."""
    missing = []
    absent = missing_programs("nginx", "wrk")
    if absent:
        missing.append(
            f"{' and '.join(absent)} not on PATH, so no ratio to wrk: the system's packages have it"
        )
    body = sample_body()
    profiler = Profiler() if options.profile else None
    wrk: list[float] = []
    client: list[float] = []
    shard: list[float] = []
    shard_cpu_us: list[float] = []
    with sink(directory / "sink") as where:
        for number in range(options.rounds):
            if "wrk" not in absent:
                seconds = options.seconds
                wrk.append(wrk_rate(directory, where.url, body, connections=CONNECTIONS, seconds=seconds))
            client.append(uvloop.run(client_rate(where, body, options.seconds)))
            store = directory / f"delivery-{number}.db"
            rate, cpu_us = uvloop.run(_shard_rate(store, where, options.seconds))
            shard.append(rate)
            shard_cpu_us.append(cpu_us)
        tables = []
        if profiler is not None:
            store = directory / "delivery-profiled.db"
            rate, _ = uvloop.run(_shard_rate(store, where, options.seconds, profiler))
            units = max(1, round(rate * options.seconds))
            tables.append(profiler.table("one shard delivering, everything on", "message", units))
        kind = where.kind
    figures = [
        median_figure("client", "HTTPS client alone", client, "/s"),
        median_figure("shard", "whole shard: build, sign, post, ledger, commit", shard, "/s"),
    ]
    if wrk:
        figures = [
            median_figure("wrk", "wrk, one thread", wrk, "/s"),
            *figures,
            median_figure("client_ratio", "client / wrk", ratios(client, wrk), "x", target=CLIENT_TARGET),
            median_figure("shard_ratio", "whole shard / wrk", ratios(shard, wrk), "x", target=SHARD_TARGET),
        ]
    figures.append(median_figure("shard_cpu", "CPU a message, whole shard", shard_cpu_us, "us"))
    figures.append(Figure(key="body", text="bytes of one message", value=len(body), unit=""))
    notes = [
        f"messages of {USERS_PER_MESSAGE} users with {SEGMENTS_PER_USER} segments each, over TLS keep-alive",
        f"sink: {kind}; client on {CONNECTIONS} connections, the shard's lane chooses its own number",
        "the shard reads its journal from disk, signs with HMAC-SHA1, and commits every outcome durably",
    ]
    return Section(name="delivery", figures=figures, notes=notes, missing=missing, profiles=tables)


def sample_body() -> bytes:
    """One message as the shard sends it."""
    now = int(time.time())
    users = [
        encode_user(
            UserEntry(
                Workload.uuid(user),
                f"partner-{user:012d}",
                (6,),
                tuple(SegmentState(str(14_000 + n), True, now - n) for n in range(SEGMENTS_PER_USER)),
            )
        )
        for user in range(USERS_PER_MESSAGE)
    ]
    return encode_message(
        users, process_ts=now, dpid=PARTNER_DPID, client_id="74323", destination_id=DESTINATION
    )


async def client_rate(where: Sink, body: bytes, seconds: float) -> float:
    """Posts a second of the HTTPS client alone."""
    client = HttpsClient(EgressPolicy(("127.0.0.0/8",)))
    endpoint = parse_endpoint(where.url)
    template = HeadTemplate(endpoint, [("User-Agent", USER_AGENT), ("Content-Type", "application/json")])
    tls = Tls(ca_file=str(where.ca_file))
    count = 0

    async def post_until(ends: float) -> None:
        nonlocal count
        while time.perf_counter() < ends:
            head = template.complete(len(body))
            request = OutboundRequest(
                destination=DESTINATION, kind="realtime", endpoint=endpoint, head=head, body=body, tls=tls
            )
            answer = await client.post(request, timeout_s=TIMEOUT_S)
            if answer.status != 200:
                raise BenchFailed(f"the sink answered {answer!r}")
            count += 1

    async def rate(length_s: float) -> float:
        nonlocal count
        count = 0
        started = time.perf_counter()
        await asyncio.gather(*(post_until(started + length_s) for _ in range(CONNECTIONS)))
        return count / (time.perf_counter() - started)

    await rate(min(0.5, seconds))
    try:
        return await rate(seconds)
    finally:
        await client.close()


async def stored_devices(store: SqliteShardStore, count: int) -> list[int]:
    """Store devices with their memberships and what they were told before; returns their uids."""
    now = int(time.time())
    uuids = [Workload.uuid(number) for number in range(count)]
    held = {14_000 + n: Membership(1, now - DAY_S, now - n, "rule") for n in range(SEGMENTS_PER_USER)}

    def profile(number: int) -> Profile:
        partner = PartnerId(PARTNER_DPID, f"partner-{number:012d}", 0, now)
        return Profile(uuids[number], seen=now, evaluated=now, memberships=held, ids=[partner], regions=[6])

    await fill(store, uuids, profile)
    uids = await uids_of(store, uuids)
    await _tell(store, uids, now)
    return uids


async def _journal(shard: Shard, uids: list[int], seconds: float) -> None:
    """A journal that says: tell the destination about them, again and again. The shard is at work already."""
    now = int(time.time())
    changes = (Change(14_000, 1, "rule"),)
    records = round((seconds + WARM_UP_S) * RECORDS_PER_S)
    for start in range(0, records, LAID_DOWN):
        journal = [
            JournalRecord(seq + 1, now, uids[seq % DEVICES], changes, (DESTINATION,))
            for seq in range(start, min(records, start + LAID_DOWN))
        ]
        writes = GroupWrites(journal=journal, cursors={DESTINATION: 0})
        await shard.groups.between(shard.store.commit, writes)
        await shard.groups.between(shard.store.tidy)


async def _tell(store: SqliteShardStore, uids: list[int], now: int) -> None:
    """As after weeks of service: every device was told before, as often as the ledger remembers."""
    told = {str(14_000 + n): TOLD_1 for n in range(SEGMENTS_PER_USER)}
    tries = [Try(now - n * DAY_S, f"{n:024x}", "200", "realtime").stored() for n in range(TRIES_KEPT, 0, -1)]
    entry = LedgerEntry(0, told, tries)
    keyed = sorted((uid, number) for number, uid in enumerate(uids))
    for start in range(0, len(keyed), LAID_DOWN):
        part = keyed[start : start + LAID_DOWN]
        rows = [LedgerRow(uid, DESTINATION, PARTNER_DPID, f"partner-{n:012d}", entry) for uid, n in part]
        await store.commit(GroupWrites(ledger=rows))
        await store.tidy()


async def _shard_rate(
    path: Path, where: Sink, seconds: float, profiler: Profiler | None = None
) -> tuple[float, float]:
    """Acknowledged messages a second of a shard that works through its journal, and CPU us a message."""
    store = SqliteShardStore(path, committer=ThreadCommitter(path.stem))
    uids = await stored_devices(store, DEVICES)
    shard = shard_over(store, path.stem, Settings(egress=Egress(allow_cidrs=("127.0.0.0/8",))))
    try:
        with tuned_collector():
            await shard.start()
            await _journal(shard, uids, seconds)  # after the start: nothing of it is a crash's leftovers
            await rule_by(shard, catalog_for(where, signing_key(path)))
            await asyncio.sleep(WARM_UP_S)
            if profiler is not None:
                profiler.start()
            before, started, cpu = _acknowledged(shard), time.perf_counter(), time.process_time()
            await asyncio.sleep(seconds)
            cpu_s = time.process_time() - cpu
            after, ended = _acknowledged(shard), time.perf_counter()
            if profiler is not None:
                profiler.stop()
            if shard.lanes[DESTINATION].idle:
                raise BenchFailed("the journal ran out before the time did")
            return (after - before) / (ended - started), cpu_s / (after - before) * 1e6
    finally:
        await shard.stop()


def signing_key(store: Path) -> Path:
    """A file with the key that a bench signs with, beside its store."""
    key = store.with_suffix(".key")
    key.write_text("bench_signing_key")
    key.chmod(0o600)
    return key


async def rule_by(shard: Shard, catalog: Catalog) -> None:
    """Put a catalog in force."""
    await shard.call(Prepare(1, stored_form.to_json(catalog), {DESTINATION: 1}))
    await shard.call(Switch(1))


def _acknowledged(shard: Shard) -> int:
    figures = shard.observer.figures(DESTINATION)
    if figures.messages != figures.acknowledged:
        raise BenchFailed(f"the sink did not acknowledge everything: {figures.answers}")
    return figures.acknowledged


def catalog_for(where: Sink, key: Path) -> Catalog:
    """One destination with everything on."""
    segments = tuple(Segment(id=14_000 + n) for n in range(SEGMENTS_PER_USER))
    destination = Destination(
        id=DESTINATION,
        url=where.url,
        client_id="74323",
        user_dpids=(PARTNER_DPID,),
        batch=None,
        max_users_per_request=USERS_PER_MESSAGE,
        signatures=(Signature(key=f"file:{key}"),),
        tls=Tls(ca_file=str(where.ca_file)),
        segments=tuple(Mapping(segment=segment.id) for segment in segments),
    )
    return Catalog(
        data_sources=(DataSource(id=PARTNER_DPID),), segments=segments, destinations=(destination,)
    )

"""What must hold once the faults are over, read from the stopped engine's own files and the destinations."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from typing import TYPE_CHECKING

import apsw
import msgspec

from arke.domain.ledger import TOLD_1
from arke.storage.committer import InlineCommitter
from arke.storage.sqlite.directory import SqliteDirectory
from arke.storage.sqlite.store import SqliteShardStore
from at_once import at_once
from e2e.catalogs import DPID, TOLD, TRAITS, device

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path
    from typing import Any

    from arke.domain.ledger import LedgerRow
    from arke.domain.profile import Profile
    from arke.engine.batches import RunFacts
    from arke.onboarding.receipt import Receipt
    from arke.receiver.http import Record
    from arke.storage.ports.shard import StoredDevice
    from chaos.visitors import Sent

SEEN = frozenset(TRAITS.values())
"""The traits of events; what else a profile has came from files."""
_PARTNER = re.compile(rb'"DataPartner_UUID":"([^"]*)"')


class Kept(msgspec.Struct, frozen=True):
    """Everything a stopped engine has in its data directory, for the devices that were sent."""

    profiles: dict[str, Profile]
    owners: dict[str, str]
    ledger: list[LedgerRow]
    owed: int
    moves: int


def read(data: Path, uuids: Iterable[str], partners: Iterable[str]) -> Kept:
    """Read the stores as a fresh process would."""
    wanted = sorted(set(uuids))
    directory = SqliteDirectory(data / "directory.db", committer=InlineCommitter())
    known = at_once(directory.identities.look_up({(DPID, one) for one in partners}))
    owners = {key[1]: owner.uuid for key, owner in known.owners.items()}
    moves = len(at_once(directory.identities.moves()))
    at_once(directory.close())
    profiles: dict[str, Profile] = {}
    ledger: list[LedgerRow] = []
    owed = 0
    for file in sorted(data.glob("shard-*.db")):
        found, counts = asyncio.run(_shard(file, wanted))
        for one in found:
            profiles[one.profile.uuid] = one.profile
            ledger += one.ledger
        owed += sum(counts.values())
    return Kept(profiles, owners, ledger, owed, moves)


async def _shard(file: Path, wanted: Iterable[str]) -> tuple[list[StoredDevice], dict[int, int]]:
    """The devices that a shard has of those wanted, and what each destination is owed there."""
    store = SqliteShardStore(file, committer=InlineCommitter())
    found = [await store.device(uuid) for uuid in wanted]
    counts = await store.owed_counts()
    await store.close()
    return [one for one in found if one is not None], counts


def ids_on_their_way(data: Path) -> int:
    """Moves that a running engine's shards have not followed yet."""
    connection = apsw.Connection(str(data / "directory.db"), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        (count,) = next(connection.execute("SELECT count(*) FROM move"))
        return int(count)
    finally:
        connection.close()


def lost_events(kept: Kept, sent: Sequence[Sent]) -> list[Sent]:
    """Acknowledged events whose realisation is nowhere in their device's profile."""
    lost = []
    for one in sent:
        if one.told is not None:
            continue
        profile = kept.profiles.get(device(one.device))
        state = profile.traits.get(TRAITS[one.word]) if profile is not None else None
        if one.acknowledged and (state is None or one.ts not in state.times):
            lost.append(one)
    return lost


def invented_realisations(kept: Kept, sent: Sequence[Sent]) -> list[tuple[str, int]]:
    """Realisations that no event that was sent accounts for."""
    known = {(device(one.device), TRAITS[one.word], one.ts) for one in sent if one.told is None}
    return [
        (uuid, trait)
        for uuid, profile in kept.profiles.items()
        for trait, state in profile.traits.items()
        if trait in SEEN
        for ts, count in Counter(state.times).items()
        if (uuid, trait, ts) not in known or count > 1
    ]


def wrong_memberships(kept: Kept, sent: Sequence[Sent]) -> list[tuple[str, int, set[int]]]:
    """Devices whose told segment is not what the last acknowledged event (or a later doubtful one) said."""
    possible: dict[str, set[int]] = {}
    for one in sent:
        if one.told is None:
            continue
        if one.acknowledged:
            possible[device(one.device)] = {one.told}
        else:
            possible.setdefault(device(one.device), {0}).add(one.told)
    wrong = []
    for uuid, allowed in possible.items():
        profile = kept.profiles.get(uuid)
        held = profile.segments.get(TOLD) if profile is not None else None
        status = held.status if held is not None else 0
        if status not in allowed:
            wrong.append((uuid, status, allowed))
    return wrong


def wrong_owners(kept: Kept, sent: Sequence[Sent]) -> list[tuple[str, str | None]]:
    """Partner ids that are not with the device that named them last, or on more than one profile."""
    possible: dict[str, set[str]] = {}
    for one in sent:
        if one.acknowledged:
            possible[one.partner] = {device(one.device)}
        elif one.partner in possible:
            possible[one.partner].add(device(one.device))
    holders: dict[str, set[str]] = {}
    for uuid, profile in kept.profiles.items():
        for partner in profile.ids:
            assert not partner.arriving, "an id is still on its way"
            holders.setdefault(partner.id, set()).add(uuid)
    return [
        (partner, kept.owners.get(partner))
        for partner, allowed in possible.items()
        if kept.owners.get(partner) not in allowed or holders.get(partner) != {kept.owners[partner]}
    ]


def beliefs(kept: Kept, aliases: dict[int, str]) -> dict[str, set[str]]:
    """Per partner id: the aliases it is in, by its device's profile."""
    found = {}
    for partner, uuid in kept.owners.items():
        segments = kept.profiles[uuid].segments if uuid in kept.profiles else {}
        found[partner] = {
            alias for number, alias in aliases.items() if number in segments and segments[number].status
        }
    return found


def ledger_beliefs(kept: Kept, destination: int) -> dict[str, set[str]]:
    """Per partner id: the aliases that the ledger says this destination was last told 1."""
    return {
        row.id: {alias for alias, state in row.entry.told.items() if state == TOLD_1}
        for row in kept.ledger
        if row.destination == destination and row.dpid >= 0
    }


def onboarded(kept: Kept) -> dict[str, set[int]]:
    """Per device: the traits that files gave it."""
    return {uuid: profile.traits.keys() - SEEN for uuid, profile in kept.profiles.items()}


def counters(receipt: Receipt) -> dict[str, Any]:
    """A receipt without its times, and without `repeated`: whoever had no answer has sent the file again, and an
    engine that died between the last line and the receipt has the receipt from its record.
    """
    facts: dict[str, Any] = msgspec.to_builtins(receipt)
    return {name: value for name, value in facts.items() if name not in ("begun", "ended", "repeated")}


def check_runs(runs: Sequence[RunFacts], begun: Sequence[int]) -> None:
    """Every run that was begun ended once, and its counts add up."""
    assert len(set(begun)) == len(begun), "a run was begun twice"
    assert set(begun) <= {run.number for run in runs}
    for run in runs:
        assert run.finished_at is not None
        assert not run.abandoned
        assert run.users == run.acknowledged + run.owed, run
        assert run.messages_acknowledged <= run.messages


def left_behind(places: Iterable[Path], names: Iterable[str]) -> dict[str, list[str]]:
    """Files among or under the places that hold one of these names."""
    wanted = [name.encode() for name in names]
    found = {}
    for place in places:
        for file in sorted(place.rglob("*")) if place.is_dir() else [place]:
            content = file.read_bytes() if file.is_file() else b""
            hits = [name.decode() for name in wanted if name in content]
            if hits:
                found[file.name] = hits
    return found


def story(
    number: int,
    kept: Kept,
    sent: Sequence[Sent],
    records: Iterable[Record],
    partner: str,
    believed: dict[str, set[str]],
) -> str:
    """All there is to know about one partner id at one destination, for whoever must find out what went wrong."""
    lines = [f"destination {number} was not told the truth about {partner}, owned by {kept.owners[partner]}"]
    lines.append(f"believed {sorted(believed[partner])}")
    lines += [f"sent {one}" for one in sent if one.partner == partner]
    lines += [f"ledger {row}" for row in kept.ledger if (row.destination, row.id) == (number, partner)]
    lines.append(f"profile {kept.profiles.get(kept.owners[partner])}")
    needle = f'"DataPartner_UUID":"{partner}"'.encode()
    lines += [
        f"{record.at} {record.verdict} {record.status} {record.fault} {record.request.body.decode()}"
        for record in records
        if needle in record.request.body
    ]
    return "\n".join(lines)


def duplicates(records: Iterable[Record]) -> int:
    """Messages that were accepted more than once under the same id; two ids never share a message."""
    partners: dict[str, set[bytes]] = {}
    count: Counter[str] = Counter()
    for record in records:
        if record.verdict != "accepted":
            continue
        name = record.request.header("webhook-id")
        assert name is not None
        partners.setdefault(name, set()).update(_PARTNER.findall(record.request.body))
        count[name] += 1
    assert all(len(told) == 1 for told in partners.values()), "one message id stands for different people"
    return sum(times - 1 for times in count.values())

"""Who was erased stays erased, also where a backup is older than the erasure.

The suppression list of a restored directory is the newest that there is. What privacy requests did since the
backup is undone by it, so those are carried through again, under their numbers. A request that had ended knows
its people by keyed hashes only: they are looked for among the devices and ids that came out of the backup.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from arke.domain.homes import is_home, person_of
from arke.errors import InvalidInput
from arke.privacy.request import decode_request, encode_request
from arke.storage.keyed_hash import KeyedHash
from arke.storage.ports.directory import StoredRequest
from arke.storage.sqlite.upkeep import Remembered, uuids_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from arke.domain.identity import IdKey
    from arke.privacy.request import PrivacyRequest
    from arke.storage.ports.moving import Row
    from arke.storage.sqlite.upkeep import RestoredDirectory


class Again(msgspec.Struct, frozen=True):
    """Requests that are carried through again, by their numbers, and how many hashes the newer list has."""

    requests: tuple[int, ...] = ()
    suppressed: int = 0


class _Found(msgspec.Struct):
    """Whom the requests are about, of those that the backup brought back; by the numbers of the requests."""

    uuids: dict[int, list[str]]
    ids: dict[int, list[IdKey]]


def remember(directory: RestoredDirectory, shards: Sequence[Path], newer: Path) -> Again:
    """Take over the suppression list of `newer`, a file with one. Raises InvalidInput, StoreUnavailable."""
    list_ = Remembered(newer)
    try:
        if list_.mark != directory.mark:
            raise InvalidInput(
                f"{newer}: this suppression list is of another directory: its hashes were made with another key"
            )
        before = {number: done for number, _, done, _ in directory.rows("privacy_request")}
        undone = [
            _request(row) for row in list_.rows("privacy_request") if not before.get(row[0], 0)
        ]  # those that had ended by the backup stay as they are
        wanted = _wanted(list_, {request.number for request in undone if request.done})
        found = _look(directory, shards, wanted)
        rows, again = [], []
        for request in undone:
            opened = _opened(request, found)
            again += [request.number] if opened is not None else []
            rows.append(_row(opened or request))
        directory.remember(list_, rows)
        return Again(tuple(again), sum(1 for _ in list_.rows("suppressed")))
    finally:
        list_.close()


def _wanted(list_: Remembered, numbers: set[int]) -> dict[bytes, list[int]]:
    """Requests by the hashes that they want suppressed."""
    wanted: dict[bytes, list[int]] = {}
    for number, digest, _ in list_.rows("suppressed_by"):
        if number in numbers:
            wanted.setdefault(bytes(digest), []).append(number)
    return wanted


def _look(directory: RestoredDirectory, shards: Sequence[Path], wanted: dict[bytes, list[int]]) -> _Found:
    found = _Found({}, {})
    if not wanted:
        return found
    digest = KeyedHash(bytes(directory.meta("hash_key"))).digest
    keys: set[IdKey] = set()
    for shard in shards:
        for uuid in uuids_of(shard):
            if is_home(uuid):
                keys.add(person_of(uuid))
                continue
            for number in wanted.get(digest(uuid), ()):
                found.uuids.setdefault(number, []).append(uuid)
    keys.update(directory.ids())
    for dpid, partner_id in keys:
        for number in wanted.get(digest(f"{dpid}:{partner_id}"), ()):
            found.ids.setdefault(number, []).append((dpid, partner_id))
    return found


def _opened(request: PrivacyRequest, found: _Found) -> PrivacyRequest | None:
    """The request as it begins; None where it stays ended: nobody whom it is about is there."""
    if request.done:
        uuids, ids = found.uuids.get(request.number, []), sorted(found.ids.get(request.number, []))
        if request.lifted or not (uuids or ids):
            return None
        request = msgspec.structs.replace(request, uuids=uuids, ids=ids, done=0)
    return msgspec.structs.replace(request, state="open", subjects=[], proofs=[], untold=[])


def _request(row: Row) -> PrivacyRequest:
    return decode_request(StoredRequest(*row))


def _row(request: PrivacyRequest) -> Row:
    return request.number, request.at, request.done, encode_request(request)

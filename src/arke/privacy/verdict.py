"""Whether destinations have taken back what they were told about a device: from the ledger alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from arke.domain.ledger import TOLD_0
from arke.privacy.request import Missing, Proof
from arke.storage.keyed_hash import KeyedHash

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.domain.catalog import Catalog, Destination
    from arke.domain.ledger import LedgerRow, Try
    from arke.privacy.request import Subject
    from arke.shard.protocol import Standing


class Verdict(msgspec.Struct):
    """`proofs` of what is acknowledged, `missing` what is not yet, `untold` what cannot be told."""

    proofs: list[Proof] = []
    missing: list[Missing] = []
    untold: list[Missing] = []


def judge(catalog: Catalog, subject: Subject, standing: Standing, hashes: KeyedHash) -> Verdict:
    """How far every destination is with one device. `hashes` make the keyed hash that a proof shows."""
    rows: dict[int, list[LedgerRow]] = {}
    for row in standing.ledger:
        if row.dpid >= 0 and (not subject.ids or (row.dpid, row.id) in subject.ids):
            rows.setdefault(row.destination, []).append(row)
    if not subject.ids:
        for destination_id in (*standing.owed, *standing.busy):
            rows.setdefault(destination_id, [])
    destinations = {destination.id: destination for destination in catalog.destinations}
    verdict = Verdict()
    for destination_id, told in sorted(rows.items()):
        destination = destinations.get(destination_id)
        standing_out = [row for row in told if any(said != TOLD_0 for said in row.entry.told.values())]
        reason = _cannot_be_told(destination) or _says_nothing(catalog, destination, subject, standing_out)
        for row in told:
            if row.entry.told and row not in standing_out and row.entry.tries:
                last = _acknowledged(destination, row)
                name = hashes.digest(f"{row.dpid}:{row.id}").hex()
                verdict.proofs.append(
                    Proof(destination_id, row.dpid, name, last.message, last.at, last.answer)
                )
        if reason is not None:
            if standing_out:
                verdict.untold.append(Missing(destination_id, len(standing_out), reason))
        elif standing_out or (not subject.ids and destination_id in (*standing.owed, *standing.busy)):
            verdict.missing.append(Missing(destination_id, len(standing_out), _last_answer(standing_out)))
    return verdict


def _acknowledged(destination: Destination | None, row: LedgerRow) -> Try:
    """The newest delivery that was acknowledged; where none is remembered, the newest."""
    success = {str(status) for status in destination.success} if destination is not None else {"200"}
    tries = row.entry.tries
    return next((one for one in reversed(tries) if one.answer in success), tries[-1])


def _cannot_be_told(destination: Destination | None) -> str | None:
    if destination is None:
        return "the destination is no longer in the catalog"
    if not destination.enabled:
        return "the destination is switched off"
    if not destination.supports_unsegment:
        return "the destination takes no 0s (supports_unsegment: false)"
    return None


def _says_nothing(
    catalog: Catalog, destination: Destination | None, subject: Subject, rows: Sequence[LedgerRow]
) -> str | None:
    """An id that leaves a device that stays is told what any id that left is told: nothing about a paused
    segment, nor, with `on_unmap: silent`, about one that is not mapped. (A device that leaves tells all.)
    """
    if destination is None or not subject.ids:
        return None
    segments = {segment.id: segment for segment in catalog.segments}
    sayable = {
        destination.alias(mapping, segments[mapping.segment])
        for mapping in destination.segments
        if not segments[mapping.segment].paused
    }
    paused = {
        destination.alias(mapping, segments[mapping.segment]) for mapping in destination.segments
    } - sayable
    silent = destination.on_unmap == "silent"
    left = {alias for row in rows for alias, said in row.entry.told.items() if said != TOLD_0}
    if left and all(alias in paused or (silent and alias not in sayable) for alias in left):
        return "its segments are paused, or no longer mapped and on_unmap is silent"
    return None


def _last_answer(rows: Sequence[LedgerRow]) -> str:
    tries = [one for row in rows for one in row.entry.tries if one.kind == "privacy"]
    return f"last answer {max(tries, key=lambda one: one.at).answer}" if tries else "not answered yet"

"""What a lane's devices are to be told, by what was read of them, and without what is known to be done."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from arke.delivery.open_device import BATCH, BEHIND, OWED, OpenDevice, Part
from arke.domain.ledger import TOLD_0, TOLD_1, LedgerEntry, LedgerRow
from arke.domain.message_body import encode_user
from arke.domain.recording import after_batch
from arke.log import get_logger
from arke.telling.records import Telling
from arke.telling.tellings import acknowledged, is_doubted, tellings

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence

    from arke.delivery.batch_feed import BatchFeed
    from arke.domain.ledger import Owed
    from arke.domain.profile import Profile
    from arke.storage.ports.shard import DeviceStates, Ledger
    from arke.telling.records import Route
    from arke.telling.tellings import Asked

log = get_logger("lane")


class Built(Enum):
    """What came of building a device."""

    TELLS = "its entries are ready"
    NOTHING = "there is nothing to tell; it may have ledger rows to keep"
    TRIED = "all that it is here for was tried already, and is owed"
    FAILED = "it cannot be built"


class Builder:
    """Builds for one lane. After a crash, what lies up to `recovered_until` may have been told, and so may devices
    that are `in_doubt`.
    """

    def __init__(self, recovered_until: int, in_doubt: Container[int] = ()) -> None:
        self._recovered_until = recovered_until
        self._in_doubt = in_doubt

    def build(
        self, route: Route, device: OpenDevice, states: DeviceStates, feed: BatchFeed | None
    ) -> tuple[Built, list[Part]]:
        """What comes of a device by its state. Sets its `debt`, `unsure`, `caught_up` and `rows`. `feed` brings
        the devices of a batch.
        """
        destination_id = route.destination.id
        uid = device.uid
        ledger = states.ledgers.get(uid, {})
        owed = states.owed.get(uid)
        brought, device.debt = device.debt, owed
        if device.kind == OWED and (owed is None or brought is None or owed.tries != brought.tries):
            return Built.TRIED, []
        if owed is not None and self._was_tried(device, owed, feed):
            return Built.TRIED, []
        try:
            profile = states.profiles.get(uid)
            found = self._tellings(route, device, profile, ledger, feed)
            parts = [
                Part(device, telling, encode_user(telling.entry), ledger.get((telling.dpid, telling.id)))
                for telling in found
                if telling.entry.segments
            ]
        except Exception as error:  # noqa: BLE001 - one bad device is owed; the others go on
            log.error("device_not_built", destination=destination_id, error=type(error).__name__)
            return Built.FAILED, []
        catches_up = device.catch_up and device.kind not in BEHIND
        device.caught_up = profile.uuid if catches_up and profile is not None else ""
        device.rows = ()
        if len(parts) < len(found):
            device.rows = tuple(
                [
                    _dropped_row(uid, destination_id, telling, ledger)
                    for telling in found
                    if not telling.entry.segments
                ]
            )
        return Built.TELLS if parts else Built.NOTHING, parts

    def _was_tried(self, device: OpenDevice, owed: Owed, feed: BatchFeed | None) -> bool:
        """Whether all that the device is here for was tried and found to be owed: in an earlier life, or by
        the batch that brings it again.
        """
        if device.kind == BATCH:
            return feed is not None and feed.tried(device.uid, owed)
        if device.kind == OWED:
            return False
        return device.first <= self._recovered_until and owed.seq >= device.last

    def _tellings(
        self,
        route: Route,
        device: OpenDevice,
        profile: Profile | None,
        ledger: Ledger,
        feed: BatchFeed | None,
    ) -> list[Telling]:
        """What the device's ids are to be told; after a crash, without what is known to be done."""
        if profile is None or not (ledger or profile.opted_out or route.samples(profile.uuid)):
            return []
        in_doubt = device.uid in self._in_doubt
        asked: Asked
        if device.kind == BATCH and feed is not None:
            asked, device.unsure = feed.asked(device.uid)
            if in_doubt and not device.unsure:
                asked, device.unsure = "resync", True
            found = tellings(route, profile, ledger, uncertain=device.unsure, asked=asked, since=feed.run.at)
            device.unsure |= _restated(route, found, ledger)
            return found
        if (
            device.kind == OWED and not route.destination.realtime
        ):  # so that its next batch need not repeat it
            device.unsure = in_doubt
            asked = "resync" if in_doubt else "batch"
            return tellings(route, profile, ledger, uncertain=in_doubt, asked=asked)
        if in_doubt:
            device.unsure = True
            return tellings(route, profile, ledger, uncertain=True)
        found = tellings(route, profile, ledger)
        recovered = device.first <= self._recovered_until
        device.unsure = recovered or _restated(route, found, ledger)
        if not recovered:
            if (
                device.catch_up
                and not device.unsure
                and all(acknowledged(one, ledger.get((one.dpid, one.id))) for one in found)
            ):
                return []  # a batch has told it since
            return found
        certain = {(telling.dpid, telling.id): telling for telling in found}
        return [
            telling
            for telling in tellings(route, profile, ledger, uncertain=True)
            if not _covered(ledger, certain.get((telling.dpid, telling.id)), telling, device.last)
        ]


def _dropped_row(uid: int, destination: int, telling: Telling, ledger: Ledger) -> LedgerRow:
    """The ledger row of an id to which a batch says nothing but that has lost something unsaid."""
    entry = after_batch(ledger[telling.dpid, telling.id], (), (), telling.dropped)
    return LedgerRow(uid, destination, telling.dpid, telling.id, entry)


def _restated(route: Route, found: Sequence[Telling], ledger: Ledger) -> bool:
    """Whether more is said than the ledger has a reason for."""
    return route.doubt > 0 and any(is_doubted(route, ledger.get((one.dpid, one.id))) for one in found)


def _covered(
    ledger: Mapping[tuple[int, str], LedgerEntry], certain: Telling | None, telling: Telling, seq: int
) -> bool:
    """Whether the ledger shows that what is certain was acknowledged before the crash."""
    entry = ledger.get((telling.dpid, telling.id))
    if entry is None or entry.seq < seq:
        return False
    return certain is None or (
        all(entry.told.get(alias) == TOLD_1 for alias in certain.ones)
        and all(entry.told.get(alias) == TOLD_0 for alias in certain.zeros)
    )

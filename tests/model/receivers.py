"""What destinations believe: everything each partner id was last told, by the requests that were recorded."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Protocol

from model.contract import stamp
from model.histories import COOKIES
from model.oracle import DAY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from model.histories import Outlet
    from model.oracle import World

Key = tuple[int, int, str]
"""Destination, DPID and partner id."""


class Telling(Protocol):
    """What receivers need of a request that was recorded."""

    @property
    def destination(self) -> int: ...

    @property
    def status(self) -> int: ...

    @property
    def body(self) -> str: ...


class Receivers:
    """All destinations. The `trusting` ones take in every request, also those they answered with a failure."""

    def __init__(self, *, trusting: bool) -> None:
        self._trusting = trusting
        self.told: dict[Key, dict[str, int]] = {}

    def take(self, sent: Telling) -> None:
        if sent.status != 200 and not self._trusting:
            return
        for key, _, statuses in entries(sent):
            self.told.setdefault(key, {}).update(statuses)

    def wrong(self, key: Key, outlet: Outlet, world: World, members: frozenset[int], day: int) -> str:
        """What this partner id was told and is not so, or is so and was not told; empty if all is well."""
        told = self.told.get(key, {})
        paused = {item.alias for item in outlet.mapped if item.segment in world.paused}
        mapped = {
            item.alias: item.segment in members
            for item in outlet.mapped
            if (item.start is None or item.start <= day)
            and (item.end is None or day < item.end)
            and item.segment not in world.paused
        }
        missing = [alias for alias, member in mapped.items() if member and not told.get(alias)]
        believed = {alias for alias, status in told.items() if status} - paused
        stale = [alias for alias in believed if not mapped.get(alias)]
        if outlet.on_unmap == "silent":
            stale = [alias for alias in stale if alias in mapped]
        if not outlet.supports_unsegment:
            stale = []
        return f"{key}: not told {missing}, wrongly told {stale}" if missing or stale else ""


class ReceiversByTime(Receivers):
    """The same, for who keeps of each item the newest by (DateTime, ProcessTime), the later one where equal."""

    def __init__(self, *, trusting: bool) -> None:
        super().__init__(trusting=trusting)
        self._newest: dict[tuple[Key, str], tuple[int, int]] = {}

    def take(self, sent: Telling) -> None:
        if sent.status != 200 and not self._trusting:
            return
        message = json.loads(sent.body)
        processed = stamp(message["ProcessTime"])
        for user in message["Users"]:
            key = (sent.destination, int(message["User_DPID"]), user["DataPartner_UUID"])
            for state in user["Segments"]:
                item, version = (key, state["Segment_ID"]), (stamp(state["DateTime"]), processed)
                if version >= self._newest.get(item, version):
                    self._newest[item] = version
                    self.told.setdefault(key, {})[state["Segment_ID"]] = int(state["Status"])


def entries(sent: Telling) -> Iterator[tuple[Key, str, dict[str, int]]]:
    """Each user of a message: whom it names, the device's UUID, and the statuses by alias."""
    message = json.loads(sent.body)
    for user in message["Users"]:
        key = (sent.destination, int(message["User_DPID"]), user["DataPartner_UUID"])
        yield key, user["AAM_UUID"], {state["Segment_ID"]: int(state["Status"]) for state in user["Segments"]}


def keys_of(destination: int, dpids: tuple[int, ...], uuid: str, ids: frozenset[str]) -> list[Key]:
    """Under which keys a destination knows a device."""
    return [
        (destination, dpid, partner_id)
        for dpid in dpids
        for partner_id in ([uuid] if dpid == 0 else sorted(ids))
        if dpid in (0, COOKIES)
    ]


def day_of(at: int, start: int) -> int:
    return (at - start) // DAY

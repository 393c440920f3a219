"""What passes through a shard, as somebody who watches sees it."""

from __future__ import annotations

from typing import Generic, Literal, TypeVar

import msgspec

At = TypeVar("At", float, str)

PassedKind = Literal["event", "change", "message"]


class Passage(msgspec.Struct, Generic[At], frozen=True, omit_defaults=True):
    """An event, a membership that changed, or a message whose delivery ended.

    All have `at`. An event has `uuid`, `ids` (DPID:ID, those it declared), `signals`, the `traits`
    it realised, and `region`; a change `uuid`, `segment`, `status` and `cause`, and the `reason` of the
    membership. A message has `destination`, its id as `message`, `cause` (realtime, batch, privacy), how many
    `users`, the `ids` of the first of them, `told` (alias to status) as the first was told, and how it ended:
    `answer`, `acknowledged`, `attempts`, and `ms` since the first user's event was accepted.
    """

    kind: PassedKind
    at: At
    uuid: str = ""
    ids: list[str] = []
    signals: dict[str, list[str]] = {}
    traits: list[int] = []
    region: int | None = None
    segment: int | None = None
    status: int | None = None
    cause: str = ""
    reason: str = ""
    destination: int | None = None
    message: str = ""
    users: int = 0
    told: dict[str, int] = {}
    answer: str = ""
    acknowledged: bool = False
    attempts: int = 0
    ms: float | None = None


class Passed(Passage[float], frozen=True, omit_defaults=True, kw_only=True):
    """As a shard keeps it: `at` in epoch seconds; `number` counts them in their shard."""

    number: int


class Passing(msgspec.Struct, frozen=True):
    """What passed since it was asked the last time. `ring` tells a shard's rings apart, `number` is that of the
    last entry; `counted`: events, changes and messages since the shard started, whether they are shown or not.
    """

    ring: int
    number: int
    counted: tuple[int, int, int]
    entries: list[Passed]

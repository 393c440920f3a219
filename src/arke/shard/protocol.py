"""What an engine asks of a shard, whether it lives in this process or in another.

One request type and one response type per question, tagged, so that the same structs are calls in one process
and frames between two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from arke.delivery.observer import DestinationFigures
from arke.domain.batch import BatchRun
from arke.domain.ledger import LedgerRow
from arke.domain.profile import Profile
from arke.shard.commands import Command, Result

if TYPE_CHECKING:
    from arke.errors import ArkeError


class Submit(msgspec.Struct, tag=True, frozen=True):
    """Apply commands, in order; answered when durable by `Results`."""

    commands: list[Command]


class Prepare(msgspec.Struct, tag=True, frozen=True):
    """Compile a catalog without using it yet. `catalog` is canonical JSON; the rest as in `StoredCatalog`."""

    version: int
    catalog: bytes
    mapping_versions: dict[int, int]
    retired: dict[int, dict[str, int]] = {}


class Switch(msgspec.Struct, tag=True, frozen=True):
    """Use a prepared catalog from the next group on."""

    version: int


class AskStatus(msgspec.Struct, tag=True, frozen=True):
    """Answered by `ShardStatus`."""

    latencies: bool = False


class AskProfile(msgspec.Struct, tag=True, frozen=True):
    """Everything kept about one device. Answered by `Dossier`."""

    uuid: str


class AskStanding(msgspec.Struct, tag=True, frozen=True):
    """How far destinations are with a device that withdrew. Answered by `Standing`."""

    uuid: str


class Compact(msgspec.Struct, tag=True, frozen=True):
    """Leave nothing of what was deleted in the store's files. Answered by `Compacted`."""


class AskOwed(msgspec.Struct, tag=True, frozen=True):
    """A page of what is owed, after (destination, uid). Answered by `OwedPage`."""

    destination: int | None
    after: tuple[int, int]
    limit: int


class AskEstimate(msgspec.Struct, tag=True, frozen=True):
    """How many stored profiles a segment rule would hold now. Answered by `Estimated`.

    No more than `limit` profiles are looked at.
    """

    rule: str
    limit: int


class AskForecast(msgspec.Struct, tag=True, frozen=True):
    """Whom a prepared catalog would move. Answered by `Forecasted`.

    `moving` are the segments whose members may differ; a profile is concerned if it moves, or if it holds one
    of `traits`, was ever in one of `segments`, or was sent to one of `destinations`. `keep` False: the
    prepared catalog is not needed any more.
    """

    version: int
    moving: frozenset[int]
    traits: frozenset[int]
    segments: frozenset[int]
    destinations: frozenset[int]
    keep: bool


class Drain(msgspec.Struct, tag=True, frozen=True):
    """Answered by `Ok` once every lane that can send has nothing left, or after `timeout_s`."""

    timeout_s: float


class RunBatch(msgspec.Struct, tag=True, frozen=True):
    """Begin batch run `number` unless it was begun before, and wait up to `wait_s` for its end. Answered by
    `Batches` with the destination's newest run; with none while the destination has no lane.
    """

    destination: int
    number: int
    at: int
    everything: bool
    wait_s: float


class AskBatches(msgspec.Struct, tag=True, frozen=True):
    """Every destination's newest batch run. Answered by `Batches`."""


Request = (
    Submit
    | Prepare
    | Switch
    | AskStatus
    | AskProfile
    | AskStanding
    | AskOwed
    | AskEstimate
    | AskForecast
    | RunBatch
    | AskBatches
    | Compact
    | Drain
)


class Results(msgspec.Struct, tag=True, frozen=True):
    """One result per command."""

    results: list[Result]


class Ok(msgspec.Struct, tag=True, frozen=True):
    """Done."""


class Refusal(msgspec.Struct, tag=True, frozen=True):
    """The request failed as a whole: the error that it raised (see `errors.rebuild`)."""

    code: str
    message: str
    details: dict[str, Any] = {}

    @classmethod
    def of(cls, error: ArkeError) -> Refusal:
        return cls(error.code, str(error), error.details())


class LaneStatus(msgspec.Struct, frozen=True):
    """One lane: what it did, what waits, what is owed, and whether its circuit is open."""

    destination: int
    owed: int
    backlog: int
    circuit_open: bool
    figures: DestinationFigures


class ShardStatus(msgspec.Struct, tag=True, frozen=True):
    """One shard's figures since it started; `profiles` and `seq` of all time. `backfilled` is the share of its
    profiles that were evaluated under the catalog in force.
    """

    ready: bool
    profiles: int
    seq: int
    queued: int
    events: int
    changes: int
    groups: int
    catalog_version: int
    backfilled: float
    lanes: list[LaneStatus]


class OwedDevice(msgspec.Struct, frozen=True, kw_only=True):
    """One device's news that a destination has not acknowledged (SPEC 9: `undelivered list`).

    `segments` maps an alias to the status that is owed; `ids` are `dpid:id`; `since` is RFC 3339.
    """

    destination: int
    uuid: str
    ids: list[str]
    segments: dict[str, int]
    since: str
    reason: str


class OwedPage(msgspec.Struct, tag=True, frozen=True):
    """`next` continues the listing; None at its end."""

    devices: list[OwedDevice]
    next: tuple[int, int] | None


class Telling(msgspec.Struct, frozen=True):
    """A destination's side of one device: open in a lane, owed, in the sample, and what it would be told."""

    destination: int
    pending: bool
    owed_since: int | None
    owed_reason: str | None
    sampled: bool
    would_tell: dict[str, dict[str, int]]


class Dossier(msgspec.Struct, tag=True, frozen=True):
    """Everything one shard keeps about one device. `profile` None: never seen."""

    profile: Profile | None
    ledger: list[LedgerRow]
    tellings: list[Telling]
    now: int


class Standing(msgspec.Struct, tag=True, frozen=True):
    """What destinations know of one device. `ids` are those on its profile; `owed` the destinations that it
    is owed to, `busy` those that have it in hand, or that a crash may have told more than the ledger knows.
    """

    ids: list[tuple[int, str]] = []
    ledger: list[LedgerRow] = []
    owed: list[int] = []
    busy: list[int] = []


class Compacted(msgspec.Struct, tag=True, frozen=True):
    """`done` False: a reader was in the way; ask again."""

    done: bool


class Sample(msgspec.Struct, frozen=True):
    """`looked` of a shard's `stored` profiles were looked at; `exact` if that was every one."""

    looked: int
    stored: int
    exact: bool


class Batches(msgspec.Struct, tag=True, frozen=True):
    """The newest batch run of each destination that has had one."""

    runs: list[BatchRun]


class Estimated(msgspec.Struct, tag=True, frozen=True):
    """Of the profiles looked at, `holding` would be held."""

    holding: int
    sample: Sample


class Flow(msgspec.Struct, array_like=True):
    """One segment: how many are in it before an edit, and how many enter and leave by it."""

    before: int = 0
    enter: int = 0
    leave: int = 0


class Forecasted(msgspec.Struct, tag=True, frozen=True):
    """Of the profiles looked at: how many are concerned, how many change a membership, and in which segment.

    `flows` has the segments that one of them is in, before or after.
    """

    concerned: int
    moved: int
    flows: dict[int, Flow]
    sample: Sample


Response = (
    Results
    | Ok
    | Refusal
    | ShardStatus
    | OwedPage
    | Dossier
    | Standing
    | Estimated
    | Forecasted
    | Batches
    | Compacted
)


class ShardPort(Protocol):
    """A shard as the engine sees it."""

    async def call(self, request: Request) -> Response:
        """Ask. Raises ShardDown, or the error that the shard answered as a refusal."""
        ...

    async def stop(self) -> None: ...

"""Questions: what an engine asks of a shard, whether it lives in this process or in another.

A question says by its type what its answer is, so nobody narrows one by hand; the same structs are calls in one
process and frames between two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar, get_args

import msgspec

from arke.delivery.circuit import CircuitState
from arke.delivery.observer import DestinationFigures
from arke.delivery.refusals import Refused
from arke.domain.batch import BatchRun, Scope
from arke.domain.identity import Mapped
from arke.domain.ledger import LedgerRow
from arke.domain.profile import Held, Profile
from arke.errors import rebuild
from arke.histogram import Histogram
from arke.shard.commands import Command, Result
from arke.shard.passing import Passing
from arke.shard.tally import Tally
from arke.telling.records import Account

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.errors import ArkeError


A = TypeVar("A")


class Question(msgspec.Struct, Generic[A], frozen=True):
    """What a shard is asked: `A` is what it answers. Each kind of question has a tag of its own in a frame."""


def answer_type(kind: type[Question[Any]]) -> Any:
    """The type of the answers to a kind of question."""
    bases: Any = kind.__orig_bases__  # type: ignore[attr-defined]
    return get_args(bases[0])[0]


class LaneStatus(msgspec.Struct, frozen=True):
    """One lane: what it did, what waits, what is owed and when the first of it is sent again by itself (epoch
    seconds; None: not at all), its circuit, and for how long the endpoint still wants to be left alone.
    """

    destination: int
    owed: int
    backlog: int
    circuit: CircuitState
    figures: DestinationFigures
    owed_due: int | None = None
    pause_s: float = 0.0


class LastRefusal(msgspec.Struct, frozen=True):
    """When a destination last refused a message, and how; what it said is shown to fewer (`AskRefusals`)."""

    at: str
    answer: str
    times: int = 1


class ShardStatus(msgspec.Struct, frozen=True):
    """One shard's figures since it started; `profiles` of devices, `people` and `seq` of all time;
    `taken` is how far its log was taken.
    `backfilled` is the share of its profiles that were evaluated under the catalog in force.
    Of its `events`, `repeated` had counted before, and `late` were of people who had withdrawn since they were
    accepted: nothing was taken of them. `unasked` are keys that no rule asks for, with how many sampled
    events had each; `unrealised` traits that nobody has realised since their rule is as it is. `commits`: how long
    the store took to commit a group. `lanes` has those of destinations that are off, too, if they did
    anything. `counting` names this count alone: where it is another one, all of it was counted since; 0: nobody
    knows. `counting_s`: for how long it has counted.
    """

    ready: bool
    profiles: int
    seq: int
    taken: int
    queued: int
    events: int
    changes: int
    groups: int
    catalog_version: int
    backfilled: float
    lanes: list[LaneStatus]
    people: int = 0
    repeated: int = 0
    late: int = 0
    unasked: dict[str, int] = {}
    unrealised: list[int] = []
    refused: dict[int, LastRefusal] = {}
    counting: int = 0
    counting_s: float | None = None
    commits: Histogram = msgspec.field(default_factory=Histogram)


NOTHING_COUNTED: Final = ShardStatus(True, 0, 0, 0, 0, 0, 0, 0, 0, 1.0, [])
"""The counters of a shard that has done nothing, and nothing that is stored."""


def counted_together(one: ShardStatus, other: ShardStatus) -> ShardStatus:
    """What two shards have counted, as one that has nothing stored."""
    lanes: dict[int, DestinationFigures] = {}
    for lane in (*one.lanes, *other.lanes):
        lanes[lane.destination] = lanes.get(lane.destination, DestinationFigures()) + lane.figures
    return msgspec.structs.replace(
        NOTHING_COUNTED,
        events=one.events + other.events,
        repeated=one.repeated + other.repeated,
        late=one.late + other.late,
        changes=one.changes + other.changes,
        groups=one.groups + other.groups,
        commits=one.commits + other.commits,
        lanes=[LaneStatus(number, 0, 0, "closed", figures) for number, figures in sorted(lanes.items())],
    )


class OwedDevice(msgspec.Struct, frozen=True, kw_only=True):
    """One device's news that a destination has not acknowledged (SPEC 9: `undelivered list`).

    `segments` maps an alias to the status that is owed; `ids` are `dpid:id`; `since` is RFC 3339, and so is `next`:
    when it is sent again by itself at the earliest, None where it is not. `tries`: messages that failed.
    """

    destination: int
    uuid: str
    ids: list[str]
    segments: dict[str, int]
    since: str
    reason: str
    tries: int = 0
    next: str | None = None


class OwedPage(msgspec.Struct, frozen=True):
    """`next` continues the listing; None at its end."""

    devices: list[OwedDevice]
    next: tuple[int, int] | None


class Telling(msgspec.Struct, frozen=True):
    """A destination's side of one device: open in a lane, owed, in the sample, and what it would be told.
    `accounts`: the bucket that it is in, of each mapped segment it is in (see `arke.telling.accounts`).
    """

    destination: int
    pending: bool
    owed_since: int | None
    owed_reason: str | None
    owed_tries: int
    owed_due: int | None
    sampled: bool
    would_tell: dict[str, dict[str, int]]
    accounts: dict[int, Account] = {}


class Dossier(msgspec.Struct, frozen=True):
    """Everything one shard keeps about one device. `profile` None: never seen, or erased."""

    profile: Profile | None
    ledger: list[LedgerRow]
    tellings: list[Telling]
    now: int


class Standing(msgspec.Struct, frozen=True):
    """What destinations know of one device, if it is `known`. `ids` are those on its profile; `owed` the
    destinations that it is owed to, `busy` those that have it in hand, or that a crash may have told more than the
    ledger knows.
    """

    ids: list[tuple[int, str]] = []
    ledger: list[LedgerRow] = []
    owed: list[int] = []
    busy: list[int] = []
    known: bool = False


class Sample(msgspec.Struct, frozen=True):
    """`looked` of a shard's `stored` profiles were looked at; `exact` if that was every one."""

    looked: int
    stored: int
    exact: bool


class Estimated(msgspec.Struct, frozen=True):
    """Of the profiles looked at, `holding` would be held."""

    holding: int
    sample: Sample


class Flow(msgspec.Struct, array_like=True):
    """One segment: how many are in it before an edit, and how many enter and leave by it."""

    before: int = 0
    enter: int = 0
    leave: int = 0


class Forecasted(msgspec.Struct, frozen=True):
    """Of the profiles looked at: how many are concerned, how many change a membership, and in which segment.

    `flows` has the segments that one of them is in, before or after.
    """

    concerned: int
    moved: int
    flows: dict[int, Flow]
    sample: Sample


class Behind(msgspec.Struct, frozen=True):
    """Per destination, how many of the profiles looked at have something for it that it has not acknowledged."""

    users: dict[int, int]
    sample: Sample


class Sizes(msgspec.Struct, frozen=True):
    """How many members each segment has here, of those that have any. `counted`: the share of the shard's profiles
    that are counted; below 1 only while a store of an earlier version is gone through.
    """

    members: dict[int, int]
    counted: float


class Reckoned(msgspec.Struct, frozen=True):
    """A part of a destination's users by their buckets: over all its segments (`whole`), and of each. `looked`
    profiles of `stored` were looked at; `next` continues, None at the end. `seq`: the journal's end by now.
    """

    whole: Tally
    segments: dict[int, Tally]
    looked: int
    next: int | None
    stored: int
    seq: int


class Overlapping(msgspec.Struct, frozen=True):
    """Of the profiles looked at, those in one segment, in the other, and in both."""

    one: int
    other: int
    both: int
    sample: Sample


class Submit(Question[list[Result]], tag=True, frozen=True):
    """Apply commands, in order; answered when durable, one result a command. `first` is the number of the first of
    them in the shard's log, the others follow (see `EventLog`); 0: they are not of the log, and need not be.
    """

    commands: list[Command]
    first: int


class Prepare(Question[None], tag=True, frozen=True):
    """Compile a catalog without using it yet. `catalog` is canonical JSON; the rest as in `StoredCatalog`. `mark`
    tells apart what several engines prepare under the same version, of whom one will store its own.
    """

    version: int
    catalog: bytes
    mapping_versions: dict[int, int]
    retired: dict[int, dict[str, int]] = {}
    mark: bytes = b""


class Switch(Question[None], tag=True, frozen=True):
    """Use a prepared catalog from the next group on. `mark` as in `Prepare`."""

    version: int
    mark: bytes = b""


class AskStatus(Question[ShardStatus], tag=True, frozen=True):
    """How the shard is doing; with so many of the newest `latencies` of each destination, and with what shows
    how rules and events `fit`, if asked for.
    """

    latencies: int = 0
    fit: bool = False


class AskSeen(Question[dict[str, Result]], tag=True, frozen=True):
    """What became of the newest events of these devices in the message at `position` of the log, by UUID, of those
    of which it is known within `wait_s`.
    """

    position: int
    uuids: frozenset[str]
    wait_s: float


class AskProfile(Question[Dossier], tag=True, frozen=True):
    """Everything kept about one device; `behind_log`: with all that the shard's log has of it by now."""

    uuid: str
    behind_log: bool = False


class AskStanding(Question[Standing], tag=True, frozen=True):
    """How far destinations are with a device that withdrew."""

    uuid: str


class AskHeld(Question[dict[str, Held]], tag=True, frozen=True):
    """What homes of people hold, by their keys, for those that hold anything."""

    homes: tuple[str, ...]


class AskPromised(Question[list[Mapped]], tag=True, frozen=True):
    """The mappings later than `after` that are kept until the directory has them on disk."""

    after: int


class Compact(Question[bool], tag=True, frozen=True):
    """Leave nothing of what was deleted in the store's files. False: a reader was in
    the way; ask again."""


class AskOwed(Question[OwedPage], tag=True, frozen=True):
    """A page of what is owed, after (destination, uid)."""

    destination: int | None
    after: tuple[int, int]
    limit: int


class AskRefusals(Question[list[Refused]], tag=True, frozen=True):
    """The newest refusals of a destination, or of all."""

    destination: int | None


class AskEstimate(Question[Estimated], tag=True, frozen=True):
    """How many stored profiles a segment rule would hold now.

    No more than `limit` profiles are looked at.
    """

    rule: str
    limit: int


class AskSizes(Question[Sizes], tag=True, frozen=True):
    """How many members these segments have; None: all."""

    segments: tuple[int, ...] | None


class AskReckoning(Question[Reckoned], tag=True, frozen=True):
    """Which buckets a destination's users are in, of up to `limit` profiles in uid order after `after`, or fewer
    where that takes long; `segment`: only those of one segment. `samples`: so many users of each bucket are named,
    over all segments, or of that one.
    """

    destination: int
    after: int
    limit: int
    segment: int | None = None
    samples: int = 0


class AskOverlap(Question[Overlapping], tag=True, frozen=True):
    """How many profiles are in two segments, of up to `limit`."""

    one: int
    other: int
    limit: int


class AskForecast(Question[Forecasted], tag=True, frozen=True):
    """Whom a prepared catalog would move.

    `moving` are the segments whose members may differ; a profile is concerned if it moves, or if it holds one
    of `traits`, was ever in one of `segments`, or was sent to one of `destinations`. `keep` False: the
    prepared catalog is not needed any more. `mark` as in `Prepare`.
    """

    version: int
    moving: frozenset[int]
    traits: frozenset[int]
    segments: frozenset[int]
    destinations: frozenset[int]
    keep: bool
    mark: bytes = b""


class AskBehind(Question[Behind], tag=True, frozen=True):
    """How many devices are to be told something by each destination that a prepared catalog switches on again.
    `mark` as in `Prepare`.
    """

    version: int
    destinations: tuple[int, ...]
    mark: bytes = b""


class ShareAcknowledgements(Question[dict[int, float]], tag=True, frozen=True):
    """When each destination last acknowledged something here, of those that did since the shard started.
    `elsewhere` is the same for the other shards.
    """

    elsewhere: dict[int, float]


class AskPassing(Question[Passing], tag=True, frozen=True):
    """What passed lately: by this question a shard begins to keep some of it, and it goes on for some seconds. Of
    a ring in `numbers` only what came after that number; `each_s`: how many entries of a kind are kept a second.
    """

    numbers: dict[int, int]
    each_s: int


class Drain(Question[None], tag=True, frozen=True):
    """Wait until every lane that can send has nothing left, or for `timeout_s`."""

    timeout_s: float


class RunBatch(Question[BatchRun | None], tag=True, frozen=True):
    """Begin batch run `number` unless it was begun before, and wait up to `wait_s` for its end. Answered by the
    destination's newest run; None while the destination has no lane.
    """

    destination: int
    number: int
    at: int
    scope: Scope
    wait_s: float


class AskBatches(Question[list[BatchRun]], tag=True, frozen=True):
    """Every destination's newest batch run."""


class Refusal(msgspec.Struct, frozen=True):
    """The request failed as a whole: the error that it raised (see `errors.rebuild`)."""

    code: str
    message: str
    details: dict[str, Any] = {}

    @classmethod
    def of(cls, error: ArkeError) -> Refusal:
        return cls(error.code, str(error), error.details())

    def error(self) -> ArkeError:
        return rebuild(self.code, self.message, self.details)


AnyQuestion = (
    Submit
    | Prepare
    | Switch
    | AskStatus
    | AskSeen
    | AskProfile
    | AskStanding
    | AskHeld
    | AskPromised
    | AskOwed
    | AskRefusals
    | AskEstimate
    | AskSizes
    | AskReckoning
    | AskOverlap
    | AskForecast
    | AskBehind
    | RunBatch
    | AskBatches
    | Compact
    | ShareAcknowledgements
    | AskPassing
    | Drain
)
"""All kinds of questions: what a frame may hold."""


class EventLog(Protocol):
    """The way of commands into a shard: what is appended is taken in order, and each sighting once.

    Commands are numbered from 1 for as long as the shard exists; with each group the shard records how far it has
    taken the log. When it goes away, what it has not answered is read again from there by the next one: a sighting
    that is in the store already is not applied again and answered by `Taken`; every other command may be repeated.
    """

    async def append(self, commands: Sequence[Command], *, evaluated: bool = True) -> list[Result]:
        """Returns once all are durable, one result a command; for sightings that need not be `evaluated` by then,
        `Taken` may be all that is said. Raises Overloaded, StoreUnavailable and ShardDown:
        then none of them is, or (ShardDown) nobody knows. Raises InvalidInput for one that no log can hold, with
        none of them in it.
        """
        ...


class ShardPort(EventLog, Protocol):
    """A shard as the engine sees it: a log of commands, and questions. Where it is `logged`, sightings are durable
    whether the shard is there or not.
    """

    @property
    def logged(self) -> bool: ...

    async def call(self, question: Question[A]) -> A:
        """Ask. Raises ShardDown, or the error that the shard answered as a refusal."""
        ...

    async def stop(self) -> None: ...

"""What a shard is asked to do, and what it answers. Everything here crosses process boundaries.

Every command says whom it is about (`key`: a device's UUID, None where it is about the whole shard), about how
many rows a transaction writes for it (`weight`), and what it has to know of what is stored (`need`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Literal, TypeVar, cast

import msgspec

from arke.delivery.report import RecordDeliveries as RecordDeliveries  # noqa: PLC0414 - part of Command
from arke.domain.batch import Scope
from arke.domain.event import Accepted, DeclaredId, Event
from arke.domain.file_lines import Said
from arke.domain.identity import Promise
from arke.domain.ledger import LedgerEntry
from arke.domain.profile import Held
from arke.errors import StoreUnavailable

if TYPE_CHECKING:
    from arke.storage.ports.shard import Needs

R = TypeVar("R")

MAX_FILE_LINES = 200
"""Lines of one onboarding file that count for a user: the first ones (dossier 15)."""

WithdrawReason = Literal["privacy", "opt_out"]
"""Why a device leaves everything: its person asked to be deleted, or opted out."""


class AdoptedRow(msgspec.Struct, array_like=True, frozen=True):
    """A ledger entry that follows its partner id to the device that owns the id now."""

    destination: int
    dpid: int
    id: str
    entry: LedgerEntry


class Unlinked(msgspec.Struct, tag=True, frozen=True):
    """The ledger rows of an id that left its device."""

    rows: tuple[AdoptedRow, ...]


class Replayed(msgspec.Struct, tag=True, frozen=True):
    """How many devices are on their way to a destination again; `next` continues, None at the end."""

    devices: int
    next: tuple[int, int] | None


class Evaluated(msgspec.Struct, tag=True, frozen=True):
    """`profiles` were looked at, the last of them `uid`."""

    profiles: int
    uid: int


class Onboarded(msgspec.Struct, tag=True, frozen=True, omit_defaults=True):
    """A file's lines are durable. `devices` and `people`: of how many the first line in the file was among these;
    `replaced`: traits that these lines made way for. By their places in `Onboard.devices`: those that are
    `refused`, because they have opted out, and those that have too many, with the last line that counts
    (`kept_until`).
    """

    devices: int = 0
    people: int = 0
    replaced: int = 0
    refused: tuple[int, ...] = ()
    kept_until: dict[int, int] = {}


class Linked(msgspec.Struct, tag=True, frozen=True, gc=False):
    """Ids are linked. `refused`: the device has opted out."""

    refused: bool = False


class Seen(msgspec.Struct, tag=True, frozen=True, gc=False):
    """An event is durable."""

    accepted: Accepted


class Scrubbed(msgspec.Struct, tag=True, frozen=True):
    """`next` continues after that position; None at the journal's end."""

    next: int | None


class Erased(msgspec.Struct, tag=True, frozen=True):
    """The device is forgotten, and with it what these destinations were owed about it."""

    owed: tuple[int, ...]


class Done(msgspec.Struct, tag=True, frozen=True, gc=False):
    """The command is durable and has nothing more to say."""


class Failed(msgspec.Struct, tag=True, frozen=True):
    """The command did not happen. `code` is the error's."""

    code: str
    message: str


class Taken(msgspec.Struct, tag=True, frozen=True, gc=False):
    """A sighting is durable, and was evaluated before: what came of it was for an answer that was lost."""


Result = (
    Seen | Taken | Onboarded | Linked | Unlinked | Replayed | Evaluated | Scrubbed | Erased | Done | Failed
)
"""One answer per command, in order."""


class Asks(msgspec.Struct, Generic[R], frozen=True):
    """A command: `R` is what it is answered with, unless it failed (`Failed`)."""


def answer_of(_: Asks[R], result: Result | R) -> R:
    """The result of a command, of the type that it says. Raises StoreUnavailable where the command failed."""
    if isinstance(result, Failed):
        raise StoreUnavailable(result.message)
    return cast("R", result)


class ForDevice(Asks[R], Generic[R], frozen=True):
    """A command about one device."""

    uuid: str

    @property
    def key(self) -> str:
        return self.uuid

    @property
    def weight(self) -> int:
        return 1

    def need(self, needs: Needs) -> None:
        needs.devices.append(self.uuid)


class ForShard(Asks[R], Generic[R], frozen=True):
    """A command about whatever the shard holds."""

    @property
    def key(self) -> None:
        return None

    @property
    def weight(self) -> int:
        return 1


class Sight(Asks[Seen | Taken], tag=True, frozen=True, omit_defaults=True, gc=False):
    """A device was seen, or something was heard of a person (whose home stands for a device then). `arriving` are
    ids that another device has yet to let go of; `held` is what the homes of the people hold who have just come to
    this device. `edition`: by which edition of the suppression list it was taken, and of what it names nothing was
    on it; 0: where there is one engine, which never says so. `lists`: whether the answer is to list the segments.
    `promise`: some of its mappings are to be kept until the directory has them on disk.
    """

    event: Event
    arriving: tuple[tuple[int, str], ...] = ()
    held: tuple[Held, ...] = ()
    edition: int = 0
    lists: bool = True
    promise: Promise | None = None

    @property
    def key(self) -> str:
        return self.event.uuid

    @property
    def weight(self) -> int:
        return 1

    def need(self, needs: Needs) -> None:
        needs.devices.append(self.event.uuid)
        if self.event.event_id is not None:
            needs.counted.add((self.event.uuid, self.event.event_id))


class Unlink(ForDevice[Unlinked], tag=True, frozen=True):
    """A partner id now belongs to another device: let go of it.

    Its ledger rows stay here, set aside, until `Forget`: an engine that dies half-way asks again. `unsure`
    are destinations that may have been told more than the ledger knows; the shard fills them in.
    """

    dpid: int
    id: str
    at: int
    generation: int
    unsure: tuple[int, ...] = ()


class Adopt(ForDevice[Done], tag=True, frozen=True):
    """A partner id has arrived, with what it was told while it belonged to another device: from now on it
    hears of this one. `edition` as in `Sight`; 0 also for a device that is leaving. `suppressed`: it is the id
    of a person and to be forgotten, so it gets no further; the device tells the 0s for what it was told.
    """

    dpid: int
    id: str
    at: int
    generation: int
    rows: tuple[AdoptedRow, ...]
    edition: int = 0
    suppressed: bool = False


class Forget(ForDevice[Done], tag=True, frozen=True):
    """The rows that `Unlink` set aside under `generation` have arrived."""

    dpid: int
    id: str
    generation: int


class Withdraw(ForDevice[Done], tag=True, frozen=True):
    """A device leaves everything for good, or (`ids`) only these ids leave it. Destinations that were told
    anything hear the 0s at once; asked again, those that have not acknowledged them. `edition`: one of the
    suppression list in which they are on it; what was decided by it or an earlier one does not count any more.
    """

    at: int
    reason: WithdrawReason
    ids: tuple[tuple[int, str], ...] = ()
    edition: int = 0


class Readmit(ForDevice[Done], tag=True, frozen=True):
    """The suppression of a device was lifted at `at`: it may be heard of again, unless it has opted out since. Of
    several engines none sends it: what they decide by a later edition says so.
    """

    at: int


class Scrub(ForShard[Scrubbed], tag=True, frozen=True):
    """Empty the journal records of these devices, a page of the journal after `after`.

    Comes before `Erase`: afterwards nobody knows which records were theirs.
    """

    uuids: tuple[str, ...]
    after: int
    limit: int

    def need(self, needs: Needs) -> None:
        needs.known.update(self.uuids)
        needs.journal.add((self.after, self.limit))


class Erase(ForDevice[Erased], tag=True, frozen=True):
    """Forget a device that withdrew: all of it, or only these `ids`. `keep`: one that was seen stays as a mark
    that it opted out, and why it left its segments. What keeps late events out stays.
    """

    keep: bool = False
    ids: tuple[tuple[int, str], ...] = ()


class Replay(ForShard[Replayed], tag=True, frozen=True):
    """Send a page of what is owed, as current state; `destination` None means all.

    The page begins after the (destination, uid) `after`.
    """

    destination: int | None
    at: int
    after: tuple[int, int]
    limit: int

    def need(self, needs: Needs) -> None:
        needs.owed.add((self.destination, self.after, self.limit))


class Sweep(ForShard[Evaluated], tag=True, frozen=True):
    """Time passed: look again at up to `limit` profiles that are due."""

    at: int
    limit: int

    @property
    def weight(self) -> int:
        return self.limit

    def need(self, needs: Needs) -> None:
        needs.due.add((self.at, self.limit))


class Backfill(ForShard[Evaluated], tag=True, frozen=True):
    """The catalog changed, to that of `fingerprint`: look again at up to `limit` stored profiles that were last
    evaluated under another one, in uid order after `after`.
    """

    fingerprint: int
    at: int
    after: int
    limit: int

    @property
    def weight(self) -> int:
        return self.limit

    def need(self, needs: Needs) -> None:
        needs.walked.add((self.after, self.limit))


class CountMembers(ForShard[Evaluated], tag=True, frozen=True):
    """Count the members of segments among up to `limit` stored profiles in uid order after `after`, which is up to
    where they were counted before.
    """

    after: int
    limit: int

    @property
    def weight(self) -> int:
        return self.limit

    def need(self, needs: Needs) -> None:
        needs.walked.add((self.after, self.limit))


class BeginBatch(ForShard[Done], tag=True, frozen=True):
    """Begin run `number` of a destination's batches. Nothing happens where the run was begun before."""

    destination: int
    number: int
    at: int
    scope: Scope

    def need(self, needs: Needs) -> None:
        needs.batches.add(self.destination)


class FileDevice(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A device, or a person's home, that lines of a file name: their numbers, ascending, and what each says, by its
    place in `Onboard.said`.
    """

    uuid: str
    lines: tuple[int, ...]
    said: tuple[int, ...]


class AtHome(msgspec.Struct, array_like=True, frozen=True):
    """Of a person's home, the person's id, and whether a device speaks for it (then it is `arriving`)."""

    ids: tuple[DeclaredId, ...]
    arriving: tuple[tuple[int, str], ...] = ()


class Onboard(Asks[Onboarded], tag=True, frozen=True, omit_defaults=True):
    """What a part of a file says, device by device; each is named once. May be repeated: lines that counted already
    are not applied again.

    `file`, `ts`, `at` and `overwrites` as in `FilePart`. `homes` has those among the devices. Of the `opted_out`
    nothing is taken. `edition` as in `Sight`.
    """

    file: int
    ts: int
    at: int
    said: tuple[Said, ...]
    devices: tuple[FileDevice, ...]
    overwrites: int | None = None
    homes: dict[str, AtHome] = {}
    opted_out: frozenset[str] = frozenset()
    edition: int = 0

    @property
    def key(self) -> None:
        return None

    @property
    def weight(self) -> int:
        return len(self.devices)

    def need(self, needs: Needs) -> None:
        needs.devices += [device.uuid for device in self.devices]


class Join(ForDevice[Done], tag=True, frozen=True):
    """A device that has come to a person is to have what the person's home holds; `declared` as in `apply_held`.
    `edition` as in `Sight`.
    """

    held: Held
    at: int
    edition: int = 0
    declared: tuple[int, ...] = ()


class Link(ForDevice[Linked], tag=True, frozen=True, omit_defaults=True):
    """An id-sync file links ids to a device, which nobody has seen for it. `edition` as in `Sight`."""

    ids: tuple[DeclaredId, ...]
    at: int
    arriving: tuple[tuple[int, str], ...] = ()
    edition: int = 0


Command = (
    Sight
    | Onboard
    | Join
    | Link
    | Unlink
    | Adopt
    | Forget
    | Withdraw
    | Readmit
    | Scrub
    | Erase
    | Replay
    | Sweep
    | Backfill
    | CountMembers
    | BeginBatch
    | RecordDeliveries
)

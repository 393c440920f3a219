"""A privacy request: what is asked, how far it has come, and what it proves when it has ended.

While it is open it has to know whom it is about. When it ends, only keyed hashes remain: enough to recognise
a UUID or an id that somebody names, and no more. A request about very many ids is reported: somebody should look.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from arke.domain.identity import IdKey
from arke.errors import StoreUnavailable
from arke.log import Throttled, get_logger
from arke.storage.ports.directory import StoredRequest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from arke.clock import Clock
    from arke.storage.ports.directory import Requests

LARGE_REQUEST_IDS = 20
"""A request that would suppress more ids than this is reported: few people have so many."""

Action = Literal["delete", "opt_out"]
State = Literal["open", "telling", "erasing", "done"]


class Asked(msgspec.Struct, frozen=True):
    """What somebody asks: an action on devices (`uuids`) and on whoever the ids belong to. `public`: it came
    through the public door and showed no token, so it may be anybody's word.
    """

    action: Action
    uuids: tuple[str, ...] = ()
    ids: tuple[IdKey, ...] = ()
    public: bool = False


class Subject(msgspec.Struct, frozen=True):
    """One device that a request is about, or (`ids`) only these ids of it. `settled`: it goes with another request,
    and what is proved of it is written down in this one.
    """

    uuid: str
    ids: tuple[IdKey, ...] = ()
    settled: bool = False


class Proof(msgspec.Struct, frozen=True):
    """A destination's acknowledgement: the id (keyed hash) is out of everything there. `message` and `answer`
    are of the last message that the id was in, `at` when it was sent (epoch seconds).
    """

    destination: int
    dpid: int
    id: str
    message: str
    at: int
    answer: str


class Missing(msgspec.Struct, frozen=True):
    """What a destination has not acknowledged: how many ids, and what was answered last, if anything."""

    destination: int
    ids: int
    reason: str


class Everybodys(msgspec.Struct, frozen=True):
    """An id that is nobody's own: it is a placeholder (`devices` 0), or so many devices shared it on one day. It is
    named in full, for nothing can be done about it otherwise.
    """

    dpid: int
    id: str
    devices: int = 0


class PrivacyRequest(msgspec.Struct):
    """`names` are keyed hashes of what was asked for; `devices` and `people` how many were known by that, `nobody`
    that nobody was when it was asked; `untold` what could not be told, and why. `suppressed` are how many ids are
    never to be taken again for it, `spared` how many are free because they had come from other devices, and
    `everybodys` those that are free because they are nobody's own. `lifted` is when that was taken back. `edition`
    is one of the suppression list in which all this is on it, 0 where there is one engine. `number`, `at` and
    `done` (epoch seconds, 0 while open) come from the row it is stored in.
    """

    action: Action
    names: list[str]
    state: State = "open"
    uuids: list[str] = []
    ids: list[IdKey] = []
    subjects: list[Subject] = []
    proofs: list[Proof] = []
    untold: list[Missing] = []
    devices: int = 0
    people: int = 0
    public: bool = False
    suppressed: int = 0
    spared: int = 0
    everybodys: list[Everybodys] = []
    nobody: bool = False
    lifted: int = 0
    edition: int = 0
    number: int = 0
    at: int = 0
    done: int = 0

    @property
    def large(self) -> bool:
        """Whether it is about so many ids that somebody should look."""
        return self.suppressed + self.spared > LARGE_REQUEST_IDS

    @property
    def whole(self) -> list[Subject]:
        """The devices that it is about as a whole."""
        return [subject for subject in self.subjects if not subject.ids]

    @property
    def remaining(self) -> list[Subject]:
        """Those of whom the ledger tells how far destinations are."""
        return [subject for subject in self.subjects if not subject.settled]

    def add(self, proofs: Iterable[Proof], untold: Iterable[Missing] = ()) -> None:
        """Further proofs, each once, and further ids that cannot be told."""
        self.proofs += [proof for proof in proofs if proof not in self.proofs]
        self.untold += untold

    def ended(self) -> PrivacyRequest:
        """What may be kept of it."""
        return msgspec.structs.replace(self, state="done", uuids=[], ids=[], subjects=[])


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(PrivacyRequest).decode


def encode_request(request: PrivacyRequest) -> bytes:
    return _encode(request)


def decode_request(row: StoredRequest) -> PrivacyRequest:
    request = _decode(row.body)
    request.number, request.at, request.done = row.number, row.at, row.done
    return request


async def load_requests(stored: Requests, numbers: Sequence[int]) -> list[PrivacyRequest]:
    """Raises StoreUnavailable also where one is not there."""
    found = await stored.get(numbers)
    if missing := [number for number in numbers if number not in found]:
        raise StoreUnavailable(f"privacy request {missing[0]} is not in the directory")
    return [decode_request(found[number]) for number in numbers]


async def save_requests(stored: Requests, requests: Sequence[PrivacyRequest]) -> None:
    """Raises StoreUnavailable."""
    await stored.save({request.number: encode_request(request) for request in requests})


class LargeRequests:
    """Counts them since the start and tells the log: at most a line a minute, whoever sends them."""

    def __init__(self, clock: Clock) -> None:
        self.count = 0
        self._log = Throttled(get_logger("privacy"), "privacy_request_large", clock)

    def note(self, requests: Sequence[PrivacyRequest]) -> None:
        """These have been found to be about more than LARGE_REQUEST_IDS ids each."""
        self.count += len(requests)
        for request in requests:
            self._log(request=request.number, suppressed=request.suppressed, spared=request.spared)

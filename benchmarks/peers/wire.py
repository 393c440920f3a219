"""What driver, load generator, destination and contenders say to each other."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

import msgspec

KEY: Final = "peers-benchmark-key"
"""Signs every message."""
MESSAGE: Final = (
    (
        '{"User_DPID":"12345","Client_ID":"74323","AAM_Destination_Id":"423","User_count":"1",'
        '"Users":[{"DataPartner_UUID":"'
    ),
    '","Segments":[{"Segment_ID":"14356","Status":"1"}]}]}',
)
"""Of one user, before and after the id, for contenders that pass on what they are given."""


class Signature(msgspec.Struct, frozen=True):
    """How a contender signs: the HMAC of the body under `KEY`, in this header, after `prefix`."""

    header: str
    algorithm: str = "sha1"
    encoding: Literal["base64", "hex"] = "base64"
    prefix: str = ""


class Sink(msgspec.Struct, frozen=True):
    """The destination, as a contender sees it."""

    port: int
    ca_file: Path

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}/segments/aam"


class Posting(msgspec.Struct, frozen=True):
    """Where and how events are posted on 127.0.0.1. An event is the user's id between the two parts of `event`;
    more of them in a POST are joined by `between`, where `bulk` says that a POST takes more than one. A 2xx has
    taken them if `proof` is in the answer.
    """

    port: int
    path: str
    event: tuple[str, str]
    headers: dict[str, str] = {}
    between: str = "\n"
    bulk: bool = True
    proof: str = ""


class SinkJob(msgspec.Struct, frozen=True):
    """Where its certificate goes, and how messages are signed."""

    directory: str
    signature: Signature


class Listening(msgspec.Struct, frozen=True):
    """Where the destination is."""

    port: int


class Ask(msgspec.Struct, frozen=True):
    """Of the destination: `begin` to count users from the number `first` on, whom it has `seen`, the same with
    `latencies`, `close` its door, `open` it.
    """

    do: Literal["begin", "seen", "latencies", "close", "open"]
    first: int = 0


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """Since `begin`. `twice` counts every arrival of a user after the first one. Times are of the monotonic clock,
    in ns, 0 where there is none; latencies are those from due to arrived.
    """

    users: int = 0
    twice: int = 0
    requests: int = 0
    unsigned: int = 0
    connections: int = 0
    at_ns: int = 0
    first_ns: int = 0
    newest_ns: int = 0
    p50_ms: float = 0.0
    p99_ms: float = 0.0


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """Post events about new users, numbered from `first` on: for `seconds` as fast as `connections` take them one
    after another; `events` of them likewise, but give up after `seconds`; or `rate` a second for `seconds`, each
    when it is due.
    """

    posting: Posting
    first: int
    seconds: float
    connections: int = 1
    events_a_post: int = 1
    events: int = 0
    rate: float = 0.0


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """`refused` POSTs were sent again after a pause; so were those on connections that `broke`. The answer's time
    is from sending to the whole answer; `late_ms` is how late the latest event was sent, of those that had a time.
    """

    began_ns: int
    accepted: int
    refused: int = 0
    broke: int = 0
    answer_p50_ms: float = 0.0
    late_ms: float = 0.0
    reason: str = ""


def share_of(values: list[int], share: float) -> float:
    """In ms, of values in ns; 0 of none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] / 1e6

"""Messages of a destination to look at: what is asked for one, and how it is shown. No secret is in them."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec


class HeaderField(msgspec.Struct, frozen=True):
    """A header field; `(hidden)` stands for a value that is a secret."""

    name: str
    value: str


class RequestShown(msgspec.Struct, frozen=True):
    """A request as it goes over the wire: `head` to the empty line, then `body`, of so many `bytes`. It speaks of
    `users` by ids of one `data_source`.
    """

    method: str
    url: str
    headers: list[HeaderField]
    head: str
    body: str
    bytes: int
    users: int
    data_source: int


class AnswerShown(msgspec.Struct, frozen=True):
    """What came back: `code` is what the ledger would have of it, `detail` says it in words where there is no
    `status`. Of the `body` the first 2 KB; `cut`: there is more. `peer` is the address that answered.
    """

    code: str
    status: int | None
    detail: str
    headers: list[HeaderField]
    body: str
    cut: bool
    peer: str
    sloppy: bool


Occasion = Literal["realtime", "batch", "resync"]


class PreviewAsk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """About whom: exactly one of `uuid` and `id` (`DPID:ID`). `catalog`: the text of one that is being edited;
    None: the one in force. `occasion`: what sets the message off; None: real time, or the batch where the
    destination takes no other.
    """

    uuid: str | None = None
    id: str | None = None
    catalog: str | None = None
    occasion: Occasion | None = None


class Previewed(msgspec.Struct, frozen=True):
    """A message that would be sent, or the `problem` why it would not be."""

    request: RequestShown
    problem: str | None = None


class Preview(msgspec.Struct, frozen=True):
    """What one destination would be told about one person. `state` and `why` as `explain` has them; no messages:
    there is nothing to tell. `edited`: under a catalog that is not in force. `changes`: segments in which the
    person's membership would be another under it, by id.
    """

    destination: int
    known: bool
    edited: bool
    occasion: Occasion
    state: str
    why: str
    messages: list[Previewed]
    changes: dict[int, int] = {}


class TrialAsk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`status` is that of the made-up user in the first mapped segment: 0, so that the message leaves nothing
    behind; or 1. None: 0, but 1 where the destination takes no 0.
    """

    status: Annotated[Literal[0, 1] | None, msgspec.Meta(examples=[1])] = None


class Timings(msgspec.Struct, frozen=True):
    """How long it took, in milliseconds: to look the name up and connect (with TLS), to fetch a token, and from the
    request to the end of the answer. None: it did not come to that.
    """

    connect: float | None
    token: float | None
    answer: float | None


class TrialReport(msgspec.Struct, frozen=True):
    """What was sent and what came of it. `acknowledged`: the destination would have it as delivered. `problem` says
    why nothing could be sent; `answer` None: nothing came back, or nothing was sent.
    """

    destination: int
    at: str
    message: str
    user: str
    acknowledged: bool
    request: RequestShown | None
    answer: AnswerShown | None
    timings: Timings
    problem: str | None = None

"""The newest refusals of each destination, so that an operator sees what it had to say.

They are kept in memory only, a few of each destination and for a week at most: what a partner answers may hold ids
of people, and what is written down would have to be found by a request for deletion. So a restart forgets them.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, quote_plus

import msgspec

from arke.delivery.token_response import plain_body
from arke.domain.time import utc_text
from arke.log import Throttled, get_logger

if TYPE_CHECKING:
    from collections.abc import Iterable

    from arke.clock import Clock
    from arke.delivery.https.ports import Answer

KEPT: Final = 20
"""Refusals of one destination."""
MAX_DESTINATIONS: Final = 200
"""Destinations whose refusals a shard keeps: those refused last."""
KEPT_S: Final = 7 * 86_400
BODY_SHOWN_BYTES: Final = 2_048
TEXT_SHOWN_CHARS: Final = 500
HIDDEN: Final = "(hidden)"
_MOST_UNPACKED_BYTES = 65_536

log = get_logger("delivery")


class OAuthRefusal(msgspec.Struct, frozen=True):
    """What the token server said: its status, and `error` and `error_description` of RFC 6749, escaped and cut."""

    status: int
    error: str = ""
    error_description: str = ""


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """A message that a destination did not acknowledge, and the answer to the last attempt at it.

    `answer` is what the ledger has of it: a status, or the name of what failed, which `detail` says in words.
    `status` and `body` are what the destination, or the token server (`oauth`), answered; the body's first 2 KB,
    control characters escaped and our own secrets hidden. `times` of the same kind came in a row, the first at
    `first_at`.
    """

    destination: int
    at: str
    message: str
    kind: str
    users: int
    attempts: int
    answer: str
    detail: str = ""
    status: int | None = None
    body: str = ""
    cut: bool = False
    oauth: OAuthRefusal | None = None
    times: int = 1
    first_at: str = ""


class Refusals:
    """The refusals that a shard's channels met. With a clock each destination's are logged, a line a minute."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock
        self._kept: OrderedDict[int, deque[Refused]] = OrderedDict()
        self._says: dict[int, Throttled] = {}

    def of(self, destination: int | None, now: float) -> list[Refused]:
        """One destination's, or all, newest first."""
        self._forget(now)
        found = (
            self._kept.items() if destination is None else [(destination, self._kept.get(destination, ()))]
        )
        return newest_first(one for _, kept in found for one in reversed(kept))

    def newest(self, now: float) -> dict[int, Refused]:
        """The last of each destination."""
        self._forget(now)
        return {destination: kept[-1] for destination, kept in self._kept.items()}

    def add(self, refused: Refused, now: float) -> None:
        """Keep a refusal. One that says the same as the one before takes its place."""
        self._forget(now)
        kept = self._kept.setdefault(refused.destination, deque(maxlen=KEPT))
        self._kept.move_to_end(refused.destination)
        if kept and _said(kept[-1]) == _said(refused):
            before = kept.pop()
            refused = msgspec.structs.replace(
                refused, times=before.times + 1, first_at=before.first_at or before.at
            )
        kept.append(refused)
        if len(self._kept) > MAX_DESTINATIONS:
            gone, _ = self._kept.popitem(last=False)
            self._says.pop(gone, None)
        self._say(refused)

    def _forget(self, now: float) -> None:
        oldest = utc_text(max(0, int(now) - KEPT_S))
        for destination in [*self._kept]:
            kept = self._kept[destination]
            while kept and kept[0].at < oldest:
                kept.popleft()
            if not kept:
                del self._kept[destination]

    def _say(self, refused: Refused) -> None:
        if self._clock is None:
            return
        say = self._says.get(refused.destination)
        if say is None:
            say = self._says[refused.destination] = Throttled(log, "delivery_refused", self._clock)
        say(destination=refused.destination, answer=refused.answer, users=refused.users)


def newest_first(refused: Iterable[Refused]) -> list[Refused]:
    """Of one second those first that come first."""
    return sorted(refused, key=lambda one: one.at, reverse=True)


def _said(refused: Refused) -> tuple[object, ...]:
    return refused.answer, refused.detail, refused.body, refused.oauth


def refused_by(
    answer: Answer,
    secrets: Iterable[str],
    *,
    destination: int,
    message: str,
    kind: str,
    users: int,
    attempts: int,
    at: float,
) -> Refused:
    """What is kept of a failed delivery. `secrets` are those that went out with it: none is shown."""
    hidden = _hidden(secrets)
    body, cut = _shown_body(answer, hidden)
    told = answer.token_refusal
    oauth = None
    if told is not None:
        oauth = OAuthRefusal(told.status, _shown(told.error, hidden), _shown(told.description, hidden))
    return Refused(
        destination=destination,
        at=utc_text(int(at)),
        message=message,
        kind=kind,
        users=users,
        attempts=attempts,
        answer=answer.code,
        detail=_shown(answer.detail, hidden),
        status=answer.status,
        body=body,
        cut=cut,
        oauth=oauth,
    )


def masked(text: str, secrets: Iterable[str]) -> str:
    """The text without these secrets, in whatever form it has them."""
    return _without(text, _hidden(secrets))


def shown_body(answer: Answer, secrets: Iterable[str]) -> tuple[str, bool]:
    """The body of an answer for people, without these secrets; and whether there is more of it."""
    return _shown_body(answer, _hidden(secrets))


def _shown_body(answer: Answer, hidden: re.Pattern[str] | None) -> tuple[str, bool]:
    raw = plain_body(answer.body, _MOST_UNPACKED_BYTES)
    if raw is None:
        return "(compressed, and not to be read)", False
    text = _without(raw.decode(errors="backslashreplace"), hidden)
    shown = text.encode()[:BODY_SHOWN_BYTES].decode(errors="ignore")
    return escaped(shown), answer.truncated or len(shown) < len(text)


def _shown(text: str, hidden: re.Pattern[str] | None) -> str:
    return escaped(_without(text, hidden)[:TEXT_SHOWN_CHARS])


def escaped(text: str) -> str:
    """The text on one line, with nothing in it that a terminal or a log would act on."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode()
        for char in text
    )


def _without(text: str, hidden: re.Pattern[str] | None) -> str:
    return text if hidden is None else hidden.sub(HIDDEN, text)


def _hidden(secrets: Iterable[str]) -> re.Pattern[str] | None:
    """Matches the secrets, in every form in which a server may give them back: longest first."""
    forms = {form for secret in secrets if secret for form in _forms(secret)}
    if not forms:
        return None
    return re.compile("|".join(re.escape(form) for form in sorted(forms, key=lambda one: (-len(one), one))))


def _forms(secret: str) -> Iterable[str]:
    yield secret
    yield quote(secret, safe="")
    yield quote_plus(secret)
    yield msgspec.json.encode(secret).decode()[1:-1]
    scheme, blank, rest = secret.partition(" ")
    if blank and rest and scheme.isalnum():  # the value of an Authorization header
        yield from _forms(rest)
    if scheme == "Basic" and rest:
        try:
            pair = base64.b64decode(rest, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            return
        yield pair
        if pair.partition(":")[2]:
            yield pair.partition(":")[2]

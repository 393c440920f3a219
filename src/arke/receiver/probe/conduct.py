"""What an endpoint does with the things that happen in the field. These checks describe it: none of them fails.

All of it is test traffic like the rest: made-up users, a bounded number of messages, taken back at the end.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple, get_args

from arke.domain.catalog import HttpMethod
from arke.receiver.probe.client import Exchange, Unanswered

if TYPE_CHECKING:
    from arke.receiver.probe.report import Outcome
    from arke.receiver.probe.session import ProbeSession

BURST: Final = 20
BURST_CONNECTIONS: Final = 4
GARBAGE: Final = "arke probe <no id> %00 \u00fc"
TOKEN_AGE_S: Final = 1.2
"""How old a token is to be when it is tried once more."""


class Manner(NamedTuple):
    """How far these checks go: the messages of the burst, the id of the poisoned user, the idle time to try."""

    burst: int = BURST
    poison: str = GARBAGE
    idle_s: float = 0.0


async def check_variants(session: ProbeSession, manner: Manner) -> None:
    """Another content type, other methods, and a user whom the endpoint may refuse."""
    await _check_charset(session)
    await _check_methods(session)
    await _check_poison(session, manner.poison)


async def check_load(session: ProbeSession, manner: Manner) -> None:
    """Many at once, tokens and connections over time, and what was noticed of all answers."""
    await _check_burst(session, manner.burst)
    await _check_token_life(session)
    await _check_connection_life(session, manner.idle_s)
    _check_well_formed(session)


async def _check_charset(session: ProbeSession) -> None:
    if session.target.content_type != "application/json":
        session.record("charset", "skip", f"messages are {session.target.content_type}")
        return
    content_type = "application/json; charset=utf-8"
    answer = await _tried(session, session.messages.body(), content_type=content_type)
    if isinstance(answer, Exchange) and session.accepted(answer):
        session.record("charset", "pass", f"answered {answer.status}", status=answer.status)
    else:
        session.record("charset", "warn", f"{_said(answer)}: leave content_type as it is")


async def _check_methods(session: ProbeSession) -> None:
    said = {}
    for method in get_args(HttpMethod):
        if method != session.target.method:
            answer = await _tried(session, session.messages.body(), method=method)
            said[method] = answer.status if isinstance(answer, Exchange) else str(answer)
    text = ", ".join(f"{method} {status}" for method, status in said.items())
    session.record("other_methods", "pass", f"{text}; messages go by {session.target.method}", answers=said)


async def _check_poison(session: ProbeSession, poison: str) -> None:
    messages = session.messages
    bad = messages.user(partner_id=poison)
    good = messages.users[1:3]
    answer = await _tried(session, messages.body([good[0], bad, good[1]]))
    if isinstance(answer, Exchange) and session.accepted(answer):
        session.record("poisoned_user", "pass", f"answered {answer.status}: taken", status=answer.status)
        return
    await _tried(session, messages.forget(bad))  # if it was stored after all; whatever is answered
    without = await _tried(session, messages.body(good))
    taken = isinstance(without, Exchange) and session.accepted(without)
    text = f"{_said(answer)}; the others alone: {_said(without)}"
    if not isinstance(answer, Exchange) or not 400 <= answer.status < 500:
        text += ". 400 or 422 would say that the message is at fault, and not the endpoint"
    elif taken:
        text += ". Senders find the one user by halves, in at most two attempts each"
    status = answer.status if isinstance(answer, Exchange) else None
    session.record("poisoned_user", "warn", text, status=status, others_taken=taken)


async def _check_burst(session: ProbeSession, count: int) -> None:
    if not count:
        session.record("burst", "skip", "no burst was asked for")
        return
    body = session.messages.body()
    share, more = divmod(count, BURST_CONNECTIONS)
    sizes = [share + (number < more) for number in range(BURST_CONNECTIONS)]
    parts = await asyncio.gather(*(_burst(session, body, size) for size in sizes if size))
    answers = [answer for part in parts for answer in part]
    statuses = Counter(_short(answer) for answer in answers)
    text = ", ".join(f"{number} answered {status}" for status, number in sorted(statuses.items()))
    text = f"{count} messages over {len(parts)} connections: {text}"
    throttled = [one for one in answers if isinstance(one, Exchange) and one.status in {429, 503}]
    retry_after = next((one.retry_after for one in throttled if one.retry_after), None)
    outcome: Outcome = "pass"
    if any(isinstance(one, Unanswered) for one in answers):
        outcome = "warn"
        text += "; senders take this for an outage: 429 with Retry-After would slow them down"
    elif throttled and retry_after is not None:
        text = f"{text}, Retry-After {retry_after}: senders wait for that long, and lose nothing"
    elif throttled:
        outcome, text = "warn", f"{text} without Retry-After: senders do not know for how long to wait"
    elif not all(isinstance(one, Exchange) and session.accepted(one) for one in answers):
        outcome = "warn"
    facts = {"answers": dict(statuses), "retry_after": retry_after}
    session.record("burst", outcome, text, **facts)
    if throttled:
        await session.wait(throttled[-1])


async def _burst(session: ProbeSession, body: bytes, count: int) -> list[Exchange | Unanswered]:
    """A row of messages on a connection of its own."""
    client = session.another_client()
    answers: list[Exchange | Unanswered] = []
    try:
        for _ in range(count):
            try:
                answers.append(await session.send_once(body, client=client))
            except Unanswered as error:
                answers.append(error)
    finally:
        await client.close()
    return answers


async def _check_token_life(session: ProbeSession) -> None:
    first = session.token
    if first is None:
        session.record("token_life", "skip", "no token endpoint was given")
        return
    await asyncio.sleep(max(0.0, first.fetched_at + TOKEN_AGE_S - time.monotonic()))
    answer = await _tried(session, session.messages.body())
    if session.stale:
        age_s, status = session.stale[0]
        told = "nothing" if first.expires_in is None else f"expires_in {first.expires_in}"
        text = f"refused with {status} after {age_s:.1f} s, though it had worked and {told} was said"
        session.record(
            "token_life", "warn", f"{text}; senders fetch a new one", refused_with=status, age_s=age_s
        )
        return
    try:
        await session.fetch_token()
    except Unanswered as error:
        session.record("token_life", "warn", f"a second token was not issued: {error}")
        return
    old = await _tried(session, session.messages.body(), token=first.text)
    if isinstance(old, Exchange) and session.accepted(old):
        text = f"after {TOKEN_AGE_S} s {_said(answer)}; a second token does not end the first"
        session.record("token_life", "pass", text, second_ends_first=False)
    else:
        text = f"a second token ends the first ({_said(old)}); several senders would end each other's"
        session.record("token_life", "warn", text, second_ends_first=True)


async def _check_connection_life(session: ProbeSession, idle_s: float) -> None:
    exchange = await _tried(session, session.messages.body())
    told = exchange.keep_alive if isinstance(exchange, Exchange) else None
    text = f"one carried {session.client.most_carried} messages; "
    text += "no Keep-Alive header says for how long" if told is None else f"Keep-Alive: {told}"
    outcome: Outcome = "pass"
    kept = None
    if idle_s and session.client.is_connected:
        await asyncio.sleep(idle_s)
        after = await _tried(session, session.messages.body())
        kept = isinstance(after, Exchange) and not after.new_connection
        text += f"; after {idle_s:g} s without a message it was {'still there' if kept else 'gone'}"
        if not kept and told is None:
            outcome, text = "warn", f"{text}: a Keep-Alive header with the time would spare senders that loss"
    facts = {"carried": session.client.most_carried, "keep_alive": told, "kept_while_idle": kept}
    session.record("connection_life", outcome, text, **facts)


def _check_well_formed(session: ProbeSession) -> None:
    if not session.sloppy:
        session.record("well_formed", "pass", f"{session.answered} answers")
        return
    said = ", ".join(dict.fromkeys(session.sloppy))
    text = f"{len(session.sloppy)} of {session.answered} answers are not ({said}); they count by their status"
    session.record(
        "well_formed", "warn", f"{text}, and each costs its connection", sloppy=len(session.sloppy)
    )


async def _tried(
    session: ProbeSession,
    body: bytes,
    *,
    token: str = "",
    content_type: str | None = None,
    method: HttpMethod | None = None,
) -> Exchange | Unanswered:
    try:
        if token or content_type or method:
            exchange = await session.send_once(body, token=token, content_type=content_type, method=method)
            if exchange.status == 429 and await session.wait(exchange):
                return await session.send_once(body, token=token, content_type=content_type, method=method)
            return exchange
        return await session.send(body)
    except Unanswered as error:
        return error


def _said(answer: Exchange | Unanswered) -> str:
    return f"answered {answer.status}" if isinstance(answer, Exchange) else str(answer)


def _short(answer: Exchange | Unanswered) -> str:
    return str(answer.status) if isinstance(answer, Exchange) else "nothing"

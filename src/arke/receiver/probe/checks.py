"""The probe's checks in the order they run: plain message, variants, refusals, latency, taking back."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from arke.delivery.https.dialer import MAX_ADDRESSES_TRIED
from arke.receiver.probe.client import PASSED_BY_S, Exchange, Unanswered

if TYPE_CHECKING:
    from arke.receiver.probe.report import Outcome
    from arke.receiver.probe.session import ProbeSession

TIME_LIMIT_MS: Final = 3_000.0
_SLOW_MS: Final = 1_000.0
_CERTIFICATE_WARNING_DAYS: Final = 14.0
_REFUSALS: Final = frozenset({401, 403})


async def check_plain(session: ProbeSession) -> bool:
    """Addresses, TLS, token and the plain message; false when there is no sense in going on."""
    steps = (_check_addresses, _check_tls, _check_token)
    for step in steps:
        if not await step(session):
            return False
    try:
        exchange = await session.send(session.messages.body())
    except Unanswered as error:
        session.record("answers_200", "fail", str(error))
        await _take_back_unseen(session)
        return False
    if not session.accepted(exchange):
        session.record("answers_200", "fail", refusal(session, exchange))
        return False
    session.record("answers_200", "pass", f"answered {exchange.status}")
    in_time = _check_time(session, exchange)
    _check_size(session, exchange)
    await _check_keep_alive(session, exchange)
    if not in_time:
        await _take_back_unseen(session)
    return in_time


async def check_formats(session: ProbeSession) -> None:
    """Variants of the message that senders really send."""
    messages = session.messages
    zeros = messages.user(aam_uuid="00" + messages.users[0].aam_uuid[2:])
    await _check_accepted(session, "numbers_as_strings", messages.body([zeros]))
    await _check_accepted(session, "ten_users", messages.body(messages.users))
    await _check_accepted(session, "regions_absent", messages.body(regions=False))
    await _check_accepted(
        session, "free_text_segment", messages.body(segment_id="arke probe: free text"), otherwise="warn"
    )
    if session.target.user_dpid in {0, 20914, 20915}:
        session.record("pipe_id", "skip", "ids of this User_DPID have a fixed form without a pipe")
    else:
        pipe = messages.user(partner_id=f"{messages.users[0].partner_id}|part-two")
        await _check_accepted(session, "pipe_id", messages.body([pipe]), otherwise="warn")
    long = messages.user(aam_uuid="05782" + messages.users[0].aam_uuid)
    await _check_accepted(session, "long_uuid", messages.body([long]), otherwise="warn")
    await _check_accepted(session, "unknown_segment", messages.body(segment_id="999999999"))
    body = messages.body()
    await _check_accepted(session, "repeat", body, body)


async def check_refusals(session: ProbeSession) -> None:
    """Messages without a valid signature or token must be refused."""
    body = session.messages.body()
    if session.signs:
        wrong = session.signatures(body, wrong=True)
        await _check_refused(session, "wrong_signature", body, signatures=wrong)
        await _check_refused(session, "missing_signature", body, signatures=[])
    else:
        for name in ("wrong_signature", "missing_signature"):
            session.record(name, "skip", "no key was given, so messages are not signed")
    if session.target.token_endpoint is not None:
        await _check_refused(session, "wrong_token", body, token="arke-probe-wrong-token")  # noqa: S106
        await _check_refused(session, "missing_token", body, token=None)
    else:
        for name in ("wrong_token", "missing_token"):
            session.record(name, "skip", "no token endpoint was given")


async def check_latency(session: ProbeSession, *, requests: int) -> None:
    """The plain message many times in a row on a kept connection."""
    took_ms: list[float] = []
    body = session.messages.body()
    for number in range(1, requests + 1):
        try:
            exchange = await session.send(body)
        except Unanswered as error:
            session.record("latency", "fail", f"message {number} of {requests}: {error}")
            return
        if not session.accepted(exchange):
            session.record("latency", "fail", f"message {number} of {requests}: {refusal(session, exchange)}")
            return
        took_ms.append(exchange.elapsed_ms)
    took_ms.sort()
    figures = ", ".join(f"p{share} {percentile(took_ms, share):.1f}" for share in (50, 95, 99))
    text = f"{requests} messages: {figures}, slowest {took_ms[-1]:.1f} ms"
    outcome: Outcome = "pass"
    if took_ms[-1] > TIME_LIMIT_MS:
        outcome, text = "fail", f"{text}; senders give up after {TIME_LIMIT_MS:.0f} ms"
    elif percentile(took_ms, 99) > _SLOW_MS:
        outcome, text = "warn", f"{text}; close to the {TIME_LIMIT_MS:.0f} ms after which senders give up"
    session.record("latency", outcome, text)


async def check_take_back(session: ProbeSession) -> None:
    """Status 0 for everything told, so that the made-up users leave nothing behind."""
    await _check_accepted(session, "status_0", *session.messages.take_back())


async def _take_back_unseen(session: ProbeSession) -> None:
    """The same where no check follows: what was told may be stored, whatever came of the answer."""
    for body in session.messages.take_back():
        with suppress(Unanswered):
            await session.send_once(body)


def percentile(ascending: list[float], share: int) -> float:
    """The smallest value that at least `share` percent of the values do not exceed."""
    return ascending[max(0, -(-len(ascending) * share // 100) - 1)]


async def _check_addresses(session: ProbeSession) -> bool:
    client = session.client
    if session.target.proxy:
        session.record("addresses", "skip", "the proxy looks the name up")
        return True
    try:
        allowed, forbidden = await client.addresses()
    except Unanswered as error:
        session.record("addresses", "fail", str(error))
        return False
    silent = []
    for address in allowed[:MAX_ADDRESSES_TRIED] if len(allowed) > 1 else ():
        try:
            (await client.dial(address, PASSED_BY_S)).close()
        except Unanswered:
            silent.append(address)
    v6 = sum(":" in address for address in allowed)
    text = f"{len(allowed)}: {len(allowed) - v6} IPv4, {v6} IPv6"
    if silent:
        text += f"; no connection to {', '.join(silent)}: each costs senders up to 250 ms"
    if forbidden:
        text += f"; left out, as nobody outside can reach them: {', '.join(forbidden)}"
    outcome: Outcome = "warn" if silent or forbidden else "pass"
    session.record("addresses", outcome, text, addresses=allowed, silent=silent, forbidden=forbidden)
    return True


async def _check_tls(session: ProbeSession) -> bool:
    try:
        shown = await session.client.connect()
    except Unanswered as error:
        session.record("tls", "fail", f"{error.stage}: {error}")
        return False
    took = f"connect {shown.connect_ms:.1f} ms, TLS {shown.tls_ms:.1f} ms"
    text = f"{shown.tls_version} with {shown.address}, {took}"
    if shown.days_left is not None and shown.days_left < _CERTIFICATE_WARNING_DAYS:
        session.record("tls", "warn", f"{text}; the certificate expires in {shown.days_left:.1f} days")
    else:
        session.record("tls", "pass", text)
    # The plain message shall be timed with its connection, as senders count it.
    await session.client.close()
    return True


async def _check_token(session: ProbeSession) -> bool:
    if session.target.token_endpoint is None:
        session.record("token", "skip", "no token endpoint was given")
        return True
    try:
        token = await session.fetch_token()
    except Unanswered as error:
        session.record("token", "fail", str(error))
        return False
    expires_in = None if token is None else token.expires_in
    told = "no expires_in: senders ask for another after an hour, or after a 401 or 403"
    if expires_in is not None:
        told = f"expires_in {expires_in}"
    session.record("token", "pass", f"a bearer token was issued; {told}", expires_in=expires_in)
    return True


def _check_time(session: ProbeSession, exchange: Exchange) -> bool:
    text = f"{exchange.elapsed_ms:.0f} ms from connecting to the end of the answer"
    in_time = exchange.elapsed_ms <= TIME_LIMIT_MS
    if not in_time:
        text = f"{text}; senders give up after {TIME_LIMIT_MS:.0f} ms. Store the message, answer, work later"
    session.record("in_time", "pass" if in_time else "fail", text)
    return in_time


def _check_size(session: ProbeSession, exchange: Exchange) -> None:
    if exchange.body_exceeded:
        text = "the body goes beyond 4 KB; senders stop reading there and close. Answer with a short body"
        session.record("small_response", "fail", text)
    else:
        session.record("small_response", "pass", f"{len(exchange.body)} bytes")


async def _check_keep_alive(session: ProbeSession, first: Exchange) -> None:
    if first.sloppy:
        text = f"senders close it after each answer that is not well-formed ({first.sloppy})"
        session.record("keep_alive", "warn", text)
        return
    if not first.stays_open:
        text = "the connection was closed after one answer; a new one costs as much as about 50 messages"
        session.record("keep_alive", "warn", text)
        return
    try:
        second = await session.send(session.messages.body())
    except Unanswered as error:
        session.record("keep_alive", "fail", f"the second message on the connection: {error}")
        return
    if second.new_connection:
        text = "the connection was promised to stay open, but was closed; senders lose a message to that"
        session.record("keep_alive", "fail", text)
    elif not session.accepted(second):
        session.record("keep_alive", "fail", f"the second message: {refusal(session, second)}")
    else:
        session.record("keep_alive", "pass", f"the second message took {second.elapsed_ms:.1f} ms")


async def _check_accepted(
    session: ProbeSession, name: str, *bodies: bytes, otherwise: Outcome = "fail"
) -> None:
    statuses: list[str] = []
    for body in bodies:
        try:
            exchange = await session.send(body)
        except Unanswered as error:
            session.record(name, otherwise, str(error))
            return
        if not session.accepted(exchange):
            session.record(name, otherwise, refusal(session, exchange))
            return
        statuses.append(str(exchange.status))
    session.record(name, "pass", f"answered {', '.join(statuses)}")


async def _check_refused(
    session: ProbeSession,
    name: str,
    body: bytes,
    *,
    token: str | None = "",
    signatures: list[tuple[str, str]] | None = None,
) -> None:
    try:
        exchange = await session.send(body, token=token, signatures=signatures)
    except Unanswered as error:
        session.record(name, "warn", f"not taken, but not refused in order either: {error}")
        return
    if exchange.status in _REFUSALS:
        session.record(name, "pass", f"refused with {exchange.status}")
    elif session.accepted(exchange) or 200 <= exchange.status < 300:
        text = f"answered {exchange.status}: anybody could change your audiences. Answer 401 or 403"
        session.record(name, "fail", text)
    else:
        session.record(name, "warn", f"answered {exchange.status}; 401 or 403 would tell why")


def refusal(session: ProbeSession, exchange: Exchange) -> str:
    expected = " or ".join(str(status) for status in session.target.success)
    text = f"answered {exchange.status} instead of {expected}"
    if 300 <= exchange.status < 400:
        where = f" (to {exchange.location})" if exchange.location else ""
        return f"{text}: redirects{where} are not followed; give the final URL"
    if 200 <= exchange.status < 300:
        return f"{text}: only {expected} counts as success, this one is sent again"
    return text

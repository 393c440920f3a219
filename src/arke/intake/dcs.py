"""From the parameters of a DCS request to an event: pure, no HTTP, no I/O (dossier 13 and 14).

A request is either *dropped* (nothing is stored; `event` is None and `errors` say why) or becomes an event,
perhaps with warnings about parts that were left out.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import msgspec

from arke.domain.event import DeclaredId, IncomingEvent
from arke.domain.ids import ECID_DPID, NOBODYS, IdProblem, IdRules, is_uuid, parse_dpid
from arke.errors import EventError
from arke.intake import consent, declared_ids, query
from arke.intake import dcs_codes as codes
from arke.intake.event_ids import event_id
from arke.intake.settings import ConsentRules

if TYPE_CHECKING:
    from collections.abc import Mapping

    from arke.intake.dcs_codes import DcsError
    from arke.intake.ports import NameSpaces

NOT_A_TARGET: Final = "NOTARGET"
"""What the device cookies hold once their owner has opted out."""

MAX_SIGNALS: Final = 256
MAX_VALUES: Final = 256

HEADER_SIGNALS: Final = ("host", "user-agent", "accept-language", "referer", "referrer", "date")
"""Headers that rules can see, as `h_` keys. A parameter of the same name outranks the header, so that a
server calling for a visitor can pass the visitor's own."""

_IDENTITY_KEYS: Final = {
    "d_uuid",
    "d_mid",
    "d_orgid",
    "d_cid",
    "d_cid_ic",
    "d_dpid",
    "d_dpuuid",
    "dpid",
    "dpuuid",
}
_EVENT_KEYS: Final = {"d_event_id"}
_TRAIT_KEYS: Final = {"d_sid", "d_tdpid", "d_tdpid_ic"}
_ANSWER_KEYS: Final = {"d_rtbd", "d_cb", "d_dst", "d_jsonv", "d_cts", "d_nsid", "d_rd", "redir"}
_CONSENT_KEYS: Final = {"d_coppa", *consent.KEYS}
_RESERVED_KEYS: Final = {"d_dst_filter", "d_rs"}
PROTOCOL_KEYS: Final = (
    _IDENTITY_KEYS | _EVENT_KEYS | _TRAIT_KEYS | _ANSWER_KEYS | _CONSENT_KEYS | _RESERVED_KEYS
)
"""Keys that steer the request; every other key is a signal."""

_CALLBACK: Final = re.compile(r"[A-Za-z_$][\w$]*(?:\.[A-Za-z_$][\w$]*|\[[0-9]{1,6}\])*", re.ASCII)
_NO_ECID: Final = frozenset({IdProblem.MALFORMED, IdProblem.REPLACED, IdProblem.NOT_A_UUID})
_ORG: Final = re.compile(r"[0-9A-Za-z]{1,64}@AdobeOrg")
MAX_CALLBACK_CHARS: Final = 128


class Visitor(msgspec.Struct, frozen=True, kw_only=True):
    """What the HTTP headers say about who is asking. `cookie_uuid` is the device cookie, if it is a UUID. `gpc`:
    the browser sends Global Privacy Control.
    """

    headers: dict[str, str] = {}
    cookie_uuid: str | None = None
    opted_out: bool = False
    gpc: bool = False


class DcsRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request understood: what to store, and how its sender wants to be answered.

    `explicit_uuid` tells a UUID that was passed (d_uuid) from one that came by cookie. `withdrawn`, instead of an
    event, names whom a visitor's refusal to consent opts out. `unsure` are ids of an opt-out that can be none
    today, and may have been kept before.
    """

    event: IncomingEvent | None = None
    withdrawn: IncomingEvent | None = None
    unsure: tuple[DeclaredId, ...] = ()
    errors: tuple[DcsError, ...] = ()
    json: bool = False
    callback: str | None = None
    wants_dests: bool = False
    wants_memberships: bool = False
    explicit_uuid: bool = False
    use_cookies: bool = True
    gdpr: str = ""
    gdpr_consent: str = ""
    redirect: str | None = None
    organisation: str = ""


_UNDECODED: Final = ConsentRules()


def parse(
    raw: bytes,
    visitor: Visitor,
    known: NameSpaces,
    *,
    plus_is_space: bool = True,
    consent_rules: ConsentRules = _UNDECODED,
    opting_out: bool = False,
) -> DcsRequest:
    """Read a request's parameters. Never raises for what they contain.

    `opting_out` says that missing consent is no reason to refuse: an opt-out needs none.
    """
    try:
        grouped = _group(query.pairs(raw, plus_is_space=plus_is_space, plain_plus=_IDENTITY_KEYS))
    except EventError as wrong:
        # The whole request is disregarded; the wish for a JSON answer is still honoured where it is legible.
        wants_json = b"d_rtbd=json" in raw
        return DcsRequest(errors=(codes.invalid_parameters(wrong.message),), json=wants_json)
    answer = _answer_options(grouped)
    problem = _unanswerable(grouped, visitor)
    if problem is not None:
        return msgspec.structs.replace(answer, errors=(problem,))
    refusal = None if opting_out else consent.judge(grouped, consent_rules, gpc=visitor.gpc)
    ids = known.ids
    sought = opting_out or (refusal is not None and refusal.withdraws)
    problem = _misnamed(grouped, ids, sought=sought)
    if refusal is not None:
        known_by = refusal.withdraws and problem is None
        named = _withdrawn(_with_event(answer, grouped, visitor, ids, sought=True)) if known_by else None
        return msgspec.structs.replace(answer, errors=(refusal.error,), withdrawn=named)
    if problem is not None:
        return msgspec.structs.replace(answer, errors=(problem,))
    return _with_event(answer, grouped, visitor, ids, sought=opting_out)


def _withdrawn(request: DcsRequest) -> IncomingEvent | None:
    if not request.unsure:
        return request.event
    named = request.event or IncomingEvent()
    return msgspec.structs.replace(named, ids=(*named.ids, *request.unsure))


def _group(found: list[tuple[str, str]]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for key, value in found:
        grouped.setdefault(key, []).append(value)
    return grouped


def _first(grouped: Mapping[str, list[str]], key: str) -> str:
    values = grouped.get(key)
    return values[0] if values else ""


def _answer_options(grouped: Mapping[str, list[str]]) -> DcsRequest:
    return DcsRequest(
        json=_first(grouped, "d_rtbd") == "json",
        callback=_safe_callback(grouped),
        wants_dests=_first(grouped, "d_dst") == "1",
        wants_memberships=_first(grouped, "d_cts") in ("1", "2"),
        explicit_uuid="d_uuid" in grouped,
        use_cookies=_first(grouped, "d_coppa").lower() not in ("1", "true"),
        gdpr="1" if consent.gdpr_applies(grouped) else "0",
        gdpr_consent=_first(grouped, "gdpr_consent"),
        redirect=_first(grouped, "redir") or None,
        organisation=_first(grouped, "d_orgid"),
    )


def _safe_callback(grouped: Mapping[str, list[str]]) -> str | None:
    name = _first(grouped, "d_cb")
    if len(name) > MAX_CALLBACK_CHARS or _CALLBACK.fullmatch(name) is None:
        return None
    return name


def _unanswerable(grouped: Mapping[str, list[str]], visitor: Visitor) -> DcsError | None:
    """The gravest reason to disregard the whole request, whatever it is about, or None."""
    if not visitor.headers.get("host"):
        return codes.NO_HOST
    if visitor.opted_out:
        return codes.OPTED_OUT
    if "d_cb" in grouped and _safe_callback(grouped) is None:
        return codes.invalid_parameters("d_cb is not a function name")
    return None


def _misnamed(grouped: Mapping[str, list[str]], rules: IdRules, *, sought: bool) -> DcsError | None:
    """What is wrong with whom the request names, so that it is disregarded, or None. Somebody who asks to be let
    alone (`sought`) is, by whatever else names him.
    """
    uuid = _first(grouped, "d_uuid")
    if "d_uuid" in grouped and not is_uuid(uuid):
        return codes.invalid_uuid(uuid)
    if sought:
        return None
    mid = _first(grouped, "d_mid")
    if "d_mid" in grouped and rules.read(ECID_DPID, mid) in _NO_ECID:
        return codes.invalid_ecid(mid)
    if name := _first(grouped, "d_event_id"):
        try:
            event_id(name)
        except EventError as problem:
            return codes.invalid_parameters(problem.message)
    org = _first(grouped, "d_orgid")
    if "d_orgid" in grouped and _ORG.fullmatch(org) is None:
        return codes.invalid_org(org)
    return None


def _with_event(
    answer: DcsRequest, grouped: dict[str, list[str]], visitor: Visitor, rules: IdRules, *, sought: bool
) -> DcsRequest:
    """`sought`: the ids are those of somebody who asks to be let alone."""
    claims = declared_ids.collect(grouped)
    ids, errors = declared_ids.check(claims, rules, sought=sought)
    mid = _first(grouped, "d_mid")
    if sought:
        named = [*claims, declared_ids.Claim(str(ECID_DPID), mid)] if mid else claims
        answer = msgspec.structs.replace(answer, unsure=declared_ids.unsure(named, rules))
    uuid = _first(grouped, "d_uuid") or (visitor.cookie_uuid if answer.use_cookies else None)
    wrong = _wrong_ecid(mid, rules) if mid else None
    if wrong is not None:
        errors.insert(0, wrong)
        if not ids and codes.ALL_IDS_INVALID not in errors:
            errors.append(codes.ALL_IDS_INVALID)
    elif mid:
        ids = (DeclaredId(ECID_DPID, mid), *ids)
    if uuid is None and not ids and codes.ALL_IDS_INVALID in errors:
        # Nobody is left to whom the event could belong: a fresh UUID a call would only pile up strangers.
        return msgspec.structs.replace(answer, errors=tuple(errors))
    signals = _signals(grouped, visitor)
    if (
        len(signals) > MAX_SIGNALS + len(HEADER_SIGNALS)
        or max(map(len, signals.values()), default=0) > MAX_VALUES
    ):
        too_many = codes.invalid_parameters(f"more than {MAX_SIGNALS} keys or values")
        return msgspec.structs.replace(answer, errors=(too_many,))
    traits, traits_ok = _trait_ids(grouped)
    source, source_ok = _trait_source(grouped, rules)
    if not source_ok:
        signals, traits = {}, ()
    if not (traits_ok and source_ok):
        errors.append(codes.TRAITS_NOT_EVALUATED)
    event = IncomingEvent(
        uuid=uuid,
        ids=ids,
        signals=signals,
        traits=traits,
        trait_source=source,
        event_id=_first(grouped, "d_event_id") or None,
        browser=True,
    )
    return msgspec.structs.replace(answer, event=event, errors=tuple(errors))


def _wrong_ecid(mid: str, rules: IdRules) -> DcsError | None:
    """Why an ECID is none, or nobody's."""
    problem = rules.read(ECID_DPID, mid)
    if problem in NOBODYS:
        return codes.blocked_id(mid)
    return codes.invalid_ecid(mid) if problem in _NO_ECID else None


def _signals(grouped: dict[str, list[str]], visitor: Visitor) -> dict[str, list[str]]:
    """Every key that does not steer the request, and the headers. Rules see a value as a whole and by the parts
    between its commas (`arke.domain.rules.commas`).
    """
    signals = {"h_" + name: [visitor.headers[name]] for name in HEADER_SIGNALS if visitor.headers.get(name)}
    signals |= {key: values for key, values in grouped.items() if key not in PROTOCOL_KEYS}
    return signals


def _trait_ids(grouped: dict[str, list[str]]) -> tuple[tuple[int, ...], bool]:
    """The traits that `d_sid` declares, each once, and whether every item was a trait id."""
    items = [item.strip() for value in grouped.get("d_sid", ()) for item in value.split(",")]
    numbers = [parse_dpid(item) for item in items if item]
    traits = tuple(dict.fromkeys(number for number in numbers if number is not None))
    return traits[:MAX_VALUES], None not in numbers and len(traits) <= MAX_VALUES


def _trait_source(grouped: dict[str, list[str]], rules: IdRules) -> tuple[int | None, bool]:
    """The data source whose traits alone are evaluated, and whether what was asked for exists."""
    source: int | None = None
    if "d_tdpid" in grouped:
        source = parse_dpid(_first(grouped, "d_tdpid"))
    elif "d_tdpid_ic" in grouped:
        source = rules.codes.get(_first(grouped, "d_tdpid_ic"))
    else:
        return None, True
    return source, source is not None

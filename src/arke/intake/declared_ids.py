"""The ids a DCS request declares: collected from every old and new spelling, checked, and capped.

A refused id costs only itself; why it was refused is told to the caller (codes 300-312).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from arke.domain.event import DeclaredId
from arke.domain.ids import NOBODYS, IdProblem, IdRules, parse_dpid
from arke.intake import dcs_codes as codes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from arke.intake.dcs_codes import DcsError

MAX_IDS: Final = 10
MAX_IDS_PER_NAME_SPACE: Final = 3
SEPARATOR: Final = "\x01"

_STATES: Final = {"": 0, "0": 0, "1": 1, "2": 2}


class Claim(NamedTuple):
    """One id as written: a DPID or (`by_code`) an integration code, the id, the authentication state."""

    name_space: str
    value: str
    state: str = ""
    by_code: bool = False
    malformed: bool = False


def collect(parameters: Mapping[str, Sequence[str]]) -> list[Claim]:
    """All claims of a request in a fixed order: d_cid, d_cid_ic, then the old pairs."""
    claims = [_split(text, by_code=False) for text in parameters.get("d_cid", ())]
    claims += [_split(text, by_code=True) for text in parameters.get("d_cid_ic", ())]
    for prefix in ("d_", ""):
        spaces = parameters.get(prefix + "dpid", ())
        values = parameters.get(prefix + "dpuuid", ())
        for index in range(max(len(spaces), len(values))):
            space = spaces[index] if index < len(spaces) else ""
            value = values[index] if index < len(values) else ""
            claims.append(Claim(space, value))
    return claims


def check(
    claims: Sequence[Claim], rules: IdRules, *, sought: bool = False
) -> tuple[tuple[DeclaredId, ...], list[DcsError]]:
    """The ids to use and what was wrong with the others. 104 is added when none of several is usable. `sought`: by
    these somebody asks to be let alone, so they stay as they are written, for whoever looks for them.
    """
    errors: list[DcsError] = []
    kept: dict[tuple[int, str], DeclaredId] = {}
    per_name_space: dict[int, int] = {}
    found = 0
    for claim in claims:
        declared = _read(claim, rules, errors, sought=sought)
        if declared is None:
            continue
        key = (declared.dpid, declared.id)
        if key in kept:
            kept[key] = declared  # said twice: the later state counts
            continue
        found += 1
        taken = per_name_space.get(declared.dpid, 0)
        if taken >= MAX_IDS_PER_NAME_SPACE:
            errors.append(codes.discarded_in_name_space(declared.dpid, declared.id))
        elif len(kept) >= MAX_IDS:
            errors.append(codes.discarded(declared.id))
        else:
            per_name_space[declared.dpid] = taken + 1
            kept[key] = declared
    if any(error.code == 309 for error in errors):
        first = next(at for at, error in enumerate(errors) if error.code == 309)
        errors.insert(first, codes.too_many_ids(MAX_IDS, found))
    if claims and not kept:
        errors.append(codes.ALL_IDS_INVALID)
    return tuple(kept.values()), errors


def unsure(claims: Sequence[Claim], rules: IdRules) -> tuple[DeclaredId, ...]:
    """Ids that can be none today, as they are written: an earlier version or catalog may have taken them."""
    found: dict[DeclaredId, None] = {}
    for claim in claims:
        dpid = _dpid(claim, rules)
        if dpid is None or claim.malformed:
            continue
        problem = rules.sought(dpid, claim.value)
        if isinstance(problem, IdProblem) and problem not in NOBODYS and problem is not IdProblem.MALFORMED:
            found[DeclaredId(dpid, claim.value)] = None
    return tuple(found)[:MAX_IDS]


def _split(text: str, *, by_code: bool) -> Claim:
    parts = text.split(SEPARATOR)
    if len(parts) > 3:
        return Claim(parts[0], parts[1], by_code=by_code, malformed=True)
    space, value, state = (*parts, "", "")[:3]
    return Claim(space, value, state, by_code)


def _dpid(claim: Claim, rules: IdRules) -> int | None:
    return _coded(claim.name_space, rules) if claim.by_code else parse_dpid(claim.name_space)


def _read(claim: Claim, rules: IdRules, errors: list[DcsError], *, sought: bool) -> DeclaredId | None:
    """One claim as an id, or None after saying why not."""
    dpid = _dpid(claim, rules)
    state = _STATES.get(claim.state)
    if dpid is None or state is None or claim.malformed:
        errors.append(codes.invalid_id(claim.name_space, claim.value))
        return None
    found = rules.sought(dpid, claim.value) if sought else rules.read(dpid, claim.value)
    if isinstance(found, IdProblem):
        errors += refusals(found, dpid, claim.name_space, claim.value)
        return None
    return DeclaredId(dpid, claim.value if sought else found, state)


def refusals(problem: IdProblem, dpid: int, name_space: str, value: str) -> list[DcsError]:
    """What is answered for an id that is none."""
    match problem:
        case IdProblem.UNKNOWN_SOURCE:
            return [codes.unauthorized_id(dpid, value)]
        case IdProblem.NOBODY | IdProblem.DENIED:
            return [codes.blocked_id(value)]
        case IdProblem.DEVICE_FORM:
            # Also the SDK's `DSID_20915%011`, where the state stands in the place of the missing id.
            return [codes.invalid_id(name_space, value), codes.INVALID_DEVICE_ID]
        case IdProblem.MALFORMED | IdProblem.REPLACED | IdProblem.NOT_A_UUID | IdProblem.FORM:
            return [codes.invalid_id(name_space, value)]


def _coded(code: str, rules: IdRules) -> int | None:
    """The data source of an integration code; a blank in it may have been written as a plus."""
    dpid = rules.codes.get(code)
    return rules.codes.get(code.replace("+", " ")) if dpid is None and "+" in code else dpid

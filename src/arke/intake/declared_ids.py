"""The ids a DCS request declares: collected from every old and new spelling, checked, and capped.

A refused id costs only itself; why it was refused is told to the caller (codes 300-312).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from arke.domain.event import DeclaredId
from arke.domain.ids import (
    DEVICE_ID_FORMATS,
    GLOBAL_CODES,
    IdProblem,
    id_problem,
    parse_dpid,
)
from arke.intake import dcs_codes as codes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from arke.intake.dcs_codes import DcsError
    from arke.intake.ports import NameSpaces

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


def check(claims: Sequence[Claim], known: NameSpaces) -> tuple[tuple[DeclaredId, ...], list[DcsError]]:
    """The ids to use and what was wrong with the others. 104 is added when none of several is usable."""
    errors: list[DcsError] = []
    kept: dict[tuple[int, str], DeclaredId] = {}
    per_name_space: dict[int, int] = {}
    found = 0
    for claim in claims:
        declared = _read(claim, known, errors)
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


def resolve_code(code: str, known: NameSpaces) -> int | None:
    """The DPID of an integration code: the catalog's, else that of a global data source."""
    dpid = known.integration_codes().get(code)
    return dpid if dpid is not None else GLOBAL_CODES.get(code)


def _split(text: str, *, by_code: bool) -> Claim:
    parts = text.split(SEPARATOR)
    if len(parts) > 3:
        return Claim(parts[0], parts[1], by_code=by_code, malformed=True)
    space, value, state = (*parts, "", "")[:3]
    return Claim(space, value, state, by_code)


def _read(claim: Claim, known: NameSpaces, errors: list[DcsError]) -> DeclaredId | None:
    """One claim as an id, or None after saying why not."""
    dpid = resolve_code(claim.name_space, known) if claim.by_code else parse_dpid(claim.name_space)
    state = _STATES.get(claim.state)
    problem = id_problem(dpid or -1, claim.value)
    malformed = claim.malformed or problem in (IdProblem.MALFORMED, IdProblem.NOT_A_UUID)
    if dpid is None or state is None or malformed:
        errors.append(codes.invalid_id(claim.name_space, claim.value))
        return None
    if dpid not in DEVICE_ID_FORMATS and not known.known_dpid(dpid):
        errors.append(codes.unauthorized_id(dpid, claim.value))
        return None
    if problem is IdProblem.DEVICE_FORM:
        # Also the SDK's `DSID_20915%011`, where the state stands in the place of the missing id.
        errors += (codes.invalid_id(claim.name_space, claim.value), codes.INVALID_DEVICE_ID)
        return None
    if problem is IdProblem.NOBODY:
        errors.append(codes.blocked_id(claim.value))
        return None
    return DeclaredId(dpid, claim.value, state)

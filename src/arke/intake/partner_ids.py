"""The ids of an event of `/v1/events`, or of a script: a refused id costs only itself, as on `/event`. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from arke.domain.event import DeclaredId, LeftOut
from arke.domain.ids import IdProblem, IdRules
from arke.errors import EventError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.domain.event import IncomingEvent

_PROBLEMS: Final[dict[IdProblem, tuple[str, str]]] = {
    IdProblem.MALFORMED: ("bad_id", "must be 1 to 512 characters, none a control character"),
    IdProblem.REPLACED: ("bad_id", "holds U+FFFD, which stands for what could not be read"),
    IdProblem.UNKNOWN_SOURCE: (
        "unknown_data_source",
        "is of data source {dpid}, which is not in the catalog: add it to data_sources",
    ),
    IdProblem.NOT_A_UUID: ("bad_id", "must be 38 decimal digits: data source {dpid} is the ECID"),
    IdProblem.DEVICE_FORM: ("bad_device_id", "does not have the form of data source {dpid}"),
    IdProblem.FORM: ("bad_id", "must be {wanted}: so says `id_form` of data source {dpid}"),
    IdProblem.NOBODY: (
        "blocked_id",
        "names nobody: it is a placeholder, a macro that nobody filled in, or all zeros, as of who limits tracking",
    ),
    IdProblem.DENIED: ("blocked_id", "names nobody: data source {dpid} denies it in the catalog"),
}


def with_read_ids(event: IncomingEvent, rules: IdRules, places: Sequence[int] = ()) -> IncomingEvent:
    """The event with its ids as they are kept, and a word for each that is left out. `places`: where they stood, if
    that is not their order. Raises `EventError` where nobody is left whom it could be about.
    """
    kept: list[DeclaredId] = []
    left_out: list[LeftOut] = []
    read = rules.read
    for at, declared in enumerate(event.ids):
        found = read(declared.dpid, declared.id)
        if found is declared.id:
            kept.append(declared)
        elif isinstance(found, IdProblem):
            left_out.append(_left_out(places[at] if places else at, declared.dpid, found, rules))
        else:
            kept.append(DeclaredId(declared.dpid, found, declared.state))
    if left_out and not kept and event.uuid is None:
        first = left_out[0]
        raise EventError(
            "all_ids_invalid",
            f"all of its ids are invalid (104): {first.message} ({first.code})",
            id_codes=tuple(part.code for part in (*event.left_out, *left_out) if part.part == "id"),
        )
    ids = tuple(kept)
    if ids == event.ids:
        return event
    return msgspec.structs.replace(event, ids=ids, left_out=(*event.left_out, *left_out))


def _left_out(at: int, dpid: int, problem: IdProblem, rules: IdRules) -> LeftOut:
    code, text = _PROBLEMS[problem]
    return LeftOut("id", code, f"ids[{at}].id {text.format(dpid=dpid, wanted=rules.wanted(dpid))}")

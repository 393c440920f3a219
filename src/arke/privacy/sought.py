"""Ids as somebody asks for them, found as they are kept: in the spelling of their data source, in those that it had
before, and as they are written, where that is known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.domain.ids import NOBODYS, IdProblem
from arke.errors import InvalidInput
from arke.privacy.request_file import Wanted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.domain.identity import IdKey
    from arke.domain.ids import IdRules
    from arke.engine.homes import Homes
    from arke.engine.identity import Identity


async def as_kept(wanted: Sequence[Wanted], rules: IdRules, identity: Identity, homes: Homes) -> list[Wanted]:
    """Everybody by the ids that are kept. What can be no id of its data source is taken if it is known all the
    same: an earlier version may have taken it, or its data source has left the catalog. Raises InvalidInput for
    what is neither, saying whose id it is.
    """
    others = {key: others_of(rules, key) for one in wanted for key in one.ids}
    doubtful = {spelling for spellings in others.values() for spelling in spellings}
    known = await _known(doubtful, identity, homes) if doubtful else set()
    return [_as_kept(one, rules, others, known) for one in wanted]


def others_of(rules: IdRules, key: IdKey) -> set[IdKey]:
    """The spellings besides its own under which an id may be kept."""
    dpid, text = key
    found = rules.sought(dpid, text)
    if isinstance(found, IdProblem):
        return set() if found in NOBODYS or found is IdProblem.MALFORMED else {key}
    return {(dpid, other) for other in (text, *rules.spellings(dpid, found))} - {(dpid, found)}


async def _known(keys: set[IdKey], identity: Identity, homes: Homes) -> set[IdKey]:
    people = {key for key in keys if identity.is_cross_device(key[0])}
    await homes.move_in(people)
    return {*await identity.owners(keys), *await identity.housed(people)}


def _as_kept(wanted: Wanted, rules: IdRules, others: dict[IdKey, set[IdKey]], known: set[IdKey]) -> Wanted:
    ids: dict[IdKey, None] = {}
    for dpid, text in wanted.ids:
        found = rules.sought(dpid, text)
        also = others[dpid, text] & known
        if not isinstance(found, IdProblem):
            ids[dpid, found] = None
        elif not also:
            raise InvalidInput(f"{wanted.where}: data source {dpid}: {found.value}")
        ids.update(dict.fromkeys(sorted(also)))
    return Wanted(wanted.uuids, tuple(ids), wanted.where)

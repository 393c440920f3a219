"""Ids as somebody asks for them, found as they are kept: in the spelling of their data source, in those that it had
before, and as they are written, where that is known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.domain.ids import NOBODYS, IdProblem
from arke.errors import InvalidInput
from arke.privacy.request_file import Wanted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from arke.domain.identity import IdKey
    from arke.domain.ids import IdRules
    from arke.engine.homes import Homes
    from arke.engine.identity import Identity


async def as_kept(wanted: Sequence[Wanted], rules: IdRules, identity: Identity, homes: Homes) -> list[Wanted]:
    """Everybody by the ids that are kept. What can be no id of its data source is taken if it is known all the
    same: an earlier version may have taken it, or its data source has left the catalog. Raises InvalidInput for
    what is neither, saying whose id it is.
    """
    found = await kept_as([key for one in wanted for key in one.ids], rules, identity, homes)
    return [_as_kept(one, rules, found) for one in wanted]


async def kept_as(
    ids: Iterable[IdKey], rules: IdRules, identity: Identity, homes: Homes
) -> dict[IdKey, list[IdKey]]:
    """Each id by the spellings under which it is to be looked for: its own, whether anybody is known by it or not,
    and those others that are kept. None for what can be no id of its data source and is not kept.
    """
    others = {key: others_of(rules, key) for key in ids}
    doubtful = {spelling for spellings in others.values() for spelling in spellings}
    known = await _known(doubtful, identity, homes) if doubtful else set()
    return {key: [*_own(rules, key), *sorted(also & known)] for key, also in others.items()}


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


def _own(rules: IdRules, key: IdKey) -> list[IdKey]:
    found = rules.sought(*key)
    return [] if isinstance(found, IdProblem) else [(key[0], found)]


def _as_kept(wanted: Wanted, rules: IdRules, found: dict[IdKey, list[IdKey]]) -> Wanted:
    ids: dict[IdKey, None] = {}
    for key in wanted.ids:
        problem = rules.sought(*key)
        if isinstance(problem, IdProblem) and not found[key]:
            raise InvalidInput(f"{wanted.where}: data source {key[0]}: {problem.value}")
        ids.update(dict.fromkeys(found[key]))
    return Wanted(wanted.uuids, tuple(ids), wanted.where)

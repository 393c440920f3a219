"""Privacy as operators ask for it: requests with their reports, and access. Every use is audited."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from arke.domain.homes import home_of
from arke.domain.ids import IdProblem
from arke.domain.time import utc_text
from arke.errors import InvalidInput, NotFound
from arke.operations.explain import dossier_of
from arke.operations.paging import Page, page_size
from arke.privacy.access import Access, KeptDevice, kept_device, kept_filing
from arke.privacy.request import Everybodys, decode_request
from arke.privacy.request_file import (
    MAX_REQUEST_BYTES,
    Wanted,
    check_uuid,
    read_id,
    read_request,
    split_id,
)
from arke.privacy.sought import as_kept, others_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.domain.catalog import Catalog
    from arke.domain.identity import IdKey
    from arke.operations.engine import Engine
    from arke.privacy.copies import Copy
    from arke.privacy.request import Action, Missing, PrivacyRequest, Proof
    from arke.privacy.verdict import Verdict
    from arke.storage.ports.directory import StoredRequest

__all__ = [
    "MAX_ASK_BYTES",
    "Access",
    "LiftAsk",
    "LiftReport",
    "PrivacyAsk",
    "PrivacyOperations",
    "PrivacyReport",
]

MAX_ASK_BYTES = 2 * MAX_REQUEST_BYTES
"""Of an ask as JSON: a request file in it has its quotes and line ends escaped."""
NEWEST = 1 << 62
PAGE = 1_000
NAMED = 20
"""Keyed hashes of those who were looked at in one entry of the audit."""


class PrivacyAsk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whom a request is about: exactly one of a UUID, an id (`DPID:ID`), or the text of a request file."""

    action: str = ""
    uuid: str | None = None
    id: str | None = None
    file: str | None = None


class LiftAsk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose suppression is to be lifted: exactly one of a UUID, an id (`DPID:ID`), or a request's number, for all
    that this request suppressed.
    """

    uuid: str | None = None
    id: str | None = None
    request: int | None = None


class LiftReport(msgspec.Struct, frozen=True):
    """How many UUIDs and ids are taken again, and how many stay suppressed because another request wants it so."""

    lifted: int
    kept: int = 0


class AcknowledgedId(msgspec.Struct, frozen=True):
    """An id (as a keyed hash) that a destination has taken out of everything: by which message, and when."""

    dpid: int
    id: str
    message: str
    at: str
    answer: str


class DestinationProof(msgspec.Struct, frozen=True):
    """One destination's part: what it acknowledged, what is missing (ids, and why), what cannot be told."""

    destination: int
    name: str
    acknowledged: list[AcknowledgedId]
    missing: int = 0
    missing_why: str | None = None
    untold: int = 0
    untold_why: str | None = None


class KeptElsewhere(msgspec.Struct, frozen=True):
    """Where copies of events may be that no request reaches, until when at the latest (None: nobody here knows),
    and why.
    """

    where: str
    until: str | None
    why: str


class PrivacyReport(msgspec.Struct, frozen=True):
    """One request. `state`: open, telling, erasing or done; `names` are keyed hashes of what was asked for, and
    `devices` and `people` how many were known by that: a person has a profile apart from the devices.
    `public`: it came through the public door, without a token. `suppressed` ids are never taken again for it,
    `spared` ones are free, because they had come from other devices, and `everybodys` because they are nobody's
    own; `large` if these are more than LARGE_REQUEST_IDS. `nobody`: nobody was known by what was asked for.
    `lifted`: when what it suppressed was taken back. `elsewhere`: of a request that has ended in a cluster, what is
    left to time.
    """

    number: int
    action: str
    state: str
    asked: str
    done: str | None
    names: list[str]
    devices: int
    destinations: list[DestinationProof]
    people: int = 0
    nobody: bool = False
    everybodys: list[Everybodys] = []
    public: bool = False
    suppressed: int = 0
    spared: int = 0
    large: bool = False
    lifted: str | None = None
    elsewhere: list[KeptElsewhere] = []


class PrivacyOperations:
    """Takes privacy requests and access. Every use is audited."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._audit = engine.audit

    async def request(self, ask: PrivacyAsk, *, actor: str) -> list[PrivacyReport]:
        """Opt somebody out, or delete them. Durable on return; it goes on until done. Raises InvalidInput."""
        if ask.action not in ("delete", "opt_out"):
            raise InvalidInput("action must be delete or opt_out")
        action: Action = "delete" if ask.action == "delete" else "opt_out"
        asked = [one.asked(action) for one in await self._wanted(ask, action)]
        numbers = await self._engine.privacy.request(asked)
        span = f"{numbers[0]}" if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"
        await self._audit.record(actor, "privacy_requested", f"{action}, request {span}")
        return [await self.show(number) for number in numbers]

    async def _wanted(self, ask: PrivacyAsk, action: str) -> Sequence[Wanted]:
        if sum(given is not None for given in (ask.uuid, ask.id, ask.file)) != 1:
            raise InvalidInput("give exactly one of a UUID, an id and a request file")
        if ask.uuid is not None:
            return [Wanted((check_uuid(ask.uuid, "--uuid"),))]
        engine = self._engine
        if ask.file is not None:
            wanted = read_request(ask.file, action, engine.live)
        else:
            wanted = [Wanted((), (read_id(ask.id or "", engine.live.ids),))]
        return await as_kept(wanted, engine.live.ids, engine.identity, engine.homes)

    async def lift(self, ask: LiftAsk, *, actor: str) -> LiftReport:
        """Take somebody again. Raises InvalidInput, also where nothing is suppressed."""
        if sum(given is not None for given in (ask.uuid, ask.id, ask.request)) != 1:
            raise InvalidInput("give exactly one of a UUID, an id and the number of a request")
        if ask.request is not None:
            return await self._lift_request(ask.request, actor)
        given = ask.uuid
        texts = self._spellings(ask.id or "") if given is None else [check_uuid(given, "--uuid")]
        lifted = [text for text in texts if await self._engine.privacy.suppression.lift(text)]
        if not lifted:
            raise InvalidInput("it is not suppressed: there is nothing to lift")
        name = self._engine.privacy.name_of(lifted[0])
        await self._audit.record(actor, "privacy_lifted", f"{'device' if ask.uuid else 'id'} {name}")
        return LiftReport(1)

    def _spellings(self, text: str) -> list[str]:
        """Those under which an id may be suppressed. Nothing is asked of its form: earlier versions suppressed what
        is no id.
        """
        key, rules = split_id(text), self._engine.live.ids
        found = rules.sought(*key)
        own = {key} if isinstance(found, IdProblem) else {key, (key[0], found)}
        return [f"{dpid}:{id_}" for dpid, id_ in sorted(own | others_of(rules, key))]

    async def _lift_request(self, number: int, actor: str) -> LiftReport:
        lifted = await self._engine.privacy.suppression.lift_request(decode_request(await self._row(number)))
        if not lifted.gone and not lifted.kept:
            raise InvalidInput(
                f"privacy request {number} has nothing suppressed: it was lifted before, or an earlier version of "
                "Arke carried it out, which did not note what it suppressed: lift it by --uuid or --id"
            )
        counts = f"{len(lifted.gone)} lifted, {len(lifted.kept)} kept by other requests"
        await self._audit.record(actor, "privacy_lifted", f"request {number}: {counts}")
        return LiftReport(len(lifted.gone), len(lifted.kept))

    async def _row(self, number: int) -> StoredRequest:
        found = await self._engine.directory.requests.get([number]) if number < NEWEST else {}
        if number not in found:
            raise NotFound(f"there is no privacy request {number}: `arke privacy list` shows them")
        return found[number]

    async def access(self, ask: PrivacyAsk, *, actor: str) -> list[Access]:
        """Everything kept about somebody, all devices of an id. Raises InvalidInput."""
        wanted = await self._wanted(ask, "access")
        found = [await self._access(one.uuids, one.ids) for one in wanted]
        asked = [uuid for each in wanted for uuid in each.uuids]
        asked += [f"{dpid}:{partner_id}" for each in wanted for dpid, partner_id in each.ids]
        names = ", ".join(self._engine.privacy.name_of(one) for one in asked[:NAMED])
        more = f" and {len(asked) - NAMED:,} more" if len(asked) > NAMED else ""
        await self._audit.record(actor, "privacy_accessed", f"{len(found):,} persons: {names}{more}")
        return found

    async def _access(self, uuids: Sequence[str], ids: Sequence[IdKey]) -> Access:
        engine = self._engine
        devices = dict.fromkeys(uuids)
        known = await engine.identity.devices(ids)
        devices.update(dict.fromkeys(uuid for key in ids for uuid in known.get(key, ())))
        asked = [*uuids, *(f"{dpid}:{partner_id}" for dpid, partner_id in ids)]
        kept = [await self._kept(uuid) for uuid in devices]
        keys = {*ids, *((one.dpid, one.id) for device in kept for one in device.ids)}
        people = {key for key in keys if engine.identity.is_cross_device(key[0])}
        await engine.homes.move_in(people)
        housed = sorted(await engine.identity.housed(people))
        homes = {key: await dossier_of(engine.shards, home_of(key), behind_log=True) for key in housed}
        listed = await engine.identity.suppressed.among(uuids, ids)
        return Access(
            asked=", ".join(asked),
            suppressed=any(map(listed.device, uuids)) or any(map(listed.id, ids)),
            devices=kept,
            filed=[kept_filing(key, one.profile) for key, one in homes.items() if one.profile is not None],
            people=[
                kept_device(engine.live.catalog, home_of(key), one)
                for key, one in homes.items()
                if one.profile is not None
            ],
        )

    async def _kept(self, uuid: str) -> KeptDevice:
        dossier = await dossier_of(self._engine.shards, uuid, behind_log=True)
        return kept_device(self._engine.live.catalog, uuid, dossier)

    async def show(self, number: int) -> PrivacyReport:
        """One request. Raises InvalidInput for one that does not exist."""
        request = decode_request(await self._row(number))
        return self._report(request, await self._engine.privacy.verdict(request))

    async def newest(self, before: int | None, limit: int = PAGE) -> list[PrivacyReport]:
        """Up to `limit` requests, the newest first, with numbers below `before`."""
        rows = await self._engine.directory.requests.page(NEWEST if before is None else before, limit)
        requests = [decode_request(row) for row in rows]
        return [self._report(one, await self._engine.privacy.verdict(one)) for one in requests]

    async def page(self, before: int | None, limit: int) -> Page[PrivacyReport]:
        """Requests with numbers below `before`, the newest first. Raises InvalidInput."""
        found = await self.newest(before, page_size(limit) + 1)
        more = len(found) > limit
        return Page(found[:limit], str(found[limit - 1].number) if more else None)

    def _report(self, request: PrivacyRequest, verdict: Verdict) -> PrivacyReport:
        report = _report(self._engine.live.catalog, request, verdict)
        copies = self._engine.copies if request.done else ()
        return msgspec.structs.replace(report, elsewhere=[_elsewhere(one, request.done) for one in copies])


def _elsewhere(copy: Copy, done: int) -> KeptElsewhere:
    until = None if copy.kept_s is None else utc_text(done + copy.kept_s)
    return KeptElsewhere(copy.where, until, copy.why)


def _report(catalog: Catalog, request: PrivacyRequest, verdict: Verdict) -> PrivacyReport:
    names = {destination.id: destination.name for destination in catalog.destinations}
    concerned = {proof.destination for proof in verdict.proofs}
    concerned |= {one.destination for one in (*verdict.missing, *verdict.untold)}
    return PrivacyReport(
        number=request.number,
        action=request.action,
        state="done" if request.done else request.state,
        asked=utc_text(request.at),
        done=utc_text(request.done) if request.done else None,
        names=request.names,
        devices=request.devices,
        destinations=[_destination(number, names.get(number, ""), verdict) for number in sorted(concerned)],
        people=request.people,
        nobody=request.nobody,
        everybodys=request.everybodys,
        public=request.public,
        suppressed=request.suppressed,
        spared=request.spared,
        large=request.large,
        lifted=utc_text(request.lifted) if request.lifted else None,
    )


def _destination(number: int, name: str, verdict: Verdict) -> DestinationProof:
    missing, missing_why = _sum(verdict.missing, number)
    untold, untold_why = _sum(verdict.untold, number)
    acknowledged = [_acknowledged(proof) for proof in verdict.proofs if proof.destination == number]
    return DestinationProof(number, name, acknowledged, missing, missing_why, untold, untold_why)


def _acknowledged(proof: Proof) -> AcknowledgedId:
    return AcknowledgedId(proof.dpid, proof.id, proof.message, utc_text(proof.at), proof.answer)


def _sum(found: Sequence[Missing], destination: int) -> tuple[int, str | None]:
    of_it = [one for one in found if one.destination == destination]
    return sum(one.ids for one in of_it), of_it[-1].reason if of_it else None

"""Explains a device: its traits, its segments with their rules marked, what each destination was told, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from arke.domain.catalog import MAX_ID
from arke.domain.digits import whole_number
from arke.domain.homes import is_home
from arke.domain.ids import NOBODYS, IdProblem, is_uuid
from arke.domain.profile import NEVER
from arke.domain.time import utc_text
from arke.domain.token import LOCAL
from arke.errors import InvalidInput
from arke.evaluation.compiled import expiry_of
from arke.operations.marks import RuleBook, RulePart
from arke.operations.timeline import Timeline, timeline
from arke.privacy.access import TOLD
from arke.privacy.sought import others_of
from arke.shard.protocol import AskProfile, Dossier

if TYPE_CHECKING:
    from collections.abc import Mapping

    from arke.domain.catalog import Catalog, Destination, Segment
    from arke.domain.identity import IdKey
    from arke.domain.ledger import LedgerRow
    from arke.domain.membership import Membership
    from arke.domain.profile import Profile, TraitState
    from arke.engine.shards import Shards
    from arke.operations.engine import Engine
    from arke.shard.protocol import Telling

ALL_SEGMENTS_BELOW = 200
"""Catalogs with more segments show only those that the device has something to do with."""

REASONS = {
    "rule": "its rule is no longer true",
    "told": "it was told so",
    "ttl": "a trait's time-to-live was over",
    "recency": "a recency window was over",
    "inactive": "the device was not seen for 120 days",
    "privacy": "a privacy request",
    "opt_out": "the device opted out",
    "unmapped": "the segment was removed from the catalog",
}


class TraitFacts(msgspec.Struct, frozen=True):
    """A trait the device holds. Times are RFC 3339; `expires` None means never."""

    id: int
    name: str
    count: int
    last: str
    expires: str | None


class SegmentFacts(msgspec.Struct, frozen=True):
    """The device's state in one segment, and why. `marks`: its rule part by part, true or not now; None: it is
    external.
    """

    id: int
    name: str
    status: int
    why: str
    rule: str | None
    changed: str | None = None
    verified: str | None = None
    marks: RulePart | None = None
    paused: bool = False


class TryFacts(msgspec.Struct, frozen=True):
    """One delivery of one id: when, in which message, and what was answered."""

    at: str
    message: str
    answer: str
    kind: str


class IdFacts(msgspec.Struct, frozen=True):
    """What one partner id was told: alias to `1`, `0`, or `1?` / `0?` where no answer confirmed it."""

    dpid: int
    id: str
    told: dict[str, str]
    tries: list[TryFacts]


class AccountFacts(msgspec.Struct, frozen=True):
    """Of a mapped segment that the device is in, the bucket that `arke reconcile` counts it in, and why."""

    segment: int
    bucket: str
    why: str


class DestinationFacts(msgspec.Struct, frozen=True):
    """One destination's side. `state`: told, owed, pending, nothing, no_partner_id, not_sampled, off.

    `owed_tries`: messages that failed of what is owed; `owed_next`: when it is sent again by itself, the earliest,
    RFC 3339, None: it is not. `would_tell`: what a message would say now, by id (DPID:ID):
    alias to status. `accounts`: how it stands with each segment.
    """

    id: int
    name: str
    state: str
    why: str
    ids: list[IdFacts]
    owed_tries: int = 0
    owed_next: str | None = None
    would_tell: dict[str, dict[str, int]] = {}
    accounts: list[AccountFacts] = []


class Part(msgspec.Struct, frozen=True):
    """Which of the segments that concern a device are explained: `most` of them from `first` on, those that it is
    in before the others.
    """

    first: int
    most: int


class Explanation(msgspec.Struct, frozen=True):
    """Everything Arke can say about one device, or about a `person` for whom none speaks: then `uuid` is the key of
    the person's home, `DPID:ID`. `why`: the id that was asked for can lead to nobody. `suppressed`: what was asked
    for is on the suppression list. Which request put it there, and whether to delete or to opt out, is not said.
    `concerned`: how many segments have to do with it.
    """

    uuid: str
    known: bool
    person: bool = False
    seen: str | None = None
    opted_out: bool = False
    suppressed: bool = False
    ids: list[str] = []
    regions: list[int] = []
    traits: list[TraitFacts] = []
    segments: list[SegmentFacts] = []
    destinations: list[DestinationFacts] = []
    why: str = ""
    timeline: Timeline = Timeline([], [])
    concerned: int = 0


def explain(book: RuleBook, uuid: str, dossier: Dossier, part: Part | None = None) -> Explanation:
    """Put one device's dossier into words. `part` None: with all segments that concern it."""
    catalog, profile = book.catalog, dossier.profile
    if profile is None:
        return Explanation(uuid=uuid, known=False)
    concerned = _concerned(book, profile)
    shown = concerned
    if part is not None:
        shown = sorted(concerned, key=lambda one: not _is_in(profile, one))[part.first :][: part.most]
    live = book.live(profile.traits, dossier.now)
    return Explanation(
        uuid=profile.uuid,
        known=True,
        person=is_home(profile.uuid),
        seen=utc_text(profile.seen) if profile.seen else None,
        opted_out=bool(profile.opted_out),
        ids=[f"{partner.dpid}:{partner.id}" for partner in profile.ids],
        regions=list(profile.regions),
        traits=_traits(catalog, profile),
        segments=[_segment(book, segment, profile, live, dossier.now) for segment in shown],
        concerned=len(concerned),
        destinations=_destinations(catalog, profile, dossier),
        timeline=timeline(catalog, profile, dossier, REASONS),
    )


def _traits(catalog: Catalog, profile: Profile) -> list[TraitFacts]:
    known = {trait.id: trait for trait in catalog.traits}
    facts = []
    for trait_id, state in sorted(profile.traits.items()):
        trait = known.get(trait_id)
        expires = expiry_of(trait.ttl_days, state.last) if trait is not None else NEVER
        facts.append(
            TraitFacts(
                id=trait_id,
                name=trait.name if trait is not None else "",
                count=state.old + len(state.times),
                last=utc_text(state.last),
                expires=utc_text(expires) if expires < NEVER else None,
            )
        )
    return facts


def _concerned(book: RuleBook, profile: Profile) -> list[Segment]:
    """The segments that have something to do with the device, or all of a small catalog."""
    if len(book.catalog.segments) < ALL_SEGMENTS_BELOW:
        return list(book.catalog.segments)
    related = profile.segments.keys() | book.naming(profile.traits)
    return [segment for segment in book.catalog.segments if segment.id in related]


def _is_in(profile: Profile, segment: Segment) -> bool:
    membership = profile.segments.get(segment.id)
    return membership is not None and membership.status == 1


def _segment(
    book: RuleBook, segment: Segment, profile: Profile, live: Mapping[int, TraitState], now: int
) -> SegmentFacts:
    membership = profile.segments.get(segment.id)
    marks = book.marks(segment, live, now)
    changed = verified = None
    status = 0
    if membership is not None:
        status = membership.status
        changed, verified = utc_text(membership.changed), utc_text(membership.verified)
        if membership.reason != "told" and status:
            verified = utc_text(max(membership.verified, profile.evaluated))
    return SegmentFacts(
        id=segment.id,
        name=segment.name,
        status=status,
        why=_why(segment, membership, marks, profile),
        rule=segment.rule,
        changed=changed,
        verified=verified,
        marks=marks,
        paused=segment.paused,
    )


def _why(segment: Segment, membership: Membership | None, marks: RulePart | None, profile: Profile) -> str:
    if marks is None:
        if membership is None:
            return "external: nobody told Arke about it"
        return "told that it is in" if membership.status else f"out: {REASONS[membership.reason]}"
    if membership is not None and membership.status:
        if segment.paused:
            return "it was in when the segment was paused"
        if marks.true:
            return "its rule is true"
        return "its rule was true, and by now it is not: the next sweep or sighting takes it out"
    if segment.paused:
        return "the segment is paused: it takes no new members"
    if marks.true and not profile.opted_out:
        return "its rule is true, and will be acted on when the device is next seen"
    if membership is not None:
        return f"left: {REASONS[membership.reason]}"
    held, lacking = _named(marks)
    if not held:
        return "never in: none of its traits is held"
    shown = ", ".join(f"{trait}T x{_count(profile, trait)}" for trait in sorted(held)[:10])
    missing = ", ".join(f"{trait}T" for trait in sorted(lacking)[:10])
    return f"never in: its rule is false (held: {shown}" + (f"; not held: {missing})" if missing else ")")


def _named(marks: RulePart) -> tuple[set[int], set[int]]:
    """The traits that a rule names and shows: those held, and the others."""
    held: set[int] = set()
    lacking: set[int] = set()
    waiting = [marks]
    while waiting:
        part = waiting.pop()
        waiting += part.parts
        for trait in part.traits:
            (held if trait.held else lacking).add(trait.id)
    return held, lacking


def _count(profile: Profile, trait_id: int) -> int:
    state = profile.traits[trait_id]
    return state.old + len(state.times)


def _destinations(catalog: Catalog, profile: Profile, dossier: Dossier) -> list[DestinationFacts]:
    sides = {telling.destination: telling for telling in dossier.tellings}
    facts = []
    for destination in catalog.destinations:
        rows = [row for row in dossier.ledger if row.destination == destination.id]
        side = sides.get(destination.id)
        state, why = state_of(destination, profile, side, rows)
        due = side.owed_due if side is not None else None
        facts.append(
            DestinationFacts(
                id=destination.id,
                name=destination.name,
                state=state,
                why=why,
                ids=[_id_facts(row) for row in rows],
                owed_tries=side.owed_tries if side is not None else 0,
                owed_next=utc_text(due) if due is not None else None,
                would_tell=side.would_tell if side is not None else {},
                accounts=_accounts(side) if side is not None else [],
            )
        )
    return facts


def _accounts(side: Telling) -> list[AccountFacts]:
    return [AccountFacts(number, one.bucket, one.reason) for number, one in sorted(side.accounts.items())]


def _id_facts(row: LedgerRow) -> IdFacts:
    return IdFacts(
        dpid=row.dpid,
        id=row.id,
        told={alias: TOLD[status] for alias, status in row.entry.told.items()},
        tries=[TryFacts(utc_text(t.at), t.message, t.answer, t.kind) for t in row.entry.tries],
    )


def state_of(
    destination: Destination, profile: Profile, side: Telling | None, rows: list[LedgerRow]
) -> tuple[str, str]:
    """How a destination stands with a device, and why: see `DestinationFacts`."""
    if side is None or not destination.enabled:
        return "off", "the destination is switched off"
    if side.owed_since is not None:
        return "owed", f"owed since {utc_text(side.owed_since)}: {side.owed_reason}"
    if side.pending:
        return "pending", "a message is waiting or under way"
    if not side.sampled:
        return "not_sampled", f"outside the 1 in {destination.sample_rate_denominator} sample"
    if profile.opted_out and not rows:
        return "nothing", "the device opted out: nothing is told about it"
    takes = set(destination.user_dpids)
    if (0 not in takes or is_home(profile.uuid)) and not any(
        partner.dpid in takes for partner in profile.ids
    ):
        return "no_partner_id", f"no id of the data sources it takes ({', '.join(map(str, sorted(takes)))})"
    if rows:
        return "told", "everything sent was acknowledged"
    if not side.would_tell:
        silent = next((one.reason for one in side.accounts.values()), None)
        return "nothing", silent or "the device is in none of its mapped segments"
    if not destination.realtime:
        return "nothing", "the destination takes batches alone: its next one tells"
    return "nothing", "nothing has set off a message yet: the device's next sighting may"


__all__ = ["Explanation", "PeopleOperations", "dossier_of"]


class PeopleOperations:
    """Explains devices. Every look is audited."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._book = RuleBook(engine.live.catalog)

    async def explain(
        self, uuid: str | None, partner: str | None, *, part: Part | None = None, actor: str = LOCAL
    ) -> Explanation:
        """By UUID, or by `dpid:id`; `part` as in `explain`. Raises InvalidInput."""
        found = await self.look_up(uuid, partner, part)
        who = self._engine.privacy.name_of(partner if partner is not None else found.uuid)
        await self._engine.audit.record(actor, "explained", who)
        return found

    async def look_up(self, uuid: str | None, partner: str | None, part: Part | None = None) -> Explanation:
        """The same without an entry in the audit: for those whose people are made up. Raises InvalidInput."""
        if (uuid is None) == (partner is None):
            raise InvalidInput("give exactly one of a UUID and an id")
        if partner is not None:
            dpid, colon, partner_id = partner.partition(":")
            number = whole_number(dpid, MAX_ID)
            if not colon or number is None or not partner_id:
                raise InvalidInput("this is not DPID:ID, for example 12345:abc")
            key = (number, partner_id)
            found = await self._found(key)
            if isinstance(found, Explanation):
                return found
            return await self._explained(found, part, suppressed=await self._is_suppressed(key))
        if uuid is None or not is_uuid(uuid):
            raise InvalidInput(
                "a UUID has exactly 38 decimal digits; a partner id is asked for by id, as DPID:ID"
            )
        listed = await self._engine.identity.suppressed.among([uuid])
        return await self._explained(uuid, part, suppressed=listed.device(uuid))

    async def _explained(self, uuid: str, part: Part | None, *, suppressed: bool) -> Explanation:
        dossier = await dossier_of(self._engine.shards, uuid)
        book = await self._rules()
        if part is None and len(book.catalog.segments) >= ALL_SEGMENTS_BELOW:
            # It may have to do with thousands, whose rules nobody has needed yet: meanwhile the intake goes on.
            explained = await self._engine.compiler.run(explain, book, uuid, dossier)
        else:
            explained = explain(book, uuid, dossier, part)
        return msgspec.structs.replace(explained, suppressed=suppressed)

    async def _rules(self) -> RuleBook:
        """Those of the catalog in force."""
        if self._book.catalog is not (catalog := self._engine.live.catalog):
            self._book = await self._engine.compiler.run(RuleBook, catalog)
        return self._book

    async def _is_suppressed(self, key: IdKey) -> bool:
        """Whether events that name an id are refused for it, in whatever spelling it was suppressed."""
        sought = self._engine.live.ids.sought(*key)
        if isinstance(sought, IdProblem):
            if sought in NOBODYS:
                return False
        else:
            key = (key[0], sought)
        return (await self._engine.identity.suppressed.among(ids=[key])).id(key)

    async def _found(self, key: IdKey) -> str | Explanation:
        """Whom an id leads to, in whatever spelling it is kept; or why it leads to nobody."""
        rules, identity = self._engine.live.ids, self._engine.identity
        sought = rules.sought(*key)
        own = [] if isinstance(sought, IdProblem) else [(key[0], sought)]
        for one in (*own, *sorted(others_of(rules, key))):
            if (owner := await identity.owner(one)) is not None:
                return owner.uuid
        why = sought.value if isinstance(sought, IdProblem) else ""
        return Explanation(uuid="", known=False, suppressed=await self._is_suppressed(key), why=why)


async def dossier_of(shards: Shards, uuid: str, *, behind_log: bool = False) -> Dossier:
    """Everything kept about one device, by its shard: see `AskProfile`. Raises Unavailable."""
    return await shards.ask_about(uuid, AskProfile(uuid, behind_log))

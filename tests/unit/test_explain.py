"""What `explain` says of a device is what the evaluator goes by."""

from __future__ import annotations

from datetime import datetime

import pytest

from arke.domain.catalog import Catalog, Destination, Segment, Trait
from arke.domain.ledger import LedgerEntry, LedgerRow, Try
from arke.domain.membership import Membership
from arke.domain.profile import PartnerId, Profile, TraitState
from arke.domain.time import day_start_ts
from arke.evaluation.compiled import CompiledCatalog
from arke.evaluation.evaluate import pass_time
from arke.operations.explain import explain
from arke.operations.marks import RuleBook, RulePart, RuleTrait
from arke.shard.protocol import Dossier

MIDNIGHT = day_start_ts("2026-05-02")


@pytest.mark.parametrize("ttl_days", [1, 2, 120])
@pytest.mark.parametrize("last", [MIDNIGHT, MIDNIGHT - 1, MIDNIGHT + 3_600])
def test_a_trait_is_held_until_the_moment_that_is_shown(ttl_days: int, last: int) -> None:
    """The second before it is held, at that second it is gone."""
    catalog = Catalog(
        traits=(Trait(id=1, rule='c_a == "1"', ttl_days=ttl_days),), segments=(Segment(id=10, rule="1T"),)
    )
    compiled = CompiledCatalog(catalog)
    profile = Profile("1" * 38, traits={1: TraitState(last, 0, [last])}, seen=last, evaluated=last)
    (facts,) = explain(RuleBook(catalog), profile.uuid, dossier(profile, last)).traits
    assert facts.expires is not None
    shown = int(datetime.fromisoformat(facts.expires).timestamp())
    pass_time(compiled, profile, shown - 1)
    assert 1 in profile.traits
    pass_time(compiled, profile, shown)
    assert 1 not in profile.traits


def test_a_trait_that_never_expires() -> None:
    catalog = Catalog(traits=(Trait(id=1, rule='c_a == "1"', ttl_days=0),))
    profile = Profile("1" * 38, traits={1: TraitState(MIDNIGHT, 0, [MIDNIGHT])})
    (facts,) = explain(RuleBook(catalog), profile.uuid, dossier(profile, MIDNIGHT)).traits
    assert facts.expires is None


def test_the_parts_of_a_rule_are_marked_with_what_they_found() -> None:
    """Names beside ids, counts with their window, and each part true or false."""
    catalog = Catalog(
        traits=(Trait(id=1000, name="Camera shopper"), Trait(id=1002, name="Bounced")),
        segments=(Segment(id=14, rule="frequency([1000T,1001T] <= 5D) >= 3 AND NOT 1002T"),),
    )
    times = [MIDNIGHT - 6 * 86_400, MIDNIGHT - 5 * 86_400, MIDNIGHT - 60]
    profile = Profile("1" * 38, traits={1000: TraitState(times[-1], 1, times, times[0] - 1)})
    (facts,) = explain(RuleBook(catalog), profile.uuid, dossier(profile, MIDNIGHT)).segments
    assert facts.marks is not None
    assert not facts.marks.true
    frequency, negation = facts.marks.parts
    assert (frequency.kind, frequency.true, frequency.found) == ("frequency", False, 2)
    assert frequency.since == "2026-04-27T00:00:00Z"
    assert frequency.why == "2 found since 2026-04-27T00:00:00Z"
    assert frequency.traits[0] == RuleTrait(1000, "Camera shopper", True, 2, "2026-05-01T23:59:00Z")
    assert frequency.traits[1] == RuleTrait(1001, "", False, 0, None)
    assert (negation.kind, negation.true) == ("not", True)
    assert negation.parts[0].why == "not held"
    assert facts.why == "never in: its rule is false (held: 1000T x4; not held: 1001T, 1002T)"


def test_a_trait_that_has_expired_and_was_not_dropped_yet_counts_for_nothing() -> None:
    """The sweep comes when it comes; the marks say what is true now, and the reason says what is to come."""
    catalog = Catalog(traits=(Trait(id=1, ttl_days=2),), segments=(Segment(id=10, rule="1T"),))
    profile = Profile(
        "1" * 38,
        traits={1: TraitState(MIDNIGHT, 0, [MIDNIGHT])},
        memberships={10: Membership(1, MIDNIGHT, MIDNIGHT, "rule")},
    )
    (held,) = explain(RuleBook(catalog), profile.uuid, dossier(profile, MIDNIGHT + 2 * 86_400 - 1)).segments
    assert (held.marks and held.marks.true, held.why) == (True, "its rule is true")
    (gone,) = explain(RuleBook(catalog), profile.uuid, dossier(profile, MIDNIGHT + 2 * 86_400)).segments
    assert gone.marks == RulePart(
        kind="trait",
        true=False,
        why="not held",
        text="1T",
        traits=[RuleTrait(1, "", False, 0, None)],
        found=0,
    )
    assert gone.status == 1
    assert "next sweep or sighting takes it out" in gone.why


def test_of_very_many_parts_those_that_decide_are_shown() -> None:
    """An OR over a thousand traits of which the last is held, and an AND of which only the last is missing."""
    wide = " OR ".join(f"frequency([{trait}T]) >= 1" for trait in range(1, 1_001))
    every = " AND ".join(f"{trait}T" for trait in range(1, 1_001))
    catalog = Catalog(
        traits=tuple(Trait(id=trait) for trait in range(1, 1_001)),
        segments=(Segment(id=10, rule=wide), Segment(id=11, rule=every)),
    )
    one = Profile("1" * 38, traits={1_000: TraitState(MIDNIGHT, 0, [MIDNIGHT])})
    marks = explain(RuleBook(catalog), one.uuid, dossier(one, MIDNIGHT)).segments[0].marks
    assert marks is not None
    assert marks.true
    assert marks.parts[-1].true
    assert (len(marks.parts), marks.left_out) == (50, 950)
    most = Profile("1" * 38, traits={trait: TraitState(MIDNIGHT, 0, [MIDNIGHT]) for trait in range(1, 1_000)})
    marks = explain(RuleBook(catalog), most.uuid, dossier(most, MIDNIGHT)).segments[1].marks
    assert marks is not None
    assert [part.text for part in marks.parts if not part.true] == ["1000T"]


def test_of_many_segments_those_that_the_device_has_to_do_with_are_explained() -> None:
    """Of ten thousand, those that name a trait that it holds, and those it was in."""
    catalog = Catalog(
        traits=(Trait(id=1), Trait(id=2)),
        segments=tuple(Segment(id=number, rule=f"{1 + number % 5_000}T") for number in range(1, 10_001)),
    )
    profile = Profile(
        "1" * 38,
        traits={1: TraitState(MIDNIGHT, 0, [MIDNIGHT])},
        memberships={77: Membership(0, MIDNIGHT, MIDNIGHT, "ttl")},
    )
    found = explain(RuleBook(catalog), profile.uuid, dossier(profile, MIDNIGHT)).segments
    assert [facts.id for facts in found] == [77, 5_000, 10_000]


def test_the_time_line_has_each_message_once_with_its_answer() -> None:
    """A message about two ids of a device is one line; what counts as success is the destination's to say; and what
    is not kept any more is told.
    """
    catalog = Catalog(
        segments=(Segment(id=10, name="In market", rule="1T"),),
        destinations=(Destination(id=423, name="Acme", url="https://a", client_id="1", success=(200, 202)),),
    )
    profile = Profile(
        "1" * 38,
        seen=MIDNIGHT,
        memberships={10: Membership(1, MIDNIGHT, MIDNIGHT, "rule")},
        ids=[PartnerId(7, "a", 1, MIDNIGHT - 10)],
    )
    tries = [
        Try(MIDNIGHT + n, f"m{n}", answer, "realtime").stored()
        for n, answer in enumerate(["timeout", "202"], 1)
    ]
    full = [Try(MIDNIGHT + 1, f"x{n}", "500", "batch").stored() for n in range(5)]
    ledger = [
        LedgerRow(1, 423, 7, "a", LedgerEntry(1, {}, tries)),
        LedgerRow(1, 423, 7, "b", LedgerEntry(1, {}, tries)),
        LedgerRow(1, 9, 7, "c", LedgerEntry(1, {}, full)),
    ]
    line = explain(RuleBook(catalog), profile.uuid, Dossier(profile, ledger, [], MIDNIGHT)).timeline
    assert [moment.at for moment in line.moments] == sorted((one.at for one in line.moments), reverse=True)
    newest = line.moments[0]
    assert (newest.answer, newest.acknowledged, newest.ids) == ("202", True, ["7:a", "7:b"])
    assert newest.text == "realtime message to 423 Acme: 202"
    failed = next(one for one in line.moments if one.answer == "timeout")
    assert not failed.acknowledged
    assert sum(one.destination == 9 for one in line.moments) == 5
    assert {one.kind for one in line.moments} == {"sent", "changed", "linked", "seen"}
    assert "there may have been more of 7:c" in line.gone[0]


def dossier(profile: Profile, now: int) -> Dossier:
    return Dossier(profile=profile, ledger=[], tellings=[], now=now)

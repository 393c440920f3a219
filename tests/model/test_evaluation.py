"""Model test of the evaluator: after every event it agrees with the brute-force one (QUALITY, reliability 6)."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings

from arke.domain.event import MAX_EVENT_AGE_S, Event
from arke.domain.profile import Profile
from arke.domain.stored_profile import decode_profile, encode_profile
from arke.evaluation.compiled import CompiledCatalog
from arke.evaluation.evaluate import apply_event
from model.histories import History, Step, catalog, histories, moments
from model.oracle import Device

UUID = "0" * 38

often = settings(max_examples=500, derandomize=True, suppress_health_check=list(HealthCheck), database=None)


@often
@given(histories())
def test_memberships_are_those_of_the_brute_force_evaluator(history: History) -> None:
    """500 catalogs and histories of 50 steps, all on one device: status after every event, and the changes."""
    agree(history)


@pytest.mark.soak
@settings(often, max_examples=20_000, derandomize=False)
@given(histories())
def test_memberships_in_the_long_run(history: History) -> None:
    """The same, many more."""
    agree(history)


def agree(history: History) -> None:
    rulings = [CompiledCatalog(catalog(edition)) for edition in history.editions]
    force = 0
    profile, device = Profile(UUID), Device()
    for at, step in zip(moments(history.steps), history.steps, strict=True):
        if step.edit is not None:
            force = step.edit % len(rulings)
            continue
        if step.fail is not None:
            continue
        event = event_of(step, at)
        before = device.members
        told = dict(event.memberships)
        realised = {*step.told_traits, *step.realised}
        expected = device.see(history.editions[force].world, at, event.ts, realised, told)
        effect = apply_event(rulings[force], profile, event, at)
        profile = decode_profile(encode_profile(profile))
        held = {segment for segment, membership in profile.segments.items() if membership.status}
        assert held == expected, f"after {step}"
        changed = {change.segment: change.status for change in effect.changes}
        assert changed == {segment: int(segment in expected) for segment in before ^ expected}, (
            f"after {step}"
        )


def event_of(step: Step, at: int) -> Event:
    return Event(
        uuid=UUID,
        at=at,
        ts=at - min(step.late, MAX_EVENT_AGE_S),
        signals={"c_trait": [str(trait) for trait in step.realised]} if step.realised else {},
        traits=step.told_traits,
        memberships=dict(step.memberships),
    )

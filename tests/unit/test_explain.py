"""What `explain` says of a device is what the evaluator goes by."""

from __future__ import annotations

from datetime import datetime

import pytest

from arke.domain.catalog import Catalog, Segment, Trait
from arke.domain.profile import Profile, TraitState
from arke.domain.time import day_start_ts
from arke.evaluation.compiled import CompiledCatalog
from arke.evaluation.evaluate import pass_time
from arke.operations.explain import explain
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
    (facts,) = explain(catalog, profile.uuid, dossier(profile, last)).traits
    assert facts.expires is not None
    shown = int(datetime.fromisoformat(facts.expires).timestamp())
    pass_time(compiled, profile, shown - 1)
    assert 1 in profile.traits
    pass_time(compiled, profile, shown)
    assert 1 not in profile.traits


def test_a_trait_that_never_expires() -> None:
    catalog = Catalog(traits=(Trait(id=1, rule='c_a == "1"', ttl_days=0),))
    profile = Profile("1" * 38, traits={1: TraitState(MIDNIGHT, 0, [MIDNIGHT])})
    (facts,) = explain(catalog, profile.uuid, dossier(profile, MIDNIGHT)).traits
    assert facts.expires is None


def dossier(profile: Profile, now: int) -> Dossier:
    return Dossier(profile=profile, ledger=[], tellings=[], now=now)

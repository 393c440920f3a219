"""Model test of counting across a login: what a person's home brings to a device, against collections of times.

The catalog's windows come, go and change meanwhile, so that either side may only count what the other has times of.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from arke.domain.catalog import Catalog, Segment, Trait
from arke.domain.profile import Profile, TraitState
from arke.domain.rules.segment import counter_of
from arke.evaluation.compiled import SPARE_DAYS, SPARE_STAMPS, CompiledCatalog
from arke.evaluation.realise import merge, realise

if TYPE_CHECKING:
    from collections.abc import Iterable

DAY = 86_400
QUARTER = DAY // 4
"""All times are multiples of it, so that realisations meet each other and the edges of windows."""
START = 20_000 * DAY
TRAIT = 1

EDITIONS = ((), (1,), (5,), (30,), (1, 30), (60,))
"""The windows in days that each edition of the catalog asks for."""
COMPILED = [
    CompiledCatalog(
        Catalog(
            traits=(Trait(id=TRAIT, ttl_days=0),),
            segments=tuple(
                Segment(id=number, rule=f"frequency([1T]{recency}) >= 2")
                for number, recency in enumerate(("", *[f" <= {days}D" for days in asked]), 1)
            ),
        )
    )
    for asked in EDITIONS
]
SINCE, UNTIL = counter_of("<="), counter_of(">=")


class Step(NamedTuple):
    """So many quarters of a day later: `who` realises the trait, `late` quarters before and `times` over, or logs
    in, or the catalog becomes `edition`.
    """

    later: int
    who: str
    late: int = 0
    times: int = 1
    edition: int = 0


_realising = st.builds(
    Step,
    st.sampled_from((0, 0, 1, 1, 3, 4, 20)),
    st.sampled_from(("home", "device", "both")),
    st.sampled_from((0, 0, 0, 0, 1, 5, 30, 150)),
    st.sampled_from((1, 1, 1, 2, 9, 17)),
)
_logins = st.builds(Step, st.sampled_from((0, 1, 4, 21, 121)), st.just("login"))
_edits = st.builds(Step, st.sampled_from((0, 1)), st.just("edit"), edition=st.integers(0, len(EDITIONS) - 1))
steps = st.lists(st.one_of(_realising, _realising, _logins, _edits), max_size=40)

often = settings(
    max_examples=1_000,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    database=None,
    deadline=None,
)


@often
@given(st.integers(0, len(EDITIONS) - 1), steps)
@example(0, [Step(0, "device"), Step(4, "home", times=17), Step(0, "edit", edition=3), Step(116, "login")])
def test_a_login_counts_what_there_is_and_nothing_twice(edition: int, history: list[Step]) -> None:
    """1,000 histories of a home and a device."""
    agree(edition, history)


@pytest.mark.soak
@settings(often, max_examples=20_000, derandomize=False)
@given(st.integers(0, len(EDITIONS) - 1), steps)
def test_logins_in_the_long_run(edition: int, history: list[Step]) -> None:
    """The same, many more."""
    agree(edition, history)


def agree(edition: int, history: Iterable[Step]) -> None:
    compiled, now = COMPILED[edition], START
    steadily = max(EDITIONS[edition], default=0)
    """Every edition so far asked for so many days: that far back all is exact."""
    home, device = Profile("home"), Profile("device")
    at_home: Counter[int] = Counter()
    on_device: Counter[int] = Counter()
    for step in history:
        now += step.later * QUARTER
        if step.who == "edit":
            compiled = COMPILED[step.edition]
            steadily = min(steadily, max(EDITIONS[step.edition], default=0))
        elif step.who == "login":
            on_device |= at_home
            log_in(compiled, device, home, steadily, now)
        else:
            ts = now - step.late * QUARTER
            for who, profile, counted in (("home", home, at_home), ("device", device, on_device)):
                if step.who in {who, "both"}:
                    counted[ts] += step.times
                    for _ in range(step.times):
                        realise(compiled, profile, TRAIT, ts, now)
        for profile, there in ((home, at_home), (device, on_device)):
            check(compiled, profile, there, steadily, now)


def log_in(compiled: CompiledCatalog, device: Profile, home: Profile, steadily: int, now: int) -> None:
    """What the home holds is brought to the device: no count of either is lost, and again it brings nothing."""
    held = home.traits.get(TRAIT)
    if held is None:
        return
    before = msgspec.convert(msgspec.to_builtins(device), Profile)
    handed_on = msgspec.convert(msgspec.to_builtins(held), TraitState)
    merge(compiled, device, TRAIT, held, now)
    assert held == handed_on, "the home's own is left as it is"
    merged = device.traits[TRAIT]
    own = before.traits.get(TRAIT, TraitState(0, 0, []))
    times = sorted((Counter(own.times) | Counter(held.times)).elements())
    windows_s = compiled.windows_s.get(TRAIT)
    if windows_s is None:
        times = times[-SPARE_STAMPS:]
        assert all(at >= times[0] for at in merged.times), "but for others of the second of the oldest"
    edge = now - (windows_s[-1] if windows_s else SPARE_DAYS * DAY)
    wanted = [at for at in times if at >= edge]
    assert [at for at in merged.times if at >= edge][-len(wanted) :] == wanted
    counted = max(own.old_until, held.old_until)
    assert all(at >= edge or at > counted for at in merged.times), (
        "older than any window, and a count for one"
    )
    assert total(merged) >= max(total(own), total(held))
    for window_s in compiled.windows_s.get(TRAIT, ()):
        if window_s <= steadily * DAY:
            edge = now - window_s
            assert UNTIL(merged, edge) >= max(UNTIL(own, edge), UNTIL(held, edge))
    assert merged.last == max(own.last, held.last)

    assert merge(compiled, device, TRAIT, held, now) is None, "once is as good as twice"
    assert device.traits[TRAIT] == merged
    for later in (1, 3 * DAY, 100 * DAY):
        again = msgspec.convert(msgspec.to_builtins(device), Profile)
        merge(compiled, again, TRAIT, held, now + later)
        assert total(again.traits[TRAIT]) == total(merged), "time adds nothing"
    if own.last:
        other_way = msgspec.convert(msgspec.to_builtins(home), Profile)
        merge(compiled, other_way, TRAIT, own, now)
        assert other_way.traits[TRAIT] == merged, "whoever brings it to whom"


def check(compiled: CompiledCatalog, profile: Profile, there: Counter[int], steadily: int, now: int) -> None:
    """Nothing is counted that there is not, and all that every catalog so far asked to be exact is exact."""
    state = profile.traits.get(TRAIT, TraitState(0, 0, []))
    assert profile.realisations == total(state) <= there.total()
    assert state.times == sorted(state.times)
    for window_s in compiled.windows_s.get(TRAIT, ()):
        edge = now - window_s
        since = sum(count for at, count in there.items() if at >= edge)
        until = sum(count for at, count in there.items() if at <= edge)
        assert SINCE(state, edge) <= since
        assert UNTIL(state, edge) <= until
        if window_s <= steadily * DAY:
            assert SINCE(state, edge) == since


def total(state: TraitState) -> int:
    return state.old + len(state.times)

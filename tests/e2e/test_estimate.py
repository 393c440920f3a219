"""`arke estimate`: counted where everybody is looked at, an interval around the truth where it is sampled."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from arke.errors import InvalidInput, RuleError
from e2e.catalogs import catalog, visit
from e2e.engine_process import EngineProcess, request
from e2e.stored_people import People

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

CAMERA, LENS, BAG = 1000, 1001, 1002
DAY_S = 86_400


def shopping(number: int) -> Sequence[int]:
    """Every third saw a camera, every fifth a lens, all others a bag."""
    return [
        *([CAMERA] if number % 3 == 0 else []),
        *([LENS] if number % 5 == 0 else []),
        *([BAG] if number % 3 and number % 5 else []),
    ]


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> People:
    """20,000 people in two shards."""
    people = People(tmp_path_factory.mktemp("many"), catalog([]), shards=2)
    people.store(20_000, shopping)
    return people


@pytest.mark.parametrize(
    ("rule", "holds"),
    [
        ("1000T", lambda n: n % 3 == 0),
        ("1000T AND NOT 1001T", lambda n: n % 3 == 0 and n % 5),
        ("1000T OR 1001T", lambda n: n % 3 == 0 or n % 5 == 0),
        ("frequency([1000T,1001T] <= 1D) >= 2", lambda n: n % 15 == 0),
        ("frequency([1002T] >= 1D) >= 1", lambda _: False),
    ],
)
def test_below_the_bound_everybody_is_counted(
    many: People, rule: str, holds: Callable[[int], object]
) -> None:
    expected = sum(bool(holds(number)) for number in range(20_000))
    found = many.client.estimate(rule, None)
    assert (found.estimate, found.low, found.high) == (expected, expected, expected)
    assert (found.exact, found.looked_at, found.stored) == (True, 20_000, 20_000)


@pytest.mark.parametrize("sample", [500, 2_000, 18_000])
@pytest.mark.parametrize("rule", ["1000T", "1000T AND 1001T"])
def test_a_sample_has_the_truth_in_its_interval(many: People, rule: str, sample: int) -> None:
    """Which is the narrower the more were looked at."""
    truth = many.client.estimate(rule, None).estimate
    found = many.client.estimate(rule, sample)
    assert not found.exact
    assert found.looked_at == sample
    assert found.low <= truth <= found.high
    assert found.low < found.estimate < found.high
    assert found.high - found.low < 5 * (20_000 - sample) / sample**0.5 + 20


def test_a_trait_that_is_over_does_not_count_though_nobody_swept(tmp_path: Path) -> None:
    """Two stores of time: 119 days ago counts, 120 days ago does not; and so under the catalog in force only."""
    people = People(tmp_path, catalog([]))
    people.store(10, lambda _: [CAMERA], age_s=119 * DAY_S)
    assert people.client.estimate("1000T", None).estimate == 10
    people.apply(catalog([]).replace('"c_see == \\"camera\\""', '"c_see == \\"camera\\"", "ttl_days": 100'))
    found = people.client.estimate("1000T", None)
    assert (found.estimate, found.exact, found.stored) == (0, True, 10)


def test_bad_rules_are_refused_as_check_says_it(many: People) -> None:
    with pytest.raises(RuleError, match=r"^rule:1:11: there is no trait 1003 \(did you mean 1000T\?\)$"):
        many.client.estimate("1000T AND 1003T", None)
    with pytest.raises(RuleError, match=r"^rule:1:1: the rule is true for a profile without any traits"):
        many.client.estimate("NOT 1000T", None)
    with pytest.raises(InvalidInput, match=r"^sample must be 1 to 1,000,000,000$"):
        many.client.estimate("1000T", 0)


def test_without_data_there_is_nothing_to_estimate(tmp_path: Path) -> None:
    engine = EngineProcess(tmp_path)
    done = engine.arke("estimate", "1000T")
    assert (done.returncode, done.stdout) == (2, "")
    assert "no engine has kept data here" in done.stderr
    assert not engine.data.exists()


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    """A running one with two shards and 40 visitors, three in four of whom saw a camera."""
    with EngineProcess(tmp_path_factory.mktemp("engine"), shards=2) as running:
        running.apply(catalog([]))
        running.accept(*(visit(number, "camera" if number % 4 else "lens") for number in range(40)))
        yield running


class TestThroughARunningEngine:
    def test_for_people(self, engine: EngineProcess) -> None:
        done = engine.arke("estimate", "1000T")
        assert done.stderr == ""
        assert done.stdout == "30 of 40 stored profiles (75.00%): exact, every one was looked at\n"
        sampled = engine.arke("estimate", "1000T", "--sample", "20").stdout
        assert sampled.startswith("about ")
        assert sampled.endswith(" with 95% confidence, from a random sample of 20\n")

    def test_for_programs(self, engine: EngineProcess) -> None:
        done = engine.arke("estimate", "1001T", "--json")
        assert json.loads(done.stdout) == {
            "estimate": 10,
            "low": 10,
            "high": 10,
            "looked_at": 40,
            "stored": 40,
            "exact": True,
            "warnings": [],
        }

    def test_a_bad_rule_is_wrong_use(self, engine: EngineProcess) -> None:
        for rule, problem in (
            ("1000T AND 7T", "rule:1:11: there is no trait 7 (define it under traits)"),
            ("1000T \udc80", "the rule is not UTF-8 text"),
        ):
            done = engine.arke("estimate", rule)
            assert (done.returncode, done.stdout, done.stderr) == (2, "", f"arke: {problem}\n")

    def test_over_the_admin_api(self, engine: EngineProcess) -> None:
        made = engine.client().create_token("read", "console", None)
        headers = {"Authorization": f"Bearer {made.secret}"}
        answer = request(engine.admin, "POST", "/v1/estimate?sample=1000", b"1000T", headers)
        assert (answer.status, answer.json()["estimate"]) == (200, 30)
        bad = request(engine.admin, "POST", "/v1/estimate", b"1000T AND", headers)
        assert (bad.status, bad.json()["code"]) == (400, "bad_rule")
        assert bad.json()["message"].startswith("rule:1:10: ")
        assert request(engine.admin, "POST", "/v1/estimate", b"1000T").status == 401
        large = request(engine.admin, "POST", "/v1/estimate", b"1" * 1_048_577, headers)
        assert (large.status, large.json()["message"]) == (400, "a rule may have 1048576 bytes")

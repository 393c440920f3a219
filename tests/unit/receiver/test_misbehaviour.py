"""How misbehaviours are written, and when each one strikes."""

from __future__ import annotations

import pytest

from arke.errors import InvalidInput
from arke.receiver.misbehaviour import Misbehaviour, MisbehaviourPlan, parse_misbehaviour


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("status=500", {"kind": "status", "value": "500"}),
        ("status=503:3", {"kind": "status", "value": "503", "times": 3}),
        ("status=429:p0.1", {"kind": "status", "value": "429", "probability": 0.1}),
        ("slow=2s", {"kind": "slow", "value": "2s", "seconds": (2.0,)}),
        ("slow=250ms:2", {"kind": "slow", "value": "250ms", "seconds": (0.25,), "times": 2}),
        ("stall", {"kind": "stall"}),
        ("reset:1", {"kind": "reset", "times": 1}),
        ("tls=stall:1", {"kind": "tls", "value": "stall", "times": 1}),
        ("flap=10s/1m", {"kind": "flap", "value": "10s/1m", "seconds": (10.0, 60.0)}),
        ("token:status=500:2", {"kind": "status", "value": "500", "target": "token", "times": 2}),
        ("redirect=https://a.example:8443", {"kind": "redirect", "value": "https://a.example:8443"}),
        (
            "redirect=https://a.example:1/x:2",
            {"kind": "redirect", "value": "https://a.example:1/x", "times": 2},
        ),
    ],
)
def test_a_specification_is_read(text: str, expected: dict[str, object]) -> None:
    assert parse_misbehaviour(text) == Misbehaviour(text=text, **expected)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        "", "sleep", "status", "status=99", "status=abc", "status=500:0", "status=500:p0", "status=500:p1.5",
        "slow", "slow=fast", "slow=0s", "slow=9999h", "stall=1", "redirect=/x", "redirect=https://a/\r\nX: y",
        "tls=weak", "flap=10s", "flap=1s/1s:3", "token:tls=expired",
    ],
)  # fmt: skip
def test_a_wrong_specification_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="'"):
        parse_misbehaviour(text)


def test_counts_run_out_and_the_first_that_applies_strikes() -> None:
    plan = MisbehaviourPlan(["token:status=500:1", "status=500:2", "close:1"])
    struck = [plan.for_request("message") for _ in range(4)]
    assert [None if rule is None else rule.kind for rule in struck] == ["status", "status", "close", None]
    assert plan.remaining() == ["token:status=500:1"]
    assert plan.for_request("token") is not None
    assert plan.remaining() == []


def test_a_probability_strikes_about_that_often_and_repeatably() -> None:
    plans = [MisbehaviourPlan(["status=500:p0.3"], seed=7) for _ in range(2)]
    first, second = ([plan.for_request("message") is not None for _ in range(1_000)] for plan in plans)
    assert first == second
    assert 240 < sum(first) < 360


def test_requests_and_connections_have_their_own_faults() -> None:
    plan = MisbehaviourPlan(["tls=expired:1", "reset:1"])
    assert [rule and rule.kind for rule in (plan.for_request("message"), plan.for_connection())] == [
        "reset",
        "tls",
    ]


def test_a_flap_follows_the_clock_from_when_it_was_set() -> None:
    plan = MisbehaviourPlan()
    assert not plan.is_down(5.0)
    plan.replace(["flap=10s/5s"], now_s=100.0)
    assert [plan.is_down(at) for at in (100.0, 109.9, 110.0, 114.9, 115.0)] == [
        False,
        False,
        True,
        True,
        False,
    ]


def test_a_wrong_replacement_leaves_the_plan_as_it_was() -> None:
    plan = MisbehaviourPlan(["stall"])
    with pytest.raises(InvalidInput):
        plan.replace(["close", "nonsense"], now_s=0.0)
    assert plan.remaining() == ["stall"]

"""How misbehaviours are written, and when each one strikes."""

from __future__ import annotations

from typing import get_args, get_type_hints

import pytest

from arke.cli.receiver import receiver
from arke.errors import InvalidInput
from arke.receiver.misbehaviour import Kind, Misbehaviour, MisbehaviourPlan, parse_misbehaviour


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
        "poison", "poison=", "poison=422/", "throttle", "throttle=5", "throttle=0/s", "throttle=x/s", "sloppy=very",
        "stale-token=500/2s", "stale-token=403/2s/1", "move-dns=elsewhere", "move-dns=127.0.0.2/soon", "move-dns:2",
        "token:poison=p3", "token:stale-token", "token:move-dns",
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


def test_what_the_newer_ones_say_is_read() -> None:
    read = {text: parse_misbehaviour(text) for text in (
        "poison=p3", "poison=422/p/3:2", "throttle=5/s", "throttle=100/1.5m", "sloppy", "sloppy=lf:p0.5",
        "stale-token", "stale-token=403", "stale-token=2s", "stale-token=403/500ms",
        "move-dns", "move-dns=10s", "move-dns=::1", "move-dns=[::1]/2s",
    )}  # fmt: skip
    assert {text: (rule.value, rule.status, rule.most, rule.seconds) for text, rule in read.items()} == {
        "poison=p3": ("p3", 400, 0, ()),
        "poison=422/p/3:2": ("p/3", 422, 0, ()),
        "throttle=5/s": ("5/s", 0, 5, (1.0,)),
        "throttle=100/1.5m": ("100/1.5m", 0, 100, (90.0,)),
        "sloppy": ("", 0, 0, ()),
        "sloppy=lf:p0.5": ("lf", 0, 0, ()),
        "stale-token": ("", 401, 0, (1.0,)),
        "stale-token=403": ("", 403, 0, (1.0,)),
        "stale-token=2s": ("", 401, 0, (2.0,)),
        "stale-token=403/500ms": ("", 403, 0, (0.5,)),
        "move-dns": ("", 0, 0, (0.0,)),
        "move-dns=10s": ("", 0, 0, (10.0,)),
        "move-dns=::1": ("::1", 0, 0, (0.0,)),
        "move-dns=[::1]/2s": ("::1", 0, 0, (2.0,)),
    }


def test_a_throttle_lets_so_many_in_and_says_when_there_is_room() -> None:
    """In any such time, not by the calendar; what another fault struck before it is not counted."""
    plan = MisbehaviourPlan(["status=500:1", "throttle=2/10s"])
    assert [plan.for_request("message", now_s=0.0) is None for _ in range(3)] == [False, True, True]
    late = plan.for_request("message", now_s=3.5)
    assert late is not None
    assert (late.kind, late.seconds) == ("throttle", (7,))
    assert plan.for_request("message", now_s=10.0) is None


def test_a_fault_that_looks_at_the_request_passes_others_by() -> None:
    plan = MisbehaviourPlan(["poison=p3:1", "slow=1s"])

    def struck(*, poisoned: bool) -> str | None:
        rule = plan.for_request("message", applies=lambda rule: rule.kind != "poison" or poisoned)
        return None if rule is None else rule.kind

    assert [struck(poisoned=poisoned) for poisoned in (False, True, True)] == ["slow", "poison", "slow"]


def test_sloppiness_takes_turns() -> None:
    plan = MisbehaviourPlan(["sloppy"])
    struck = [plan.for_request("message") for _ in range(7)]
    ways = ["fold", "lf", "twice", "lengths", "blank", "version", "fold"]
    assert [rule and rule.value for rule in struck] == ways


def test_a_move_follows_the_clock() -> None:
    plan = MisbehaviourPlan()
    assert plan.moved_to(0.0) is None
    plan.replace(["move-dns=127.0.0.2/5s"], now_s=100.0)
    assert [plan.moved_to(at) for at in (104.9, 105.0)] == [None, "127.0.0.2"]


@pytest.mark.parametrize("kind", get_args(Kind))
def test_the_commands_help_names_each_of_them(kind: str) -> None:
    misbehave = get_type_hints(receiver, include_extras=True)["misbehave"]
    assert kind in misbehave.__metadata__[0].help

"""The circuit of an endpoint that fails throughout, on given times."""

from __future__ import annotations

from arke.delivery.circuit import (
    CONNECT_EVERY_LATER_S,
    CONNECT_EVERY_S,
    CONNECT_SOON_FOR_S,
    FIRST_PAUSE_S,
    LONGEST_PAUSE_S,
    THRESHOLD,
    Circuit,
    Concurrency,
)


def opened(*, unreachable: bool = False, now: float = 100.0) -> Circuit:
    circuit = Circuit()
    for _ in range(THRESHOLD):
        assert circuit.state(now) == "closed"
        circuit.failed(now, unreachable=unreachable)
    return circuit


def test_it_is_half_open_once_the_pause_is_over() -> None:
    """Also where nobody has anything to send."""
    circuit = opened()
    assert circuit.state(100.0 + FIRST_PAUSE_S / 2) == "open"
    assert circuit.state(100.0 + FIRST_PAUSE_S) == "half_open"
    assert circuit.state(1e6) == "half_open"


def test_the_pause_of_an_endpoint_that_answers_doubles() -> None:
    circuit, now, pauses = opened(), 100.0, []
    for _ in range(7):
        due = circuit.waits_until()
        assert due is not None
        pauses.append(due - now)
        now = due
        assert circuit.allows(now)
        assert circuit.sent()
        assert not circuit.allows(now), "one probe at a time"
        circuit.failed(now, probe=True)
    assert pauses == [1, 2, 4, 8, 16, LONGEST_PAUSE_S, LONGEST_PAUSE_S]


def test_an_endpoint_that_cannot_be_reached_costs_no_message() -> None:
    """It is tried every second at first, later every five."""
    circuit, now, tries = opened(unreachable=True), 100.0, 0
    while now < 100.0 + CONNECT_SOON_FOR_S + 20:
        due = circuit.waits_until()
        assert due is not None
        assert circuit.unreachable
        assert not circuit.allows(due)
        assert due - now == (CONNECT_EVERY_S if now - 100.0 < CONNECT_SOON_FOR_S else CONNECT_EVERY_LATER_S)
        now = due
        circuit.tried_to_connect(now, made=False)
        tries += 1
    assert CONNECT_SOON_FOR_S <= tries <= CONNECT_SOON_FOR_S + 6


def test_one_that_is_reached_again_gets_one_message_at_once() -> None:
    circuit = opened(unreachable=True)
    circuit.tried_to_connect(101.0, made=True)
    assert (circuit.state(101.0), circuit.allows(101.0), circuit.connected) == ("half_open", True, True)
    assert circuit.sent()
    circuit.acknowledged()
    assert (circuit.state(101.0), circuit.connected) == ("closed", False)


def test_one_that_is_reached_and_fails_gets_messages_with_growing_pauses() -> None:
    """Connections tell nothing of a server that takes them and answers 503."""
    circuit = opened(unreachable=True)
    circuit.tried_to_connect(101.0, made=True)
    circuit.sent()
    circuit.failed(101.0, probe=True)
    assert (circuit.unreachable, circuit.waits_until()) == (False, 103.0)
    circuit.sent()
    circuit.failed(103.0, probe=True, unreachable=True)
    assert (circuit.unreachable, circuit.waits_until()) == (True, 104.0), "and away again"


def test_a_connection_that_nobody_asked_for_changes_nothing() -> None:
    """It was acknowledged, or answered, while the connection was being made."""
    circuit = Circuit()
    circuit.tried_to_connect(1.0, made=True)
    assert (circuit.state(1.0), circuit.connected) == ("closed", False)
    circuit = opened()
    circuit.tried_to_connect(100.5, made=True)
    assert circuit.state(100.5) == "open"


def test_concurrency_keeps_to_a_bound_that_is_edited() -> None:
    concurrency = Concurrency()
    concurrency.bound(3)
    assert concurrency.limit == 3
    concurrency.acknowledged(3)
    assert concurrency.limit == 3
    concurrency.bound(512)
    concurrency.acknowledged(3)
    assert concurrency.limit == 4

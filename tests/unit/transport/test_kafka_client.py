"""What librdkafka says again and again is said once a minute, each kind by itself."""

from __future__ import annotations

import logging

from structlog.testing import capture_logs

from arke.transport.kafka.client import MOST_KINDS, Seldom, _Lines

FAILED = (
    "FAIL [arke#producer-3] [thrd:%s]: %s: Connect failed: Connection refused (after %dms in state CONNECT)"
)


def test_a_broker_that_is_away_is_said_once_and_another_one_too() -> None:
    lines = _Lines()
    with capture_logs() as logs:
        for after in range(1_000):
            lines.log(logging.ERROR, FAILED, "k1:9092", "k1:9092", after)
        lines.log(logging.ERROR, FAILED, "k2:9092", "k2:9092", 0)
        lines.log(logging.DEBUG, "CONNECT [arke#producer-3] [thrd:k1:9092]: Connecting")
    said = [
        (one["event"], one["log_level"], one["message"][:44]) for one in logs if one["log_level"] != "debug"
    ]
    assert said == [
        ("kafka_client", "warning", f"FAIL [arke#producer-3] [thrd:{broker}:9092]: {broker}:90")
        for broker in ("k1", "k2")
    ]


def test_kinds_do_not_pile_up() -> None:
    say = Seldom("kafka_error")
    with capture_logs() as logs:
        for number in range(3 * MOST_KINDS):
            say(f"kind {number}", number=number)
    assert len(logs) == 3 * MOST_KINDS
    assert len(say._kinds) <= MOST_KINDS

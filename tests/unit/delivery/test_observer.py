"""Figures of a destination: what they count."""

from __future__ import annotations

from arke.delivery.channel import Delivery
from arke.delivery.observer import FiguresObserver


def test_a_message_that_could_not_be_sent_at_all_is_no_retry() -> None:
    """Counters never fall, or whoever scrapes them takes it for a restart."""
    observer = FiguresObserver()
    observer.delivered(423, "realtime", Delivery(False, "secret_unresolved", 0), [0.1])
    observer.delivered(423, "realtime", Delivery(False, "500", 2), [0.1])
    figures = observer.figures(423)
    assert (figures.messages, figures.retries) == (2, 1)
    assert figures.answers == {"secret_unresolved": 1, "500": 1}


def test_attempts_without_an_answer_are_counted_and_the_users_in_them() -> None:
    """Also those before an attempt that was answered."""
    observer = FiguresObserver()
    observer.delivered(423, "realtime", Delivery(True, "200", 2, unanswered=1), [0.1, 0.2, 0.3])
    observer.delivered(423, "realtime", Delivery(False, "timeout_headers", 2, unanswered=2), [0.1])
    observer.delivered(423, "realtime", Delivery(False, "500", 2), [0.1])
    both = observer.figures(423) + observer.figures(424)
    assert (both.unanswered, both.users_unanswered) == (3, 5)

"""Refusals are counted one by one, and told once a minute a kind; libraries are told of without their words."""

from __future__ import annotations

import logging

import structlog

from arke.doors.refusals import LOG_EVERY_S, Refusals
from arke.log import LibraryLines


def test_one_line_a_kind_a_minute() -> None:
    now = [0.0]
    refusals = Refusals(lambda: now[0])
    with structlog.testing.capture_logs() as lines:
        for _ in range(1_000):
            refusals.note("intake", "bad_request")
        refusals.note("admin", "bad_request")
        now[0] = LOG_EVERY_S
        refusals.note("intake", "bad_request")
        refusals.failed("intake", "ValueError in place:1")
        refusals.failed("intake", "ValueError in place:1")
        refusals.failed("intake", "ValueError in place:2")
    assert [(line["door"], line.get("kind") or line["what"], line["times"]) for line in lines] == [
        ("intake", "bad_request", 1),
        ("admin", "bad_request", 1),
        ("intake", "bad_request", 1_000),
        ("intake", "ValueError in place:1", 1),
        ("intake", "ValueError in place:2", 1),
    ]
    assert refusals.counts() == {
        ("intake", "bad_request"): 1_001,
        ("admin", "bad_request"): 1,
        ("intake", "internal"): 3,
    }


def test_a_library_is_told_of_without_its_words() -> None:
    library = logging.getLogger("some.library")
    handler = LibraryLines()
    library.addHandler(handler)
    with structlog.testing.capture_logs() as lines:
        for number in range(50):
            library.error("could not do it for visitor %s", number, exc_info=ValueError(f"visitor {number}"))
        library.warning("visitor")
        library.info("visitor")
    library.removeHandler(handler)
    assert [(line["log_level"], line["library"], line["error"]) for line in lines] == [
        ("error", "some.library", "ValueError"),
        ("warning", "some.library", None),
    ]
    assert "visitor" not in str(lines)

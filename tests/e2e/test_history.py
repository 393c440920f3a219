"""Figures over time outlast the engine that counted them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from arke.api.parameters import Span
from arke.api.table.history import READ_HISTORY
from arke.errors import InvalidInput
from e2e.catalogs import IN_MARKET, catalog, destination, visit
from e2e.engine_process import EngineProcess
from e2e.receiver_thread import ReceiverThread
from patience import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ACME = 423


@pytest.fixture
def receiver() -> Iterator[ReceiverThread]:
    with ReceiverThread() as running:
        yield running


def known(engine: EngineProcess, name: str, span: Span) -> list[float]:
    """The values of a series of which anything is known."""
    history = engine.client().ask(READ_HISTORY, span)
    (line,) = [line for line in history.lines if line.name == name]
    return [value for value in line.values if value is not None]


def test_what_an_engine_counted_is_there_after_it(receiver: ReceiverThread, tmp_path: Path) -> None:
    """An engine that stops looks once more; what is kept survives one that is killed."""
    with EngineProcess(tmp_path) as engine:
        engine.apply(catalog([destination(ACME, receiver.url, receiver.ca_file)]))
        engine.accept(visit(1, "camera"))
        wait_until(lambda: receiver.segments_of("p1"), "the message")
        wait_until(engine.delivered, "its acknowledgement")
        engine.stop()
        engine.start()
        assert max(known(engine, "events", Span())) > 0
        assert max(known(engine, "acknowledged", Span(destination=ACME))) > 0
        assert known(engine, "latency_p50", Span(destination=ACME, series="latency_p50"))
        assert known(engine, "size", Span(segment=IN_MARKET))[-1] == 1
        engine.kill()
        engine.start()
        assert max(known(engine, "events", Span())) > 0
        history = engine.client().ask(READ_HISTORY, Span(since="2026-01-01T00:00:00Z", until="1767229200"))
        assert (history.since, history.until, history.step_s) == (1_767_225_600, 1_767_229_200, 60)
        assert {value for line in history.lines for value in line.values} == {None}


@pytest.mark.parametrize(
    ("span", "told"),
    [
        (Span(destination=99), "no destination 99"),
        (Span(segment=99), "no segment 99"),
        (Span(destination=ACME, segment=1), "not both"),
        (Span(series="events,mood"), "no series mood"),
        (Span(since="yesterday"), "since is a time"),
        (Span(since="2026-01-01T00:00:00"), "since is a time"),
        (Span(since="200", until="100"), "before until"),
        (Span(step=61), "a multiple of it"),
        (Span(step=0), "a multiple of it"),
        (Span(since="0", step=60), "take a step of"),
        (Span(since="0"), "take a step of"),
        (Span(since="999999999999999998", until="999999999999999999"), None),
        (Span(until="0"), None),
    ],
)
def test_what_cannot_be_shown_is_said(quiet: EngineProcess, span: Span, told: str | None) -> None:
    if told is None:
        assert quiet.client().ask(READ_HISTORY, span).lines
        return
    with pytest.raises(InvalidInput, match=told):
        quiet.client().ask(READ_HISTORY, span)


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    with EngineProcess(tmp_path_factory.mktemp("quiet")) as running:
        running.apply(catalog([destination(ACME, "https://dsp.test/")]))
        yield running

"""What is counted of refusals: each event and each id once, by the code that was answered."""

from __future__ import annotations

from arke.domain.event import LeftOut
from arke.intake import dcs_codes as codes
from arke.intake.figures import IntakeFigures


def test_a_dcs_request_counts_its_ids_and_the_reason_why_it_was_dropped() -> None:
    figures = IntakeFigures()
    figures.answered(
        [codes.invalid_id("1", "x"), codes.INVALID_DEVICE_ID, codes.blocked_id("y"), codes.ALL_IDS_INVALID],
        stored=False,
    )
    figures.answered([codes.invalid_id("1", "x"), codes.TRAITS_NOT_EVALUATED], stored=True)
    figures.answered([codes.OPTED_OUT], stored=False)
    assert figures.ids_dropped == {"300": 2, "303": 1}
    assert figures.events_refused == {"104": 1, "171": 1}


def test_only_ids_that_were_left_out_are_dropped_ids() -> None:
    figures = IntakeFigures()
    figures.left_out([LeftOut("id", "bad_id", ""), LeftOut("trait", "unknown_trait", "")])
    assert figures.ids_dropped == {"bad_id": 1}
    assert figures.events_refused == {}

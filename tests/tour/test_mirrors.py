"""A file that is the whole audience: destinations hear who has left it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tour.stage import COOKIES, DEVICE, OTHER, destination, segment, tellings, trait

if TYPE_CHECKING:
    from tour.stage import Stage

COLUMNS = f"id: {{column: cookie, dpid: {COOKIES}}}\nmode: mirror\nalways: {{traits: [1]}}\n"


def mirrored(stage: Stage, guard: str = "50%") -> None:
    stage.catalog(
        destination(1),
        traits=[trait(1, kind="onboarded", data_source=COOKIES)],
        segments=[segment(1, "1T")],
    )
    stage.see("05-01 00:00:00", DEVICE, ids=[(COOKIES, "a")])
    stage.see("05-01 00:00:00", OTHER, ids=[(COOKIES, "b")])
    for name in ("monday.csv", "tuesday.csv"):
        (stage.folder / f"{name}.columns.yaml").write_text(f"{COLUMNS}mirror_guard: {guard}\n")
    stage.onboard("05-02 00:00:00", "monday.csv", "cookie", "a", "b")
    stage.see("05-02 12:00:00", DEVICE)
    stage.see("05-02 13:00:00", OTHER)
    stage.onboard("05-03 00:00:00", "tuesday.csv", "cookie", "a")
    stage.see("05-03 12:00:00", DEVICE)
    stage.see("05-03 13:00:00", OTHER)


def test_who_is_absent_from_the_next_file_leaves(stage: Stage) -> None:
    mirrored(stage)
    told = tellings(stage.play())
    assert told[-1] == ("05-03 13:00:00.100", {"1": "0"})
    assert [said for _, said in told].count({"1": "0"}) == 1


def test_a_file_that_is_too_small_changes_nothing(stage: Stage) -> None:
    mirrored(stage, "20%")
    assert {"1": "0"} not in [said for _, said in tellings(stage.play())]
    assert "1 of 2 ids would leave trait 1 (50%), more than the 20% that may" in "".join(
        stage.summary.complaints
    )

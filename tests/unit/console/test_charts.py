"""Charts from figures: what they show, what they say to those who do not see them, and that names do no harm."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest

from arke.console.charts import Series, Step, funnel, line, overlap

NOON = 1_790_000_000 - 1_790_000_000 % 86_400 + 43_200
SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "</title><script>alert(1)</script>\"'"


def drawn(markup: str) -> ET.Element:
    """The picture as a parser has it: well-formed, and in its own name space as HTML puts it."""
    text = str(markup)  # Markup escapes what it is given
    return ET.fromstring(text.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1))  # noqa: S314


def texts(picture: ET.Element) -> list[str]:
    return [found.text or "" for found in picture.iter(f"{SVG}text")]


def minutes(count: int) -> list[float]:
    return [NOON + 60.0 * n for n in range(count)]


def test_a_line_has_axes_with_units_and_times_in_utc() -> None:
    picture = drawn(line("Messages", minutes(61), [Series("sent", [float(n) for n in range(61)])], "/s"))
    shown = texts(picture)
    assert "80 /s" in shown
    assert {"0", "20", "40", "60"} <= set(shown)
    assert {"12:00", "12:30", "13:00"} <= set(shown)


def test_a_day_has_its_name_where_it_begins() -> None:
    times = [NOON + 3_600.0 * n for n in range(25)]
    shown = texts(drawn(line("x", times, [Series("a", [1.0] * 25)])))
    assert any(re.fullmatch(r"[A-Z][a-z]{2} \d{1,2}", text) for text in shown)


def test_what_is_not_known_is_a_gap_and_a_lonely_point_a_dash() -> None:
    picture = drawn(line("x", minutes(6), [Series("a", [1.0, 2.0, None, 3.0, None, None])]))
    (path,) = (one for one in picture.iter(f"{SVG}path") if "line" in (one.get("class") or ""))
    assert (path.get("d") or "").count("M") == 2
    assert (path.get("d") or "").endswith("h4")


def test_an_area_ends_at_zero() -> None:
    picture = drawn(line("x", minutes(3), [Series("a", [1.0, 2.0, 4.0])], area=True))
    (area,) = (one for one in picture.iter(f"{SVG}path") if "area" in (one.get("class") or ""))
    bottom = re.findall(r"[\d.]+ ([\d.]+)", area.get("d") or "")
    assert bottom[0] == bottom[-1]
    assert float(bottom[-1]) == max(map(float, bottom))


@pytest.mark.parametrize(
    ("most", "top"),
    [(1, "4"), (3.5, "4"), (7, "8"), (30, "40"), (101, "200"), (1_700, "2k"), (0.35, "0.4"), (0, "4")],
)
def test_an_axis_ends_at_a_round_number(most: float, top: str) -> None:
    shown = texts(drawn(line("x", minutes(2), [Series("a", [0.0, most])])))
    assert top in shown
    assert "-" not in "".join(shown)


def test_where_nothing_is_known_there_is_no_picture() -> None:
    assert line("x", minutes(3), [Series("a", [None, None, None])]) == ""
    assert line("x", [1.0], [Series("a", [1.0])]) == ""
    assert funnel("x", []) == ""


def test_a_picture_is_described_for_those_who_do_not_see_it() -> None:
    picture = drawn(line("Latency", minutes(3), [Series("p50", [10.0, 30.0, 20.0])], "ms"))
    assert picture.get("role") == "img"
    named = {found.get("id"): found.text for found in picture if found.tag in (f"{SVG}title", f"{SVG}desc")}
    assert [named[key] for key in (picture.get("aria-labelledby") or "").split()] == [
        "Latency",
        "From 2026-09-21 12:00 to 2026-09-21 12:02 UTC. p50: 10 to 30 ms, last 20",
    ]


def test_a_point_says_its_figures() -> None:
    picture = drawn(line("x", minutes(2), [Series("a", [1.0, 2.0]), Series("b", [None, 4.0])], "/s"))
    said = [found.text for hit in picture.iter(f"{SVG}rect") for found in hit.iter(f"{SVG}title")]
    assert said[0] == "2026-09-21 12:00 UTC: a 1, b \N{EN DASH} /s"
    assert said[1] == "2026-09-21 12:01 UTC: a 2, b 4 /s"


def test_a_funnel_has_each_step_s_share_and_leads_to_what_it_is_made_of() -> None:
    picture = drawn(
        funnel(
            "x",
            [
                Step("qualified", 1_000, "/all"),
                Step("has an id", 820, "/ids", "180 without"),
                Step("owed", 5),
            ],
        )
    )
    shown = texts(picture)
    assert {"1,000", "820 (82 %)", "5 (< 1 %)", "180 without"} <= set(shown)
    assert [found.get("href") for found in picture.iter(f"{SVG}a")] == ["/all", "/ids"]
    assert picture.get("role") == "group", "links in an image would not be found"
    wide = [
        float(one.get("width") or 0)
        for one in picture.iter(f"{SVG}rect")
        if "bar" in (one.get("class") or "")
    ]
    assert wide[1] / wide[0] == pytest.approx(0.82, abs=0.001)
    assert wide[2] >= 2, "what is there is seen"


def test_an_overlap_has_the_shared_part_in_one_place() -> None:
    picture = drawn(overlap("x", ("one", 100), ("other", 60), 20))
    bars = [
        (float(one.get("x") or 0), float(one.get("width") or 0))
        for one in picture.iter(f"{SVG}rect")
        if "bar" in (one.get("class") or "")
    ]
    (one_at, one_wide), (other_at, _), (both_at, both_wide) = bars
    assert both_at == other_at
    assert both_at + both_wide == pytest.approx(one_at + one_wide, abs=0.2)
    assert both_wide / one_wide == pytest.approx(0.2, abs=0.01)


def test_names_are_text() -> None:
    for markup in (
        line(HOSTILE, minutes(2), [Series(HOSTILE, [1.0, 2.0])], HOSTILE),
        funnel(HOSTILE, [Step(HOSTILE, 1, HOSTILE, HOSTILE)]),
        overlap(HOSTILE, (HOSTILE, 1), (HOSTILE, 1), 1),
    ):
        assert "<script" not in markup
        assert " style=" not in markup
        drawn(markup)

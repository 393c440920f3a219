"""A plan says whom it would move before anything is moved; at a terminal `arke apply` asks."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from e2e.catalogs import IN_MARKET, LENSES, STILL_LOOKING, catalog
from e2e.engine_process import ARKE
from e2e.stored_people import People
from patience import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable

CAMERA, LENS, BAG = 1000, 1001, 1002
COUNT = 300
DAY_S = 86_400
EVERYBODY = "1000T OR 1001T OR 1002T"


def edited(*edits: Callable[[Any], None]) -> str:
    document = json.loads(catalog([]))
    for edit in edits:
        edit(document)
    return json.dumps(document)


def rule(segment: int, text: str) -> Callable[[Any], None]:
    def edit(document: Any) -> None:
        next(one for one in document["segments"] if one["id"] == segment)["rule"] = text

    return edit


def shopping(number: int) -> list[int]:
    """A third each: camera, lens, bag."""
    return [(CAMERA, LENS, BAG)[number % 3]]


@pytest.fixture(params=[1, 2], ids=["one shard", "two shards"])
def people(request: pytest.FixtureRequest, tmp_path: Path) -> People:
    people = People(tmp_path, catalog([]), shards=request.param)
    people.store(COUNT, shopping)
    return people


def flows(report: Any) -> dict[int, tuple[int, int, int]]:
    return {one.segment: (one.members, one.enter, one.leave) for one in report.segments}


class TestForecasts:
    def test_an_edited_rule(self, people: People) -> None:
        """Lenses become bags: a third leaves, a third enters, and only this segment is spoken of."""
        report = people.apply(edited(rule(LENSES, "1002T")), dry_run=True)
        assert flows(report) == {LENSES: (100, 100, 100)}
        assert (report.profiles_moved, report.profiles, report.profiles_stored) == (200, 200, COUNT)
        assert (report.profiles_looked_at, report.profiles_exact) == (COUNT, True)
        assert "  10330 Lenses: 100 -> 100 members (100 enter, 100 leave)" in report.lines
        assert report.alarms == [
            "this edit moves 200 of 300 stored profiles into or out of segments: more than 50%"
        ]

    def test_an_edit_that_moves_everybody(self, people: People) -> None:
        """A new segment of everybody is filled with everybody; nobody leaves anything."""

        def add(document: Any) -> None:
            document["segments"].append({"id": 77, "name": "All", "rule": EVERYBODY})

        report = people.apply(edited(add), dry_run=True)
        assert flows(report) == {77: (0, COUNT, 0)}
        assert report.lines[-2:] == ["who would move:", "  77 All: 0 -> 300 members (300 enter, 0 leave)"]
        (alarm,) = report.alarms
        assert alarm.startswith("this edit moves 300 of 300 stored profiles")

    def test_a_trait_that_lasts_shorter_empties_segments(self, people: People) -> None:
        """Rules stay as they are; the sweep has nothing to do with it either."""
        people.store(COUNT, shopping, age_s=40 * DAY_S)

        def shorten(document: Any) -> None:
            document["traits"][0]["ttl_days"] = 30

        report = people.apply(edited(shorten), dry_run=True)
        assert flows(report) == {IN_MARKET: (100, 0, 100), STILL_LOOKING: (100, 0, 100)}
        assert report.alarms == [
            "segment 10329 In market is left empty: all 100 members leave",
            "segment 10331 Still looking is left empty: all 100 members leave",
        ]

    def test_what_time_alone_has_done_is_not_put_down_to_the_edit(self, people: People) -> None:
        """Everybody's traits are over and nobody swept: the edit itself moves nobody."""
        people.store(COUNT, shopping, age_s=121 * DAY_S)
        report = people.apply(edited(rule(LENSES, "1002T")), dry_run=True)
        assert flows(report) == {}
        assert (report.lines[-1], report.alarms) == ("nobody would enter or leave a segment", [])

    def test_a_removed_segment_and_a_removed_trait(self, people: People) -> None:
        def remove(document: Any) -> None:
            document["segments"] = [one for one in document["segments"] if one["id"] != LENSES]
            document["traits"] = [one for one in document["traits"] if one["id"] != LENS]

        report = people.apply(edited(remove), dry_run=True)
        assert flows(report) == {LENSES: (100, 0, 100)}
        assert "  10330 Lenses (removed): 100 -> 0 members (0 enter, 100 leave)" in report.lines
        assert (report.profiles, report.alarms) == (100, [])

    def test_the_forecast_is_what_then_happens(self, people: People) -> None:
        """Applied, the edit has the members it said: as many as an estimate of its rule counts."""
        text = edited(rule(LENSES, "1001T OR 1002T"))
        dry, done = people.apply(text, dry_run=True), people.apply(text)
        assert (dry.version, done.version) == (None, 2)
        assert (dry.segments, dry.lines, dry.alarms) == (done.segments, done.lines, done.alarms)
        (lenses,) = done.segments
        after = lenses.members + lenses.enter - lenses.leave
        assert after == people.client.estimate("1001T OR 1002T", None).estimate

    def test_a_dry_run_changes_nothing(self, people: People) -> None:
        """Not a byte of a stored profile, nor the catalog in force; the same question has the same answer."""
        text = edited(rule(LENSES, EVERYBODY), rule(IN_MARKET, "1002T"))
        before = [people.bodies(), people.client.status().catalog_version]
        first, again = people.apply(text, dry_run=True), people.apply(text, dry_run=True)
        assert first == again
        assert [people.bodies(), people.client.status().catalog_version] == before

    def test_an_equal_catalog_moves_nobody(self, people: People) -> None:
        report = people.apply(catalog([]))
        assert (report.version, report.profiles, report.profiles_stored) == (None, 0, COUNT)
        assert (report.segments, report.alarms) == ([], [])


class Terminal:
    """`arke apply` with a terminal before it, and somebody who answers."""

    def __init__(self, people: People, *options: str) -> None:
        ours, theirs = pty.openpty()
        self._ours = ours
        self._process = subprocess.Popen(
            [ARKE, "apply", str(people.file), "--data", str(people.data), *options],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=os.environ | {"TERM": "dumb"},
        )
        os.close(theirs)

    def answer(self, text: str) -> tuple[int, str]:
        """Type a line; the exit code, and all that was on the screen."""
        os.write(self._ours, text.encode())
        shown = b""
        while True:
            try:
                shown += os.read(self._ours, 4_096)
            except OSError:  # the other side has closed
                break
        os.close(self._ours)
        return self._process.wait(PATIENCE_S), shown.decode().replace("\r\n", "\n")


class TestAsking:
    @pytest.fixture
    def alarming(self, tmp_path: Path) -> People:
        """A catalog file that would empty a segment, not yet applied."""
        people = People(tmp_path, catalog([]))
        people.store(COUNT, shopping)
        people.file.write_text(edited(rule(LENSES, "1000T AND 1001T")))
        return people

    def test_no_means_that_nothing_is_changed(self, alarming: People) -> None:
        code, shown = Terminal(alarming).answer("n\n")
        assert code == 1
        assert "warning: segment 10330 Lenses is left empty: all 100 members leave\n" in shown
        assert "  10330 Lenses: 100 -> 0 members (0 enter, 100 leave)\n" in shown
        assert "Apply it all the same? [y/N]: " in shown
        assert shown.endswith("nothing was changed\n")
        assert alarming.client.status().catalog_version == 1

    def test_yes_means_that_it_is_applied(self, alarming: People) -> None:
        code, shown = Terminal(alarming).answer("y\n")
        assert code == 0
        assert shown.count("warning: ") == 1
        assert "catalog version 2 is in force; 100 of 300 stored profiles are concerned\n" in shown

    @pytest.mark.parametrize("option", ["--yes", "--dry-run", "--json"])
    def test_nobody_is_asked_who_does_not_want_to_be(self, alarming: People, option: str) -> None:
        code, shown = Terminal(alarming, option).answer("")
        assert (code, "Apply it" in shown, "is left empty" in shown) == (0, False, True)
        assert alarming.client.status().catalog_version == (1 if option == "--dry-run" else 2)

    def test_what_moves_few_is_not_asked_about(self, alarming: People) -> None:
        alarming.file.write_text(edited(rule(LENSES, "1001T OR 1000T")))
        code, shown = Terminal(alarming).answer("")
        assert (code, "Apply it" in shown) == (0, False)
        assert "  10330 Lenses: 100 -> 200 members (100 enter, 0 leave)\n" in shown

    def test_without_a_terminal_it_goes_on_and_says_so(self, alarming: People) -> None:
        """As scripts and CI run it: never a question, the warning on stderr."""
        done = subprocess.run(
            [ARKE, "apply", str(alarming.file), "--data", str(alarming.data)],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0
        assert done.stderr == "warning: segment 10330 Lenses is left empty: all 100 members leave\n"
        assert done.stdout.endswith(
            "catalog version 2 is in force; 100 of 300 stored profiles are concerned\n"
        )

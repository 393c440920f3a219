"""`arke simulate` as a command: same input, same bytes; and what it says when the input is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from arke import cli
from arke.domain.event import IncomingEvent
from arke.simulate.script import read_script
from patience import PATIENCE_S
from tour.stage import COOKIES, DEVICE, Stage, destination, segment, trait

if TYPE_CHECKING:
    from pathlib import Path


def arke(stage: Stage, *options: str) -> subprocess.CompletedProcess[str]:
    """`arke simulate` on the stage's files, in its folder."""
    command = [sys.executable, "-m", "arke", "simulate", stage.script.name]
    return subprocess.run(
        [*command, "--catalog", stage.catalog_file.name, *options],
        cwd=stage.folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )


def small_scenario(stage: Stage) -> None:
    stage.catalog(destination(10), traits=[trait(1)], segments=[segment(10, "1T"), segment(20)])
    stage.see("05-01 12:00:00", None, ids=[(COOKIES, "a")], signals={"c_trait": "1"})
    stage.respond("05-01 12:30:00", 500, 1)
    stage.see("05-01 13:00:00", None, ids=[(COOKIES, "b")], signals={"c_trait": "1"})
    stage.play()


def test_the_same_input_gives_the_same_bytes(stage: Stage) -> None:
    """In two processes and in this one, made-up UUIDs included."""
    small_scenario(stage)
    first, second = (arke(stage, "--out", name) for name in ("first", "second"))
    assert (first.returncode, second.returncode) == (0, 0)
    output = (stage.folder / "first").read_bytes()
    assert output == (stage.folder / "second").read_bytes() == stage.output
    assert first.stderr == "2 events, 3 requests, 0 owed\n"


def test_another_seed_makes_other_devices(stage: Stage) -> None:
    """`--seed` is of the UUIDs that are made; nothing else differs. Without --out it writes to stdout."""
    small_scenario(stage)
    result = arke(stage, "--seed", "7")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    was = [json.loads(line) for line in stage.output.splitlines()]
    assert [(line["at"], line["status"]) for line in lines] == [(line["at"], line["status"]) for line in was]
    assert [line["body"] for line in lines] != [line["body"] for line in was]


def test_an_event_that_the_intake_takes_a_script_may_hold() -> None:
    """A text that was cut within an emoji."""
    line = b'{"at": "2026-05-01T12:00:00Z", "event": {"signals": {"c_title": "cut \\ud83d"}}}'
    (step,) = read_script([line], "script")
    assert step.event == IncomingEvent(signals={"c_title": ["cut \ufffd"]})


def test_a_line_of_output_has_these_fields(stage: Stage) -> None:
    """In this order (SPEC section 9)."""
    small_scenario(stage)
    line = json.loads(stage.output.splitlines()[0])
    assert list(line) == ["at", "destination", "kind", "attempt", "status", "headers", "body"]
    assert line["at"] == "2026-05-01T12:00:00.100Z"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", "2: not a JSON object"),
        ("[1]", "2: not a JSON object"),
        ('{"advance": true}', '2: "at" must be a time like "2026-01-01T00:00:00Z"'),
        ('{"at": "yesterday", "advance": true}', '2: "at" must be a time'),
        ('{"at": "9000-01-01T00:00:00Z", "advance": true}', '2: "at" must lie in the years 1970 to 8999'),
        ('{"at": 1e300, "advance": true}', '2: "at" must lie in the years 1970 to 8999'),
        ('{"at": -1, "advance": true}', '2: "at" must lie in the years 1970 to 8999'),
        ('{"at": "2026-05-02T00:00:00", "advance": true}', '2: "at" needs a zone'),
        ('{"at": "2026-04-30T00:00:00Z", "advance": true}', "2: goes back in time"),
        ('{"at": "2026-05-02T00:00:00Z"}', "2: needs exactly one of event, "),
        ('{"at": "2026-05-02T00:00:00Z", "event": {}, "advance": true}', "2: needs exactly one of event, "),
        ('{"at": "2026-05-02T00:00:00Z", "evnet": {}}', "2: evnet: unknown action"),
        ('{"at": "2026-05-02T00:00:00Z", "event": {"uuid": "1"}}', "2: event: uuid must be a string of"),
        ('{"at": "2026-05-02T00:00:00Z", "event": {"singals": {}}}', "2: event: unknown field `singals`"),
        ('{"at": "2026-05-02T00:00:00Z", "respond": {"status": 500}}', "2: respond: "),
        ('{"at": "2026-05-02T00:00:00Z", "privacy": {"action": "opt_out"}}', "2: privacy: needs either uuid"),
        (
            '{"at": "2026-05-02T00:00:00Z", "privacy": {"action": "opt_out", "id": "\\u00b2:x"}}',
            '2: privacy: id must be "dpid:id"',
        ),
        ('{"at": "2026-05-02T00:00:00Z", "apply": "nowhere.yaml"}', "2: apply: "),
    ],
)
def test_a_bad_line_is_named_with_its_place(
    stage: Stage,
    line: str,
    problem: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exit code 2, and the script's name with the line number before what is wrong. In this process: a new one
    for each line takes longer than all else here.
    """
    stage.catalog(destination(10), traits=[trait(1)], segments=[segment(10, "1T")])
    good = {"at": "2026-05-01T00:00:00Z", "event": {"uuid": DEVICE}}
    stage.script.write_text(f"{json.dumps(good)}\n{line}\n")
    monkeypatch.chdir(stage.folder)
    monkeypatch.setattr(
        sys, "argv", ["arke", "simulate", stage.script.name, "--catalog", stage.catalog_file.name]
    )
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith(f"arke: {stage.script.name}:{problem}")


def test_a_bad_catalog_is_named_with_its_place(stage: Stage) -> None:
    """Exit code 2; every problem on a line of its own, with file, line and column."""
    stage.script.write_text("")
    stage.catalog_file.write_text(
        "segments:\n  - {id: 1, rule: '9T'}\ndestinations:\n  - {id: 2, url: http://a.example, client_id: c}\n"
    )
    result = arke(stage)
    assert result.returncode == 2
    assert "catalog-0.json:2:" in result.stderr
    assert "there is no trait 9" in result.stderr
    assert "catalog-0.json:4:" in result.stderr
    assert "url must be https" in result.stderr


def test_a_catalog_applied_later_is_checked_too(stage: Stage) -> None:
    """What was sent until then is written; the rest is not."""
    small_scenario(stage)
    (stage.folder / "bad.yaml").write_text("segments: [{id: 1, rule: '9T'}]\n")
    stage.apply("05-02 00:00:00", "bad.yaml")
    script = stage.script.read_text() + stage._lines[-1] + "\n"
    stage.script.write_text(script)
    result = arke(stage)
    assert result.returncode == 2
    assert "bad.yaml:1:" in result.stderr
    assert len(result.stdout.splitlines()) == 3


def test_files_that_are_not_there(stage: Stage, tmp_path: Path) -> None:
    """Exit code 2 for a script or catalog that does not exist and for an output that cannot be written."""
    small_scenario(stage)
    assert arke(stage, "--out", str(tmp_path / "no" / "such" / "folder")).returncode == 2
    stage.script.unlink()
    result = arke(stage)
    assert result.returncode == 2
    assert "script.ndjson" in result.stderr


def test_answers_of_a_destination_that_is_not_there_are_told(stage: Stage) -> None:
    stage.catalog()
    stage.respond("05-01 00:00:00", 500, 2, destination=999)
    assert stage.play() == []
    assert stage.summary.complaints == [f"{stage.script}:1: respond: no destination 999 in the catalog"]


@pytest.mark.parametrize("at", [1_777_636_800, "1777636800", 1_777_636_800_000, "2026-05-01T12:00:00Z"])
def test_the_time_of_a_line_may_be_epoch_time(stage: Stage, at: str | int) -> None:
    stage.catalog(destination(1), traits=[trait(1)], segments=[segment(1, "1T")])
    event = {"uuid": DEVICE, "ids": [{"dpid": COOKIES, "id": "a"}], "signals": {"c_trait": "1"}}
    stage.script.write_text(json.dumps({"at": at, "event": event}) + "\n")
    assert json.loads(arke(stage).stdout)["at"] == "2026-05-01T12:00:00.100Z"

"""`arke import aam` as a command: an export, its catalog in force, and an event that a destination is told of."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from e2e.engine_process import EngineProcess
from e2e.receiver_thread import ReceiverThread
from patience import wait_until

EXPORT = Path(__file__).parents[1] / "unit" / "catalog" / "aam_export"
CAMERA = {"ids": [{"dpid": 12345, "id": "v-1"}], "signals": {"c_category": "camera", "c_price": 799}}


@pytest.fixture
def engine(tmp_path: Path) -> EngineProcess:
    return EngineProcess(tmp_path, shards=1)


def test_an_export_becomes_messages(engine: EngineProcess) -> None:
    with ReceiverThread() as receiver, engine:
        done = engine.arke("import", "aam", str(EXPORT), "--out", "made.yaml")
        assert done.returncode == 0, done.stderr
        assert done.stdout.endswith("made.yaml: 9 traits, 4 segments, 2 destinations; 45 remarks above\n")
        made = engine.folder / "made.yaml"
        checked = engine.arke("check", str(made))
        assert (checked.returncode, checked.stdout.count("placeholder")) == (0, 2)
        text = made.read_text().replace("https://destination-423.invalid/", receiver.url)
        engine.apply(
            text.replace("  - id: 423\n", f"  - id: 423\n    tls: {{ca_file: {receiver.ca_file}}}\n")
        )
        engine.accept(CAMERA, CAMERA)
        wait_until(lambda: "in-market" in receiver.segments_of("v-1"), "the destination is told its alias")


def test_remarks_as_json_and_what_is_wrong(engine: EngineProcess, tmp_path: Path) -> None:
    done = engine.arke("import", "aam", str(EXPORT), "--out", "made.yaml", "--json")
    facts = json.loads(done.stdout)
    assert (done.returncode, facts["counts"]["destinations"], len(facts["remarks"])) == (0, 2, 45)
    assert {"kind", "id", "field", "reason"} <= facts["remarks"][0].keys()
    (tmp_path / "broken.json").write_text("{")
    for arguments in ([str(tmp_path / "broken.json")], [str(tmp_path / "nowhere")]):
        done = engine.arke("import", "aam", *arguments, "--out", "other.yaml")
        assert (done.returncode, (engine.folder / "other.yaml").exists()) == (2, False)
        assert done.stderr.startswith("arke: ")
    assert engine.arke("import", "aam", str(EXPORT), "--out", "nowhere/made.yaml").returncode == 2


def test_a_plan_of_very_many_changes_is_summed_up(engine: EngineProcess) -> None:
    traits = [{"sid": number, "traitType": 3, "traitRule": "c_a == 1"} for number in range(1, 201)]
    (engine.folder / "traits.json").write_text(json.dumps(traits))
    assert engine.arke("import", "aam", "traits.json", "--out", "made.yaml").returncode == 0
    shown = engine.arke("apply", "made.yaml", "--dry-run").stdout
    assert shown.startswith(
        "+ 200 traits: 1, 2, 3, 4, 5, ...\n200 added, 0 changed, 0 removed\n--all shows all 201 lines"
    )
    assert engine.arke("apply", "made.yaml", "--dry-run", "--all").stdout.count("+ trait ") == 200
    assert len(json.loads(engine.arke("apply", "made.yaml", "--json").stdout)["lines"]) == 201

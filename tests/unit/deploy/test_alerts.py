"""deploy/prometheus and deploy/grafana: promtool agrees, every alert is tried both ways, and says what to do."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from servers.prometheus import promtool

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "deploy" / "prometheus"
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((FOLDER / "arke.rules.yaml").read_text())["groups"]
    for rule in group["rules"]
]
TRIALS = yaml.safe_load((FOLDER / "arke.rules.test.yaml").read_text())["tests"]
DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "arke.json").read_text())
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (("check", "rules"), "arke.rules.yaml"),
        (("test", "rules"), "arke.rules.test.yaml"),
        (("check", "config", "--syntax-only"), "prometheus.yaml"),
    ],
)
def test_promtool_agrees(command: tuple[str, ...], name: str) -> None:
    done = promtool(*command, FOLDER / name)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_goes_off_once_and_once_not() -> None:
    tried = [(one["alertname"], bool(one["exp_alerts"])) for t in TRIALS for one in t["alert_rule_test"]]
    assert sorted(tried) == sorted((rule["alert"], goes) for rule in RULES for goes in (True, False))


def test_the_how_to_says_what_to_do_for_each() -> None:
    text = (ROOT / "docs" / "how-to" / "alerts.md").read_text()
    assert re.findall(r"^### (Arke\w+)$", text, re.MULTILINE) == [rule["alert"] for rule in RULES]
    for rule in RULES:
        told = text.split(f"### {rule['alert']}\n", 1)[1].split("\n#", 1)[0]
        assert told.startswith(f"\n*{rule['annotations']['summary']}* ({rule['labels']['severity']}")
        assert ("for" not in rule) or f", after {rule['for']})" in told
        assert len(told.split()) > 20
        assert rule["annotations"]["runbook"] == f"docs/how-to/alerts.md#{rule['alert'].lower()}"


def test_panels_stand_beside_each_other() -> None:
    """None is on top of another, and each has its own number."""
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    taken: set[tuple[int, int]] = set()
    for panel in PANELS:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not taken & cells, panel["title"]
        taken |= cells


@pytest.mark.parametrize(
    "target", [one for panel in PANELS for one in panel.get("targets", [])], ids=lambda one: one["expr"]
)
def test_prometheus_understands_every_panel(target: dict[str, Any], tmp_path: Path) -> None:
    """As the rule of a recording: that is how promtool reads an expression."""
    expression = target["expr"].replace("$job", "arke").replace("$destination", ".*")
    rule = {"groups": [{"name": "panel", "rules": [{"record": "panel", "expr": expression}]}]}
    file = tmp_path / "panel.yaml"
    file.write_text(yaml.safe_dump(rule))
    done = promtool("check", "rules", file)
    assert done.returncode == 0, done.stdout + done.stderr
    assert target["datasource"] == {"type": "prometheus", "uid": "${datasource}"}

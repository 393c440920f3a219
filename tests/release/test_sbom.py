"""The list of what a release consists of: made from the lock, valid CycloneDX, the same for the same lock."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from cyclonedx.schema import OutputFormat, SchemaVersion
from cyclonedx.validation import make_schemabased_validator

import arke
from release.conftest import ROOT

if TYPE_CHECKING:
    from pathlib import Path

LOCK = ROOT / "requirements" / "image.txt"


def make(out: Path) -> str:
    done = subprocess.run(
        [sys.executable, "tools/sbom.py", str(out)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return out.read_text()


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make(tmp_path_factory.mktemp("sbom") / "arke.cdx.json")


@pytest.fixture(scope="module")
def bill(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text)
    return found


def test_it_is_valid(text: str) -> None:
    validator = make_schemabased_validator(OutputFormat.JSON, SchemaVersion.V1_6)
    assert validator.validate_str(text) is None
    assert validator.validate_str(text.replace('"CycloneDX"', '"Cyclone"')) is not None


def test_it_has_what_is_locked_with_its_hashes(bill: dict[str, Any]) -> None:
    locked = dict(re.findall(r"^([a-z][\w.-]*)==(\S+)", LOCK.read_text(), re.MULTILINE))
    listed = {_plain(one["name"]): one["version"] for one in bill["components"]}
    assert listed == {_plain(name): version for name, version in locked.items()}
    hashes = {found["content"] for one in bill["components"] for found in _hashes(one)}
    assert hashes == set(re.findall(r"--hash=sha256:(\w+)", LOCK.read_text()))
    assert all(one["purl"].startswith("pkg:pypi/") for one in bill["components"])


def test_it_says_whose_list_it_is(bill: dict[str, Any]) -> None:
    whose = bill["metadata"]["component"]
    assert (whose["name"], whose["version"]) == ("arke", arke.__version__)
    assert [one["license"]["id"] for one in whose["licenses"]] == ["Apache-2.0"]


def test_it_is_reproducible_and_names_nobodys_registry(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://somebody:secret@packages.internal/simple")
    assert make(tmp_path / "again.json") == text


def _hashes(component: dict[str, Any]) -> list[dict[str, str]]:
    found: list[dict[str, str]] = list(component.get("hashes", ()))
    for reference in component.get("externalReferences", ()):
        found += reference.get("hashes", ())
    return found


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()

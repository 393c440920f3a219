"""The settings about what public answers tell: what is no origin is refused with its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from arke.errors import SettingsError
from arke.settings import load_settings

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "origin",
    ["https://shop.example/", "ftp://shop.example", "https://*.example", "", "https://", "a*"],
)
def test_what_is_no_origin_is_refused(tmp_path: Path, origin: str) -> None:
    file = tmp_path / "arke.toml"
    file.write_text(f'region = 9\n[answers]\norigins = ["https://shop.example:8443", "{origin}"]\n')
    with pytest.raises(
        SettingsError, match=r"arke.toml:2:2: answers: origins: .* is not an origin: .* or \* for any"
    ):
        load_settings(file, {})


def test_the_environment_is_checked_too() -> None:
    with pytest.raises(SettingsError, match="ARKE_ANSWERS_ORIGINS: origins: 'x/' is not an origin"):
        load_settings(None, {"ARKE_ANSWERS_ORIGINS": "*, x/"})
    assert load_settings(None, {"ARKE_ANSWERS_ORIGINS": "*"}).answers.origins == ("*",)


def test_a_negative_bound_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "arke.toml"
    file.write_text("[identity]\ntakeovers_per_device = -1\n")
    with pytest.raises(
        SettingsError, match=r"arke.toml:2:1: identity.takeovers_per_device: Expected `int` >= 0"
    ):
        load_settings(file, {})


@pytest.mark.parametrize(
    "text",
    ["region = ", "region = \x00", f"region = {'9' * 5_000}", f"region = {'[' * 5_000}"],
    ids=["half", "control", "digits", "deep"],
)
def test_what_cannot_be_read_is_said_with_its_file(tmp_path: Path, text: str) -> None:
    file = tmp_path / "arke.toml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=r"arke\.toml: "):
        load_settings(file, {})

"""Secret references: resolved late, re-read when they change, never shown."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from arke.delivery.secrets import (
    MAX_SECRET_BYTES,
    Confinement,
    Secrets,
    check_reference,
    resolve_secret,
)
from arke.errors import InvalidInput, SecretUnresolved
from arke.receiver.references import resolve_secret as of_the_kit

if TYPE_CHECKING:
    from pathlib import Path


class Ticks:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_environment_and_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both kinds resolve, and line ends at the end are no part of either."""
    monkeypatch.setenv("ARKE_TEST_KEY", "from the environment\n")
    (tmp_path / "key").write_bytes(b"from a file\r\n\n")
    assert resolve_secret("env:ARKE_TEST_KEY") == "from the environment"
    assert resolve_secret(f"file:{tmp_path / 'key'}") == "from a file"


@pytest.mark.parametrize(
    "text", ["canary", "env:", "file:", "env:a b", "env:1X", "file:a\nb", "vault:x", "ENV:X"]
)
def test_a_literal_is_refused_and_not_repeated(text: str) -> None:
    """What is not a reference may be the secret itself, so the error keeps quiet about it."""
    with pytest.raises(InvalidInput) as caught:
        check_reference(text)
    assert "canary" not in str(caught.value)
    with pytest.raises(SecretUnresolved) as unresolved:
        resolve_secret(text)
    assert "canary" not in str(unresolved.value)


def test_what_leads_nowhere_names_the_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unset, empty, missing, a folder, a pipe, too large, not text: each is an error, none hangs."""
    monkeypatch.delenv("ARKE_TEST_KEY", raising=False)
    monkeypatch.setenv("ARKE_TEST_EMPTY", "")
    (tmp_path / "empty").write_bytes(b"\n")
    (tmp_path / "large").write_bytes(b"x" * (MAX_SECRET_BYTES + 1))
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    os.mkfifo(tmp_path / "pipe")
    files = [f"file:{tmp_path / name}" for name in ("none", "", "empty", "large", "binary", "pipe")]
    for reference in ["env:ARKE_TEST_KEY", "env:ARKE_TEST_EMPTY", *files]:
        with pytest.raises(SecretUnresolved) as caught:
            resolve_secret(reference)
        assert str(caught.value).startswith(reference)


def test_a_rotated_file_is_seen_after_the_recheck(tmp_path: Path) -> None:
    """Within the second the cached value serves; after it the new one, or an error once the file is gone."""
    ticks = Ticks()
    secrets = Secrets(recheck_s=1.0, monotonic=ticks)
    key = tmp_path / "key"
    key.write_text("old")
    assert secrets.value(f"file:{key}") == "old"
    (tmp_path / "next").write_text("new")
    (tmp_path / "next").rename(key)
    assert secrets.value(f"file:{key}") == "old"
    ticks.now = 1.0
    assert secrets.value(f"file:{key}") == "new"
    key.unlink()
    ticks.now = 2.0
    with pytest.raises(SecretUnresolved):
        secrets.value(f"file:{key}")
    assert "new" not in repr(secrets)


def test_a_changed_environment_is_seen_after_the_recheck(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment is read again too."""
    ticks = Ticks()
    secrets = Secrets(recheck_s=1.0, monotonic=ticks)
    monkeypatch.setenv("ARKE_TEST_KEY", "old")
    assert secrets.value("env:ARKE_TEST_KEY") == "old"
    monkeypatch.setenv("ARKE_TEST_KEY", "new")
    ticks.now = 1.0
    assert secrets.value("env:ARKE_TEST_KEY") == "new"


UNSEEN = {
    b"key ": "ends with a blank",
    b" key": "begins with a blank",
    b"key\t\n": "ends with a blank",
    b"\nkey": "begins with a blank",
    "key\u00a0".encode(): "ends with a blank",
    "\u200bkey".encode(): "begins with a blank",
    "\ufeffkey".encode(): "byte order mark",
    b"\xff\xfek\x00": "not UTF-8",
    b"k\xe9y": "not UTF-8",
    b"\r\n": "empty",
}


@pytest.mark.parametrize("raw", UNSEEN, ids=ascii)
def test_what_nobody_sees_at_the_ends_is_refused_by_either_way(
    raw: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the reason and the reference, and without the secret; a variable as a file, confined or not."""
    (tmp_path / "key").write_bytes(raw)
    references = [f"file:{tmp_path / 'key'}"]
    if b"\x00" not in raw:
        os.environb[b"ARKE_SECRET_TEST"] = raw
        monkeypatch.setenv("ARKE_SECRET_TEST", os.environ["ARKE_SECRET_TEST"])
        references.append("env:ARKE_SECRET_TEST")
    secrets = Secrets(Confinement(folders=[str(tmp_path)]))
    for reference in references:
        for confined in (False, True):
            with pytest.raises(SecretUnresolved) as caught:
                secrets.value(reference, confined=confined)
            assert str(caught.value).startswith(f"{reference}: the secret ")
            assert UNSEEN[raw] in str(caught.value)
            assert "key" not in str(caught.value).removeprefix(reference)
    os.environ.pop("ARKE_SECRET_TEST", None)


@pytest.mark.parametrize("raw", [b"a key", b"a key\n", b"a key\r\n", b"a key\n\n", b"a key\r"])
def test_line_ends_at_the_end_are_no_part_of_a_secret(
    raw: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "key").write_bytes(raw)
    monkeypatch.setenv("ARKE_SECRET_TEST", raw.decode())
    assert resolve_secret("env:ARKE_SECRET_TEST") == resolve_secret(f"file:{tmp_path / 'key'}") == "a key"
    assert of_the_kit("env:ARKE_SECRET_TEST") == of_the_kit(f"file:{tmp_path / 'key'}") == b"a key"


def test_a_file_with_line_ends_inside_keeps_them(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"one\r\ntwo\n")
    assert resolve_secret(f"file:{tmp_path / 'key'}") == "one\r\ntwo"

"""Secrets by reference, key specifications, and what the kit drags in."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import arke
from arke.clock import ManualClock
from arke.errors import InvalidInput, SecretUnresolved
from arke.receiver.references import resolve_secret, signing_key
from arke.receiver.service import TokenIssuer


def test_a_reference_leads_to_the_environment_or_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACME_KEY", "from env")
    file = tmp_path / "key"
    file.write_bytes(b"from file\r\n")
    assert resolve_secret("env:ACME_KEY") == b"from env"
    assert resolve_secret(f"file:{file}") == b"from file"


def test_a_literal_secret_is_refused_without_being_repeated() -> None:
    with pytest.raises(InvalidInput) as caught:
        resolve_secret("canary-secret")
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("reference", ["env:ARKE_TEST_NOT_SET", "file:/nonexistent/key", "file:/"])
def test_a_reference_that_leads_nowhere_names_itself(reference: str) -> None:
    with pytest.raises(SecretUnresolved, match=reference.replace("/", "\\/")):
        resolve_secret(reference)


def test_a_key_specification_may_name_header_and_algorithm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("K", "s")
    plain, full = signing_key("env:K"), signing_key("X-New:SHA256:env:K")
    assert (plain.header, plain.algorithm, plain.secret) == ("X-Signature", "sha1", b"s")
    assert (full.header, full.algorithm, full.secret) == ("X-New", "sha256", b"s")
    with pytest.raises(InvalidInput, match="known are"):
        signing_key("X-New:crc32:env:K")


def test_a_token_expires_and_can_be_expired() -> None:
    clock = ManualClock(1_000.0)
    issuer = TokenIssuer(b"opaque", lifetime_s=60.0, clock=clock)
    assert issuer.knows("Basic opaque")
    assert not issuer.knows("Basic other")
    assert not issuer.knows("Bearer opaque")
    first = issuer.issue()
    clock.set(1_059.9)
    second = issuer.issue()
    assert issuer.accepts(first)
    clock.set(1_060.0)
    assert not issuer.accepts(first)
    assert issuer.accepts(second)
    issuer.expire_all()
    assert not issuer.accepts(second)


def test_parsing_and_verifying_need_no_server_and_no_engine() -> None:
    """A destination that imports the kit pays for msgspec only."""
    program = (
        "import sys; from arke.receiver import parse, verify, AudienceState; "
        "heavy = {'asyncio', 'ssl', 'httptools', 'trustme', 'uvloop', 'cryptography', 'starlette'}; "
        "ours = {m for m in sys.modules if m.startswith('arke.')}; "
        "bad = sorted(heavy & set(sys.modules)) + sorted("
        "m for m in ours if not m.startswith(('arke.receiver', 'arke.errors', 'arke.domain'))); "
        "sys.exit(', '.join(bad) or 0)"
    )
    source = str(Path(arke.__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env={"PYTHONPATH": source}
    )
    assert done.returncode == 0, done.stderr

"""`arke receiver` and `arke probe` as programs: what they print and how they exit."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

import arke
from arke.cli import app
from patience import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM = "from arke.cli.commands import load; load('receiver')()"
SECRETS = {"ACME_KEY": "canary-key", "ACME_BASIC": "canary-basic"}


@contextmanager
def running(*options: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """`arke receiver` as a process, once it has printed where it listens."""
    source = str(Path(arke.__file__).parent.parent)
    environment = {**os.environ, **SECRETS, "PYTHONPATH": source}
    arguments = [sys.executable, "-c", PROGRAM, "--port", "0", "--json", *options]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            assert select.select([process.stdout], [], [], PATIENCE_S)[0], "the receiver printed nothing"
            yield process, json.loads(process.stdout.readline())
        finally:
            if process.poll() is None:
                process.kill()


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, arguments, env=SECRETS)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    return result.exit_code, result.output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_receiver_is_probed_and_ends_in_order(number: signal.Signals, tmp_path: Path) -> None:
    out = tmp_path / "requests.ndjson"
    options = ("--key", "env:ACME_KEY", "--token-client", "env:ACME_BASIC", "--out", str(out))
    with running(*options) as (process, started):
        arguments = [
            "probe", started["url"], "--ca-file", started["ca_file"], "--allow-cidr", "127.0.0.0/8",
            "--key", "env:ACME_KEY", "--oauth-url", started["token_url"],
            "--oauth-credentials", "env:ACME_BASIC", "--requests", "3", "--json",
        ]  # fmt: skip
        code, output = run(*arguments)
        report = json.loads(output)
        assert (code, report["passed"]) == (0, True)
        assert {check["outcome"] for check in report["checks"]} == {"pass"}
        process.send_signal(number)
        assert process.wait(PATIENCE_S) == 0
    assert not Path(started["ca_file"]).exists(), "the temporary CA is gone"
    assert "canary" not in out.read_text() + output


def test_a_destination_of_the_catalog_in_force_is_probed(tmp_path: Path) -> None:
    """With its own signature and trust, and by the way out that the engine's settings have."""
    settings = tmp_path / "arke.toml"
    settings.write_text('[egress]\nallow_cidrs = ["127.0.0.0/8"]\n')
    of_the_engine = ("--data", str(tmp_path / "data"), "--config", str(settings))
    with running("--key", "env:ACME_KEY") as (_, started):
        signed = {
            "id": 423, "url": started["url"], "client_id": "74323",
            "signatures": [{"key": "env:ACME_KEY"}], "tls": {"ca_file": started["ca_file"]},
        }  # fmt: skip
        others = {"id": 7, "url": "https://a.example/", "client_id": "1"}
        catalog = tmp_path / "catalog.yaml"
        catalog.write_text(json.dumps({"destinations": [others, signed]}))
        code, output = run("apply", str(catalog), *of_the_engine)
        assert code == 0, output
        code, output = run("probe", "423", *of_the_engine, "--requests", "1", "--burst", "0", "--json")
        assert (code, json.loads(output)["passed"]) == (0, True), output
    code, output = run("probe", "8", *of_the_engine)
    assert (code, "it lists: 7, 423" in output) == (2, True), output


def test_a_failed_check_exits_1_and_says_why() -> None:
    with running("--misbehave", "status=204") as (_, started):
        code, output = run(
            "probe", started["url"], "--ca-file", started["ca_file"], "--allow-cidr", "127.0.0.0/8"
        )
    assert code == 1
    assert "FAIL  a plain message is answered with 200" in output
    assert "1 failed" in output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["probe", "http://dsp.example.com/"], "https://"),
        (["probe", "423"], "--catalog"),
        (["probe", "https://127.0.0.1:1/"], "--allow-cidr"),
        (["probe", "https://a.example/", "--allow-cidr", "everything"], "not a network"),
        (["probe", "https://a.example/", "--key", "env:ARKE_TEST_NOT_SET"], "not set"),
        (["probe", "https://a.example/", "--oauth-url", "https://a.example/t"], "belong together"),
        (["probe", "https://a.example/", "--header", "X Y", "--key", "env:ACME_KEY"], "name of a header"),
        (["receiver", "--misbehave", "sleep"], "unknown misbehaviour"),
        (["receiver", "--key", "canary-literal"], "env:NAME or file:PATH"),
        (["receiver", "--cert-key", "key.pem"], "--cert"),
        (["receiver", "--algorithm", "crc32"], "known are"),
        (["receiver", "--port", "0", "--cert", "/nonexistent.pem"], "cannot load the certificate"),
    ],
)
def test_wrong_use_exits_2_and_says_what_to_do(arguments: list[str], words: str) -> None:
    code, output = run(*arguments)
    assert (code, words in output) == (2, True), output
    assert output.startswith("arke: ")
    assert "canary" not in output

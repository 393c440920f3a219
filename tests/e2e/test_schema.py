"""Every call that the API's own description allows, and many that it does not, are answered as it says.

Schemathesis reads the document of a running engine with something of everything in it, and calls it over HTTP with
a token that may do all: examples, edge values, wrong methods and types, what hypothesis makes up, and calls that
follow from each other.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from e2e.engine_process import request
from e2e.town import Town, town

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMATHESIS = str(Path(sys.executable).with_name("schemathesis"))
LIVE = "/v1/live"
"""Lasts as long as it is asked to."""
CHECKS_NOT_MADE = "positive_data_acceptance"
"""What is well-formed may be refused all the same: a destination that is not there, a rule that does not parse."""
BOUND_S = 300


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with town(tmp_path_factory.mktemp("town")) as made:
        yield made


def run(filled: Town, scope: str, examples: int, *more: str, bound_s: float = BOUND_S) -> str:
    """What schemathesis says in the end; fails with all it found where that is anything."""
    token = filled.engine.client().create_token(scope, f"schemathesis {scope}", None).secret
    command = [
        *(SCHEMATHESIS, "run", f"http://{filled.engine.admin}/schema/openapi.json"),
        *("--header", f"Authorization: Bearer {token}", "--exclude-path", LIVE),
        *("--exclude-checks", CHECKS_NOT_MADE, "--max-examples", str(examples), "--continue-on-failure"),
        *("--warnings", "off", "--no-color", "--request-timeout", "60"),
        *more,
    ]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=bound_s,
        cwd=filled.engine.folder,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]
    return done.stdout


def cases(said: str) -> int:
    """How many calls were made."""
    found = re.search(r"([\d,]+) generated", said)
    assert found is not None, said[-2_000:]
    return int(found[1].replace(",", ""))


def still_well(filled: Town) -> None:
    """The engine has met no defect, and goes on."""
    assert '"event": "request failed"' not in filled.engine.log()
    assert filled.engine.ready()
    assert request(filled.engine.admin, "GET", "/healthz").status == 200


def test_every_answer_is_one_that_is_documented(filled: Town) -> None:
    said = run(filled, "admin", 3, "--seed", "1", "--phases", "examples,coverage,fuzzing")
    assert cases(said) > 1_000
    still_well(filled)


def test_a_token_of_another_scope_is_told_so(filled: Town) -> None:
    run(filled, "metrics", 1, "--seed", "2", "--phases", "examples")
    still_well(filled)


@pytest.mark.soak
def test_five_thousand_calls(filled: Town) -> None:
    made = 0
    for seed in range(10, 20):
        made += cases(run(filled, "admin", 40, "--seed", str(seed), bound_s=3_000))
        still_well(filled)
        if made >= 5_000:
            break
    assert made >= 5_000

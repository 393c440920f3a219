"""docs/reference/errors.md has every error of the tree and every way in which a delivery may fail."""

from __future__ import annotations

import importlib
import pkgutil
import re

import pytest

import arke
from arke.delivery.https import failure
from arke.errors import FORBIDDEN, ArkeError, InvalidInput, NotFound, Unauthorized, Unavailable
from unit.docs.pages import ROOT, code, page, rows, section

PAGE = page("errors.md")
ROWS = {code(cells[1]): cells for cells in rows(PAGE.split("\n## ", 1)[0])}
ELSEWHERE = ("arke.receiver", "arke.bench", "arke.demo", "arke.intake.line_stream")
"""The kit stands alone, benchmarks and demo are no part of the engine, and line_stream's is answered with a
status of its own."""


def tree() -> list[type[ArkeError]]:
    for module in pkgutil.walk_packages(arke.__path__, "arke."):
        if not module.name.startswith((*ELSEWHERE, "arke.__main__")):
            importlib.import_module(module.name)
    found: list[type[ArkeError]] = [ArkeError]
    for error in found:
        found += error.__subclasses__()
    return [error for error in found if not error.__module__.startswith(ELSEWHERE)]


def test_the_page_lists_the_tree() -> None:
    assert {name: code(cells[0]) for name, cells in ROWS.items()} == {
        error.__name__: error.code for error in tree()
    }


@pytest.mark.parametrize("error", tree())
def test_an_error_has_the_exit_code_and_status_the_page_tells(error: type[ArkeError]) -> None:
    told = ROWS[error.__name__]
    assert told[3] == str(error.exit_code)
    statuses = [error.status, FORBIDDEN] if error is Unauthorized else [error.status]
    assert told[4] == ", ".join(str(status) for status in statuses)
    assert error.exit_code == (2 if issubclass(error, InvalidInput | Unauthorized) else 1)
    if issubclass(error, InvalidInput):
        assert error.status == (404 if issubclass(error, NotFound) else 400)
    elif issubclass(error, Unavailable):
        assert error.status == 503


def test_every_reason_the_engine_refuses_an_event_for_is_described() -> None:
    source = (ROOT / "src/arke/engine/ingest.py").read_text()
    reasons = set(re.findall(r'EventError\(\s*"(\w+)"', source))
    assert len(reasons) > 3
    part = section(PAGE, "Why an event was refused")
    assert {reason for reason in reasons if f"`{reason}`" not in part} == set()


def test_every_answer_of_a_delivery_is_described() -> None:
    part = section(PAGE, "Why a delivery failed")
    answers: set[str] = set()
    for file in (ROOT / "src/arke/delivery").rglob("*.py"):
        text = file.read_text()
        answers |= set(
            re.findall(r'(?:Failure|PostFailed)\(\s*"(?:tls|connect|dns|reset|proxy)", "(\w+)"', text)
        )
        answers |= set(re.findall(r'_fail\("(proxy_\w+)"', text))
        answers |= {f"bad_response_{cause}" for cause in re.findall(r'_bad\("(\w+)"', text)}
        answers |= {f"oauth_{cause}" for cause in re.findall(r'no_token\("(\w+)"', text)}
    answers |= {cause for table in (failure._CERTIFICATE, failure._HANDSHAKE) for cause, _ in table.values()}
    answers |= {cause for cause, _ in failure._CONNECT.values()}
    assert len(answers) > 25
    assert {answer for answer in answers if f"`{answer}`" not in part} == set()

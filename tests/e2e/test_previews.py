"""What a destination would get now, and a message that tries it: each is what really goes over the wire."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import TYPE_CHECKING, Any

import pytest

from arke.api.parameters import DestinationInPath
from arke.api.table.callers import AUDIT
from arke.api.table.destinations import PREVIEW, SEND_TEST
from arke.errors import CatalogError, InvalidInput, NotFound
from arke.operations.outgoing import PreviewAsk, TrialAsk
from arke.receiver import ReceiverConfig, SigningKey
from e2e.catalogs import DPID, IN_MARKET, LENSES, catalog, destination, visit
from e2e.engine_process import EngineProcess
from e2e.receiver_thread import ReceiverThread
from patience import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from arke.operations.outgoing import HeaderField, Preview, TrialReport

KEY, API_KEY = "a-signing-key", "a-partners-api-key"
ENVIRON = {"KEY": KEY, "API_KEY": API_KEY}


class Town:
    """An engine, a destination that knows its key, and one that is not there."""

    def __init__(self, engine: EngineProcess, receiver: ReceiverThread) -> None:
        self.engine = engine
        self.receiver = receiver

    def catalog(self, **options: Any) -> str:
        known: dict[str, Any] = {
            "signatures": [{"key": "env:KEY", "algorithm": "sha256"}],
            "headers": {"X-Api-Key": "env:API_KEY", "X-Plain": "plain"},
        }
        there = destination(1, self.receiver.url, self.receiver.ca_file, **(known | options))
        return catalog([there, destination(2, "https://127.0.0.1:1/gone"), self._shut()])

    def _shut(self) -> dict[str, Any]:
        """An address that no egress rule allows."""
        return destination(3, "https://10.0.0.1/never", segments=[])

    def preview(self, number: int = 1, **ask: Any) -> Preview:
        return self.engine.client().ask(PREVIEW, DestinationInPath(number), PreviewAsk(**ask))

    def test(self, number: int = 1, **ask: Any) -> TrialReport:
        return self.engine.client().ask(SEND_TEST, DestinationInPath(number), TrialAsk(**ask))


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    config = ReceiverConfig(keys=(SigningKey(secret=KEY.encode(), algorithm="sha256"),))
    with (
        ReceiverThread(config) as receiver,
        EngineProcess(tmp_path_factory.mktemp("engine"), environ=ENVIRON) as engine,
    ):
        town = Town(engine, receiver)
        engine.apply(town.catalog())
        engine.accept(visit(1, "camera"))
        wait_until(lambda: receiver.segments_of("p1"), "the first message")
        wait_until(lambda: town.preview(id=f"{DPID}:p1").state == "told", "its acknowledgement")
        yield town


def field(headers: list[HeaderField], name: str) -> str:
    (value,) = (one.value for one in headers if one.name == name)
    return value


def signature(body: str) -> str:
    return base64.b64encode(hmac.digest(KEY.encode(), body.encode(), hashlib.sha256)).decode()


def test_a_preview_is_what_the_next_message_says(town: Town) -> None:
    preview = town.preview(id=f"{DPID}:p1", occasion="resync")
    assert (preview.known, preview.edited, preview.state) == (True, False, "told")
    (message,) = preview.messages
    assert message.problem is None
    request = message.request
    assert (request.method, request.url, request.users) == ("POST", town.receiver.url, 1)
    assert (request.data_source, request.bytes) == (DPID, len(request.body.encode()))
    assert field(request.headers, "X-Signature") == signature(request.body)
    assert field(request.headers, "X-Plain") == "plain"
    assert field(request.headers, "X-Api-Key") == "(hidden)"
    assert API_KEY not in str(preview)
    seen = len(town.receiver.messages())
    town.engine.client().run_batch(1, lambda _: None, resync=True)
    wait_until(lambda: len(town.receiver.messages()) > seen, "the next message")
    sent = town.receiver.messages()[-1].request
    assert _said(sent.body.decode()) == _said(request.body)
    names = [name for name, _ in sent.headers]
    assert [one.name for one in request.headers] == names


def _said(body: str) -> Any:
    """A body without the moments in it."""
    told = json.loads(body)
    told.pop("ProcessTime")
    for user in told["Users"]:
        for segment in user["Segments"]:
            segment.pop("DateTime")
    return told


def test_a_preview_under_an_edited_catalog_evaluates_the_person_and_signs_nothing(town: Town) -> None:
    edited = json.loads(town.catalog())
    edited["segments"][1]["rule"] = "1000T"  # lenses, by what a camera shows
    edited["segments"][0]["rule"] = "1002T"  # nobody who saw a camera alone
    before = len(town.receiver.messages())
    preview = town.preview(id=f"{DPID}:p1", catalog=json.dumps(edited))
    assert (preview.edited, preview.changes) == (True, {IN_MARKET: 0, LENSES: 1})
    (message,) = preview.messages
    states = {
        one["Segment_ID"]: one["Status"] for one in json.loads(message.request.body)["Users"][0]["Segments"]
    }
    assert states[str(IN_MARKET)] == "0"
    assert states[str(LENSES)] == "1"
    assert field(message.request.headers, "X-Signature") == "(made when it is sent)"
    assert field(message.request.headers, "X-Api-Key") == "(hidden)"
    assert town.engine.client().status().catalog_version == 1
    assert len(town.receiver.messages()) == before


def test_a_template_that_is_being_written_is_shown_as_it_would_be_sent(town: Town) -> None:
    template = '{"ids": [{% for user in users %}"{{ user.partner_id }}"{% endfor %}]}'
    edited = town.catalog(template=template, template_language="jinja2")
    (message,) = town.preview(id=f"{DPID}:p1", catalog=edited).messages
    assert message.request.body == '{"ids": ["p1"]}'


@pytest.mark.parametrize(
    ("number", "ask", "error"),
    [
        (99, {"id": f"{DPID}:p1"}, NotFound),
        (1, {}, InvalidInput),
        (1, {"id": f"{DPID}:p1", "uuid": "1" * 38}, InvalidInput),
        (1, {"id": "nonsense"}, InvalidInput),
        (1, {"id": f"{DPID}:p1", "catalog": "destinations: [{id: 1}]"}, CatalogError),
        (2, {"id": f"{DPID}:p1", "catalog": "{}"}, NotFound),
    ],
)
def test_what_cannot_be_previewed_is_refused(
    town: Town, number: int, ask: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        town.preview(number, **ask)


def test_nobody_is_told_of_somebody_who_is_not_known(town: Town) -> None:
    preview = town.preview(id=f"{DPID}:never-seen")
    assert (preview.known, preview.state, preview.messages) == (False, "unknown", [])


@pytest.mark.parametrize(("status", "said"), [(None, "0"), (0, "0"), (1, "1")])
def test_a_test_message_is_taken_like_any_other(town: Town, status: int | None, said: str) -> None:
    report = town.test(status=status)
    assert (report.acknowledged, report.problem) == (True, None)
    record = town.receiver.messages()[-1]
    assert (record.verdict, report.user) == ("accepted", report.message)
    assert report.request is not None
    assert record.request.body.decode() == report.request.body
    (user,) = json.loads(report.request.body)["Users"]
    assert user["DataPartner_UUID"].startswith("arke-test-")
    assert [one["Status"] for one in user["Segments"]] == [said]
    assert report.answer is not None
    assert (report.answer.status, report.answer.code) == (200, "200")
    assert "content-length" in {one.name.lower() for one in report.answer.headers}
    timings = report.timings
    assert timings.connect is not None
    assert timings.answer is not None
    assert timings.token is None
    assert API_KEY not in str(report)
    assert dict(record.request.headers)["X-Api-Key"] == API_KEY


def test_a_test_counts_nowhere(town: Town) -> None:
    before = town.engine.client().status().destinations[0]
    town.test()
    after = town.engine.client().status().destinations[0]
    assert (after.messages, after.users) == (before.messages, before.users)
    assert town.engine.client().refusals(1) == []


@pytest.mark.parametrize(("number", "cause"), [(2, "connect"), (3, "egress_refused")])
def test_a_destination_that_cannot_be_reached_says_why(town: Town, number: int, cause: str) -> None:
    report = town.test(number)
    assert (report.acknowledged, report.answer, report.request) == (False, None, None)
    assert report.problem is not None
    assert report.problem.startswith(cause)


def test_looks_and_tests_are_audited(town: Town) -> None:
    town.preview(id=f"{DPID}:p1")
    town.test()
    entries = town.engine.client().ask(AUDIT).entries
    details = {one.action: one.detail for one in entries}
    assert details["destination_tested"] == "destination 1: 200"
    assert details["previewed"].startswith("destination 1: ")
    assert "p1" not in details["previewed"]

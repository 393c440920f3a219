"""What is in force, what was, and who may take its place: over HTTP, as a program would ask."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from arke.api.parameters import DestinationMappings
from arke.api.table.destinations import LIST_MAPPINGS
from e2e.engine_process import EngineProcess, Reply, request

if TYPE_CHECKING:
    from collections.abc import Iterator

SEGMENTS = 25


def catalog(segments: int = SEGMENTS, name: str = "Acme DSP") -> str:
    return json.dumps(
        {
            "traits": [{"id": 1, "name": "Camera", "rule": 'c_see == "camera"'}],
            "segments": [
                {"id": number, "name": f"Segment {number}", "rule": "1T"} for number in range(1, segments + 1)
            ],
            "destinations": [
                {
                    "id": 7,
                    "name": name,
                    "url": "https://dsp.example.com/in?key=a-secret-in-a-query",
                    "client_id": "c",
                    "segments": [{"segment": number} for number in range(1, segments + 1)],
                }
            ],
        }
    )


class Api:
    """The admin port, with a token of each scope."""

    def __init__(self, engine: EngineProcess) -> None:
        self.engine = engine
        self._tokens = {scope: engine.client().create_token(scope, scope, None).secret for scope in SCOPES}

    def ask(
        self, method: str, target: str, body: str | None = None, scope: str = "admin", **headers: str
    ) -> Reply:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return request(
            self.engine.admin,
            method,
            target,
            None if body is None else body.encode(),
            {"Authorization": f"Bearer {self._tokens[scope]}", **named},
        )

    def pages(self, target: str) -> list[Any]:
        """Every entry, by following the links."""
        found: list[Any] = []
        following: str | None = target
        while following is not None:
            reply = self.ask("GET", following)
            assert reply.status == 200, reply.body
            found += reply.json()
            link = re.fullmatch(r'<([^>]+)>; rel="next"', reply.headers.get("link", ""))
            following = link[1] if link is not None else None
        return found


SCOPES = ("read", "operate", "admin")


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with EngineProcess(tmp_path_factory.mktemp("engine")) as engine:
        engine.apply(catalog(name="Acme"))
        engine.apply(catalog())
        yield Api(engine)


def test_a_list_is_whole_and_each_entry_there_once(api: Api) -> None:
    numbers = [one["id"] for one in api.pages("/v1/segments?limit=7")]
    assert numbers == list(range(1, SEGMENTS + 1))
    assert [one["segment"] for one in api.pages("/v1/destinations/7/segments?limit=10")] == numbers
    assert [one["version"] for one in api.pages("/v1/catalog/versions?limit=1")] == [2, 1]
    found = api.engine.client().every(LIST_MAPPINGS, DestinationMappings(7, limit=4))
    assert [one.segment for one in found] == numbers
    assert sorted(one["name"] for one in api.pages("/v1/tokens?limit=1")) == sorted(SCOPES)


def test_segments_are_found_by_what_they_are_called(api: Api) -> None:
    assert [one["id"] for one in api.pages("/v1/segments?search=SEGMENT%202&limit=3")] == [2, *range(20, 26)]


def test_a_segment_names_its_traits_and_who_takes_it(api: Api) -> None:
    found = api.ask("GET", "/v1/segments/3", scope="read").json()
    assert found["segment"]["rule"] == "1T"
    assert found["traits"] == [{"id": 1, "name": "Camera", "known": True}]
    assert [(one["destination"], one["alias"], one["active"]) for one in found["mappings"]] == [
        (7, "3", True)
    ]


def test_a_destination_shows_no_query_of_its_address(api: Api) -> None:
    for target in ("/v1/destinations", "/v1/destinations/7", "/v1/catalog/diff?old=0"):
        reply = api.ask("GET", target, scope="read")
        assert reply.status == 200
        assert b"a-secret" not in reply.body
    assert api.ask("GET", "/v1/catalog", scope="read").status == 403


@pytest.mark.parametrize(
    "target",
    ["/v1/segments/999", "/v1/destinations/8", "/v1/catalog/versions/99", "/v1/batches/9?destination=7",
     "/v1/onboard/nothing", "/v1/privacy/requests/77", "/schema/nothing"],
)  # fmt: skip
def test_what_is_not_there_is_not_found(api: Api, target: str) -> None:
    reply = api.ask("GET", target)
    assert (reply.status, reply.json()["code"]) == (404, "not_found")


def test_a_catalog_that_was_read_can_be_applied_and_changes_nothing(api: Api) -> None:
    text = api.ask("GET", "/v1/catalog/text").body.decode()
    known = api.ask("GET", "/v1/catalog").json()
    for form in (text, json.dumps(known["catalog"])):
        applied = api.ask("POST", "/v1/catalog", form)
        assert (applied.status, applied.json()["version"]) == (200, None)
        assert applied.json()["lines"] == ["nothing changes"]


def test_what_somebody_has_is_not_sent_again(api: Api) -> None:
    for target in (
        "/v1/catalog",
        "/v1/catalog/text",
        "/v1/catalog/versions/1",
        "/schema",
        "/schema/openapi.json",
    ):
        first = api.ask("GET", target)
        again = api.ask("GET", target, If_None_Match=f'"other", W/{first.headers["etag"]}')
        assert (again.status, again.body) == (304, b"")
        assert again.headers["etag"] == first.headers["etag"]
        assert api.ask("GET", target, If_None_Match='"other"').status == 200


def test_nobody_overwrites_what_he_has_not_seen(api: Api) -> None:
    seen = api.ask("GET", "/v1/catalog").headers["etag"]
    done = api.ask("POST", "/v1/catalog", catalog(3), If_Match=seen)
    assert done.status == 200
    late = api.ask("POST", "/v1/catalog", catalog(4), If_Match=seen)
    assert (late.status, late.json()["code"]) == (412, "other_in_force")
    back = api.ask("POST", "/v1/catalog/rollback?version=2", If_Match=seen)
    assert (back.status, back.json()["code"]) == (412, "other_in_force")
    dry = api.ask("POST", "/v1/catalog?dry_run=1", catalog(4), If_Match=seen)
    assert dry.status == 412
    now = api.ask("GET", "/v1/catalog").headers["etag"]
    assert now != seen
    assert api.ask("POST", "/v1/catalog/rollback?version=2", If_Match=f'"x", {now}').status == 200
    assert api.ask("POST", "/v1/catalog", catalog(), If_Match="*").status == 200


@pytest.mark.parametrize("header", ["", "2-abc", '"a" "b"', '"a', "* , *", 'W"a"', "\u00e9"])
def test_a_condition_that_cannot_be_read_is_refused(api: Api, header: str) -> None:
    reply = api.ask("POST", "/v1/catalog", catalog(), If_Match=header)
    assert (reply.status, reply.json()["code"]) == (400, "invalid_input")


def test_a_weak_tag_is_none(api: Api) -> None:
    now = api.ask("GET", "/v1/catalog").headers["etag"]
    assert api.ask("POST", "/v1/catalog", catalog(5), If_Match=f"W/{now}").status == 412


def test_what_lies_between_two_catalogs(api: Api) -> None:
    found = api.ask("GET", "/v1/catalog/diff?old=1&new=2").json()
    assert (found["old"], found["new"]) == (1, 2)
    assert found["counts"] == {"destination": {"added": 0, "changed": 1, "removed": 0}}
    (change,) = found["changes"]
    assert change["fields"] == [{"field": "name", "old": "Acme", "new": "Acme DSP"}]
    all_of_it = api.ask("GET", "/v1/catalog/diff?old=0&new=1&limit=10")
    assert all_of_it.json()["counts"]["segment"]["added"] == SEGMENTS
    assert len(all_of_it.json()["changes"]) == 10
    assert 'rel="next"' in all_of_it.headers["link"]


def test_a_text_is_checked_while_it_is_written(api: Api) -> None:
    bad = 'traits:\n  - {id: 1, name: A, rule: "c_a =="}\n'
    found = api.ask("POST", "/v1/catalog/validate", bad, scope="operate").json()
    assert found["ok"] is False
    (error,) = found["errors"]
    assert (error["line"], error["column"] > 1) == (2, True)
    fine = api.ask("POST", "/v1/catalog/validate", catalog(2), scope="operate").json()
    assert (fine["ok"], fine["counts"]["segments"], fine["errors"]) == (True, 2, [])


def test_every_method_of_a_path_is_named(api: Api) -> None:
    reply = api.ask("DELETE", "/v1/catalog")
    assert (reply.status, reply.json()["code"]) == (405, "method_not_allowed")
    assert reply.headers["allow"] == "GET, HEAD, POST"
    assert reply.json()["message"].startswith("it takes GET, HEAD, POST: ")
    head = api.ask("HEAD", "/v1/catalog")
    assert (head.status, head.body) == (200, b"")


def test_the_pages_for_people_need_nothing_else(api: Api) -> None:
    front = request(api.engine.admin, "GET", "/schema")
    policy = front.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'self'")
    for subject in set(re.findall(r'href="/schema/(\w+)"', front.body.decode())):
        page = request(api.engine.admin, "GET", f"/schema/{subject}")
        text = page.body.decode()
        assert (page.status, page.headers["content-security-policy"]) == (200, policy)
        assert "<script" not in text
        assert " style=" not in text
        assert re.findall(r'(?:src|href)="(?!/schema|#)[^"]*"', text) == []
        targets = set(re.findall(r'href="#([\w-]+)"', text))
        assert targets <= set(re.findall(r'id="([\w-]+)"', text)), subject
    style = request(api.engine.admin, "GET", "/schema/schema.css")
    assert style.headers["content-type"].startswith("text/css")


def test_the_settings_are_shown_without_secrets(api: Api) -> None:
    found = {one["name"]: one for one in api.ask("GET", "/v1/settings", scope="operate").json()}
    assert found["auth.intake"] == {"name": "auth.intake", "value": "open", "default": False}
    assert found["delivery.timeout_ms"]["default"] is True
    assert api.ask("GET", "/v1/settings", scope="read").status == 403

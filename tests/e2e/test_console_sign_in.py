"""Who gets into the console, for how long, and what of theirs nobody else can use."""

from __future__ import annotations

import re
from html import unescape
from typing import TYPE_CHECKING

import pytest

from arke.api.table.callers import AUDIT
from e2e.console_visitor import Visitor
from e2e.engine_process import LOOPBACK, EngineProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

BEHIND_PROXY = f'{LOOPBACK}[server]\ntrusted_proxies = ["127.0.0.1"]\n'


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    with EngineProcess(tmp_path_factory.mktemp("console"), settings=BEHIND_PROXY) as engine:
        yield engine


@pytest.fixture
def visitor(engine: EngineProcess) -> Visitor:
    return Visitor(engine.admin)


def link_of(engine: EngineProcess) -> str:
    """As the command prints it."""
    done = engine.arke("console")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_link_signs_in_once(engine: EngineProcess, visitor: Visitor) -> None:
    link = link_of(engine)
    assert link.startswith(f"http://{engine.admin}/console/sign-in?link=")
    assert (visitor.open(link).status, visitor.open(link).status) == (303, 401)
    assert visitor.get("/console/").status == 200
    again = Visitor(engine.admin)
    assert b"was used already" in again.open(link).body
    assert again.get("/console/").status == 401


def test_the_engine_prints_a_link_when_it_starts(engine: EngineProcess, visitor: Visitor) -> None:
    assert visitor.open(f"http://{engine._doors['console']}").status == 303
    assert b"this machine" in visitor.get("/console/").body


def test_a_link_that_is_only_looked_ahead_at_is_not_used(engine: EngineProcess, visitor: Visitor) -> None:
    link = link_of(engine)
    ahead = visitor.get(link.removeprefix(f"http://{engine.admin}"), {"Sec-Purpose": "prefetch"})
    assert (ahead.status, visitor.cookies) == (200, {})
    assert visitor.ask("HEAD", link.removeprefix(f"http://{engine.admin}"), None, {}).status == 200
    assert visitor.open(link).status == 303


def test_the_cookie_is_for_this_console_alone(engine: EngineProcess, visitor: Visitor) -> None:
    cookie = visitor.open(link_of(engine)).headers["set-cookie"]
    assert cookie.startswith(f"arke_{engine.admin.rpartition(':')[2]}=")
    flags = {flag.strip().lower() for flag in cookie.split(";")[1:]}
    assert flags == {"httponly", "samesite=strict", "path=/console"}
    secured = Visitor(engine.admin)
    headers = {"X-Forwarded-Proto": "http, https", "X-Forwarded-For": "192.0.2.7"}
    cookie = secured.get(link_of(engine).removeprefix(f"http://{engine.admin}"), headers).headers[
        "set-cookie"
    ]
    assert "; secure" in cookie.lower()


def test_a_token_signs_in_with_its_scopes_and_ends_its_sessions(
    engine: EngineProcess, visitor: Visitor
) -> None:
    made = engine.client().create_token("read", "a reader", None)
    reply = visitor.use(made.secret)
    assert (reply.status, reply.headers["location"]) == (303, "/console/")
    assert b"a reader" in visitor.get("/console/").body
    engine.client().revoke_token(made.id)
    assert visitor.get("/console/").status == 401
    assert Visitor(engine.admin).use(made.secret).status == 401


def test_a_token_that_nobody_looks_at_is_refused(engine: EngineProcess) -> None:
    """The link would do everything, where one was asked for that does as much as the token."""
    done = engine.arke("console", "--token", engine.client().create_token("read", "", None).secret)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("arke: --token goes with --url")


def test_a_link_made_with_a_token_is_no_more_than_the_token(engine: EngineProcess, visitor: Visitor) -> None:
    made = engine.client().create_token("read", "", None)
    done = engine.arke("console", "--url", f"http://{engine.admin}", "--token", made.secret)
    assert visitor.open(done.stdout.strip()).status == 303
    assert b'class="scope">read<' in visitor.get("/console/").body
    late = engine.arke("console", "--url", f"http://{engine.admin}", "--token", made.secret).stdout.strip()
    engine.client().revoke_token(made.id)
    assert visitor.get("/console/").status == 401
    assert b"revoked or has expired" in Visitor(engine.admin).open(late).body


def test_a_token_for_other_things_does_not_sign_in(engine: EngineProcess, visitor: Visitor) -> None:
    made = engine.client().create_token("ingest", "", None)
    reply = visitor.use(made.secret)
    assert (reply.status, visitor.cookies) == (403, {})
    assert visitor.use("arke_nonsense").status == 401


def test_a_token_is_not_taken_from_an_address(engine: EngineProcess, visitor: Visitor) -> None:
    made = engine.client().create_token("admin", "", None)
    visitor.get(f"/console/sign-in?token={made.secret}")
    visitor.get(f"/console/?token={made.secret}")
    assert visitor.get("/console/", {"Authorization": f"Bearer {made.secret}"}).status == 401
    assert visitor.cookies == {}


def test_whoever_is_not_signed_in_comes_back_to_where_they_wanted_to_go(
    engine: EngineProcess, visitor: Visitor
) -> None:
    made = engine.client().create_token("read", "", None)
    body = visitor.get("/console/system?of=1").body.decode()
    assert 'name="next_page" value="/console/system?of=1"' in body
    for given, leads in (
        ("/console/system?of=1", "/console/system?of=1"),
        ("https://evil.example/", "/console/"),
        ("//evil.example/", "/console/"),
        ("/console//evil.example", "/console/"),
        ("/console/\\evil.example", "/console/"),
        ("/metrics", "/console/"),
    ):
        reply = visitor.post("/console/sign-in", {"token": made.secret, "next_page": given}, forged=True)
        assert reply.headers["location"] == leads, given


def test_who_signs_out_is_out(engine: EngineProcess, visitor: Visitor) -> None:
    visitor.open(link_of(engine))
    kept = dict(visitor.cookies)
    assert visitor.post("/console/sign-out", forged=True).status == 403
    assert visitor.get("/console/").status == 200
    assert visitor.post("/console/sign-out").status == 303
    visitor.cookies = kept
    assert visitor.get("/console/").status == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "https://evil.example", "Sec-Fetch-Site": ""},
    ],
)
def test_a_form_of_another_site_does_nothing(
    engine: EngineProcess, visitor: Visitor, headers: dict[str, str]
) -> None:
    made = engine.client().create_token("admin", "", None)
    assert visitor.post("/console/sign-in", {"token": made.secret}, headers, forged=True).status == 403
    assert visitor.cookies == {}
    visitor.use(made.secret)
    assert visitor.post("/console/sign-out", {}, headers).status == 403
    assert visitor.get("/console/").status == 200


def test_another_session_s_form_does_nothing(engine: EngineProcess, visitor: Visitor) -> None:
    other = Visitor(engine.admin)
    other.open(link_of(engine))
    visitor.open(link_of(engine))
    field = {"anti_forgery": other.anti_forgery()}
    assert visitor.post("/console/sign-out", field, forged=True).status == 403


def test_a_text_is_not_lost_with_the_session_that_it_was_typed_in(
    engine: EngineProcess, visitor: Visitor
) -> None:
    made = engine.client().create_token("admin", "", None)
    visitor.use(made.secret)
    field = visitor.anti_forgery()
    engine.client().revoke_token(made.id)
    typed = "segments:\r\n- id: 1\r\n  name: </textarea><b>Long & typed\r\n"
    fields = {"anti_forgery": field, "text": typed, "note": "one line"}
    reply = visitor.post("/console/catalog/edit/plan", fields, forged=True)
    assert reply.status == 401
    page = reply.body.decode()
    (shown,) = re.findall(r"<textarea[^>]*>\n(.*?)</textarea>", page, re.DOTALL)
    assert unescape(shown) == typed
    assert "one line" not in page
    long = {"anti_forgery": field, "text": "a\n" * 100_000}
    assert visitor.post("/console/catalog/edit/plan", long, forged=True).status == 401
    elsewhere = {"Sec-Fetch-Site": "cross-site"}
    assert b"typed" not in visitor.post("/console/catalog/edit/plan", fields, elsewhere, forged=True).body


def test_a_link_of_another_site_still_finds_whoever_is_signed_in(engine: EngineProcess) -> None:
    """A strict cookie stays behind when another site leads here: the page asks once more, from here."""
    reply = Visitor(engine.admin).get("/console/system", {"Sec-Fetch-Site": "cross-site"})
    assert reply.status == 200
    assert b'http-equiv="refresh" content="0;url=/console/system"' in reply.body


def test_what_was_done_is_audited(engine: EngineProcess, visitor: Visitor) -> None:
    made = engine.client().create_token("read", "", None)
    visitor.use(made.secret)
    visitor.post("/console/sign-out")
    entries = [one for one in engine.client().ask(AUDIT).entries if one.actor == made.id]
    assert [one.action for one in entries] == ["console_signed_in", "console_signed_out"]
    assert made.secret not in "".join(one.detail for one in entries)


def test_files_have_names_that_change_with_what_is_in_them(engine: EngineProcess, visitor: Visitor) -> None:
    page = visitor.get("/console/sign-in").body.decode()
    (address,) = re.findall(r'href="(/console/static/console\.[0-9a-f]{16}\.css)"', page)
    reply = visitor.get(address)
    assert (reply.status, reply.headers["content-type"]) == (200, "text/css; charset=utf-8")
    assert "immutable" in reply.headers["cache-control"]
    assert visitor.get(address, {"If-None-Match": reply.headers["etag"]}).status == 304
    assert visitor.get("/console/static/console.css").status == 401
    assert visitor.get("/console/static/../app.py").status == 401


def test_the_admin_port_leads_to_the_console(visitor: Visitor) -> None:
    for target in ("/", "/console"):
        reply = visitor.get(target)
        assert (reply.status, reply.headers["location"]) == (303, "/console/")
    assert visitor.get("/healthz").json()["status"] == "alive"

"""Every page and action of the console, from its registry: who may, what is around the answer, and that what people
have named does no harm.
"""

from __future__ import annotations

import json
import re
from html import unescape
from typing import TYPE_CHECKING, Any, Final

import pytest

from arke.api.table.privacy import REQUEST_PRIVACY
from arke.console.registry import FEEDS, FRAGMENTS, PAGES
from arke.domain.token import SCOPES, Token
from arke.operations.privacy import PrivacyAsk
from e2e.catalogs import catalog, destination
from e2e.console_visitor import Visitor
from e2e.engine_process import OPEN, EngineProcess, request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from arke.console.page import Action, Feed, Fragment, Page

NASTY: Final = (
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "{{ 7 * 7 }}{% raw %}",
    "\N{HEBREW LETTER ALEF}\N{ARABIC LETTER BEH} (1) <",
    "x" * 255,
)
"""A catalog takes no names that are longer, or turn the text around them."""
NUMBERS: Final = {"destination": "400", "segment": "10329", "number": "1", "version": "1"}
"""What stands for the parameters of paths; the ticket of a file is known once there is one."""
KEPT_FOR_TOKENS: Final = ("read", "operate", "admin")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    """A small world whose names are what nobody should call anything."""
    with EngineProcess(tmp_path_factory.mktemp("console"), settings=OPEN) as engine:
        document = json.loads(
            catalog(
                [destination(400 + n, f"https://127.0.0.1:9/{n}", name=name) for n, name in enumerate(NASTY)]
            )
        )
        for row, name in zip(document["segments"], NASTY, strict=False):
            row["name"] = name
        for row, name in zip(document["traits"], NASTY, strict=False):
            row["name"] = name
        engine.apply(json.dumps(document))
        engine.accept({"ids": [{"dpid": 12345, "id": "u'<b>user</b>1"}], "signals": {"c_see": "camera"}})
        for name in NASTY:
            engine.client().create_token("read", name, None)
        asked = PrivacyAsk(action="opt_out", id="12345:somebody else")
        engine.client().ask(REQUEST_PRIVACY, body=asked)
        NUMBERS["id"] = send_file(engine)
        yield engine


def send_file(engine: EngineProcess) -> str:
    """A file that nothing comes of; its ticket, once it is loaded."""
    file = engine.folder / "ftp_dpm_12345_1777600000.sync"
    file.write_text("<script>alert(1)</script>\n")
    engine.arke("onboard", str(file))
    (ticket,) = (engine.data / "inbox").iterdir()
    return ticket.name


@pytest.fixture(scope="module")
def visitors(engine: EngineProcess) -> dict[str, Visitor]:
    """One for each scope that the console takes."""
    found = {}
    for scope in KEPT_FOR_TOKENS:
        found[scope] = Visitor(engine.admin)
        assert found[scope].use(engine.client().create_token(scope, scope, None).secret).status == 303
    return found


def path_of(route: Page[Any, Any] | Fragment[Any, Any, Any] | Feed[Any, Any]) -> str:
    """The address of something that there is."""
    return "/console" + re.sub(r"\{(\w+)\}", lambda found: NUMBERS.get(found[1], "1"), route.path)


def allows(own: str, wanted: str) -> bool:
    assert own in SCOPES
    token = Token(id="", name="", scopes=(own,), secret_hash=b"", created=0)
    return token.allows(wanted)


ACTIONS = [(page, action) for page in PAGES for action in page.actions]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.path)
def test_a_page_is_for_its_scope(page: Page[Any, Any], visitors: dict[str, Visitor]) -> None:
    for own, visitor in visitors.items():
        reply = visitor.get(path_of(page))
        if allows(own, page.scope):
            assert reply.status == 200, (own, reply.body.decode())
        else:
            assert reply.status == 403
            assert f"scope {page.scope}".encode() in reply.body
    assert Visitor(visitors["read"].address).get(path_of(page)).status == 401


@pytest.mark.parametrize(
    ("page", "action"), ACTIONS, ids=[f"{page.path}/{action.name}" for page, action in ACTIONS]
)
def test_an_action_is_for_its_scope_and_for_forms_of_ours(
    page: Page[Any, Any], action: Action[Any, Any], visitors: dict[str, Visitor]
) -> None:
    target = f"{path_of(page).rstrip('/')}/{action.name}"
    for own, visitor in visitors.items():
        forged = visitor.post(target, {"anti_forgery": "x"}, forged=True)
        assert forged.status == 403
        elsewhere = visitor.post(target, {}, {"Origin": "https://evil.example"})
        assert elsewhere.status == 403
        if not (allows(own, page.scope) and allows(own, action.scope)):
            assert visitor.post(target).status == 403
            assert b"needs the scope" in visitor.post(target).body
            if allows(own, page.scope):
                assert f'action="{target}"'.encode() not in visitor.get(path_of(page)).body
    assert Visitor(visitors["read"].address).post(target, forged=True).status == 401
    assert visitors["admin"].get(target).status in (401, 404)


@pytest.mark.parametrize("fragment", FRAGMENTS, ids=lambda one: one.path)
def test_a_fragment_is_for_its_scope_and_for_forms_of_ours(
    fragment: Fragment[Any, Any, Any], visitors: dict[str, Visitor]
) -> None:
    for own, visitor in visitors.items():
        assert visitor.post(path_of(fragment), {"anti_forgery": "x"}, forged=True).status == 403
        assert (visitor.post(path_of(fragment)).status == 403) is not allows(own, fragment.scope)
    assert Visitor(visitors["read"].address).post(path_of(fragment), forged=True).status == 401


@pytest.mark.parametrize("feed", FEEDS, ids=lambda one: one.path)
def test_a_feed_is_for_its_scope(feed: Feed[Any, Any], visitors: dict[str, Visitor]) -> None:
    for own, visitor in visitors.items():
        if not allows(own, feed.scope):
            assert visitor.get(path_of(feed)).status == 403
    assert Visitor(visitors["read"].address).get(path_of(feed)).status == 401


TARGETS = [path_of(page) for page in PAGES] + [
    "/console/no-such-page",
    "/console/destinations/999",
    "/console/sign-in",
]


@pytest.mark.parametrize("target", TARGETS)
def test_every_answer_is_guarded(target: str, visitors: dict[str, Visitor]) -> None:
    for visitor in (visitors["admin"], visitors["read"], Visitor(visitors["read"].address)):
        headers = visitor.get(target).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"


@pytest.mark.parametrize("target", TARGETS)
def test_what_people_named_is_text(target: str, visitors: dict[str, Visitor]) -> None:
    body = visitors["admin"].get(target).body.decode()
    assert "<script>alert" not in body
    assert "<img src=x" not in body
    assert "<b>user" not in body
    if not target.startswith("/console/catalog/"):  # there the text stands as it was written
        assert "x" * 255 not in body, "a name is cut where it is one of many"
    assert not re.search(r"<[^>]+ (style|on\w+)=", body), "the policy forbids it"
    assert not re.search(r"<(script|style)>", body)
    assert not re.search(r'(?:src|href|action)="(?:https?:|//|javascript:)', body), "nothing of elsewhere"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.path)
def test_a_page_is_made_for_everybody(page: Page[Any, Any], visitors: dict[str, Visitor]) -> None:
    """What a screen reader and a keyboard go by. A browser's own tests look closer."""
    body = visitors["admin"].get(path_of(page)).body.decode()
    assert '<html lang="en">' in body
    assert 'class="skip" href="#main"' in body
    assert body.count("<main") == body.count("<h1") == 1
    assert re.search(r"<title>[^<]+ · Arke</title>", body)
    ids = re.findall(r' id="([^"]+)"', body)
    assert len(ids) == len(set(ids)), "ids that come twice"
    for table in re.findall(r"<table>.*?</table>", body, re.DOTALL):
        assert "<caption" in table
        assert 'scope="col"' in table
    named = set(re.findall(r'<label for="([^"]+)"', body))
    for field in re.findall(r"<(?:input|select|textarea) [^>]*>", body):
        if 'type="hidden"' in field or 'type="checkbox"' in field or 'type="radio"' in field:
            continue
        found = re.search(r' id="([^"]+)"', field)
        assert found is not None, field
        assert found[1] in named or "aria-label" in field, field


def test_names_that_turn_round_stay_in_their_place(visitors: dict[str, Visitor]) -> None:
    body = visitors["admin"].get("/console/").body.decode()
    names = re.findall(r'<bdi class="name">(.*?)</bdi>', body)
    assert {unescape(name)[:20] for name in names} >= {name[:20] for name in NASTY[:3]}


def test_a_page_that_is_not_there_is_a_404(visitors: dict[str, Visitor]) -> None:
    for target in ("/console/nowhere", "/console/destinations/999", "/console/batches/"):
        reply = visitors["admin"].get(target)
        assert reply.status == 404, target
        assert b"<h1>" in reply.body


def test_a_new_token_shows_its_secret_once(engine: EngineProcess, visitors: dict[str, Visitor]) -> None:
    visitor = visitors["admin"]
    wrong = visitor.post("/console/tokens/create", {"name": "for <b>", "expires": "90d"})
    assert wrong.status == 400
    assert b"Choose at least one." in wrong.body
    assert b'value="for &lt;b&gt;"' in wrong.body
    fields: dict[str, Any] = {"name": "nightly", "scope": ["ingest", "read"], "expires": "90d"}
    assert visitor.post("/console/tokens/create", fields).headers["location"] == "/console/tokens"
    first, second = visitor.get("/console/tokens").body, visitor.get("/console/tokens").body
    (secret,) = re.findall(r"arke_[\w-]{43}", first.decode())
    assert secret.encode() not in second
    assert Visitor(engine.admin).use(secret).status == 303
    (token,) = (one for one in engine.client().list_tokens() if one.name == "nightly")
    assert token.scopes == ["ingest", "read"]
    assert visitor.post("/console/tokens/revoke", {"id": token.id}).status == 303
    assert Visitor(engine.admin).use(secret).status == 401


def test_a_batch_is_begun_and_what_is_owed_is_replayed(
    engine: EngineProcess, visitors: dict[str, Visitor]
) -> None:
    visitor = visitors["operate"]
    assert visitor.post("/console/batches/run", {"destination": "400"}).status == 303
    assert "has begun" in visitor.get("/console/batches").body.decode()
    refused = visitor.post("/console/batches/run", {"destination": "999"})
    assert refused.status == 400
    assert visitor.post("/console/undelivered/replay", {}).headers["location"] == "/console/undelivered"
    assert "on the way again" in visitor.get("/console/undelivered").body.decode()
    assert {run.number for row in engine.client().batches() for run in row.runs} == {1}


def test_the_audit_is_checked_when_it_is_asked_for(visitors: dict[str, Visitor]) -> None:
    assert "chain of seals" not in visitors["admin"].get("/console/audit").body.decode()
    assert "the chain of seals is whole" in visitors["admin"].get("/console/audit?check=1").body.decode()


def test_the_audit_goes_back_page_by_page(engine: EngineProcess, visitors: dict[str, Visitor]) -> None:
    for n in range(60):
        engine.client().create_token("read", f"page {n}", None)
    target, numbers = "/console/audit", []
    while target:
        body = visitors["admin"].get(target).body.decode()
        found = re.findall(r'<td class="number">([\d,]+)</td>\s*<td><time', body)
        numbers += [int(one.replace(",", "")) for one in found]
        older = re.search(r'rel="next" href="([^"]+)"', body)
        target = older[1] if older is not None else ""
    assert numbers == list(range(numbers[0], 0, -1))
    assert len(numbers) > 60


def test_every_page_is_timed_under_its_route(engine: EngineProcess, visitors: dict[str, Visitor]) -> None:
    visitors["admin"].get("/console/destinations/400")
    made = engine.client().create_token("metrics", "", None)
    reply = request(engine.admin, "GET", "/metrics", headers={"Authorization": f"Bearer {made.secret}"})
    assert 'route="/console/destinations/{destination}"' in reply.body.decode()
    assert "a library reports a problem" not in engine.log()

"""What people do on the console's pages about users, segments, files, privacy and the catalog: over real HTTP and
without scripts.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
from html import unescape
from typing import TYPE_CHECKING, Any

import pytest

from arke.api.table.callers import AUDIT
from arke.operations.live import MAX_WATCHERS
from e2e.catalogs import IN_MARKET, LENSES, catalog, destination, visit
from e2e.console_visitor import Visitor
from e2e.engine_process import EngineProcess
from patience import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.receiver_thread import ReceiverThread

ACME = 423


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory, well: ReceiverThread) -> Iterator[EngineProcess]:
    """A visitor who came for cameras was told about."""
    with EngineProcess(tmp_path_factory.mktemp("engine"), shards=2) as running:
        running.apply(catalog([destination(ACME, well.url, well.ca_file)]))
        running.accept(visit(1, "camera", region=6))
        wait_until(lambda: well.segments_of("p1"), "the message")
        wait_until(running.delivered, "its acknowledgement")
        yield running


def visitor(engine: EngineProcess, scope: str = "admin") -> Visitor:
    found = Visitor(engine.admin)
    assert found.use(engine.client().create_token(scope, scope, None).secret).status == 303
    return found


def local(engine: EngineProcess) -> Visitor:
    """By a link that a command on this machine prints."""
    found = Visitor(engine.admin)
    assert found.open(engine.arke("console").stdout.strip()).status == 303
    return found


def page(visitor: Visitor, target: str) -> str:
    reply = visitor.get(target)
    assert reply.status == 200, (target, reply.status, reply.body.decode())
    return reply.body.decode()


def text_of(body: str) -> str:
    """What a reader sees."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).split())


def audited(engine: EngineProcess, action: str) -> list[tuple[str, str]]:
    entries = engine.client().ask(AUDIT).entries
    return [(entry.actor, entry.detail) for entry in entries if entry.action == action]


# --- users ----------------------------------------------------------------------------------------------


def test_a_user_is_explained_by_id_and_by_uuid(engine: EngineProcess) -> None:
    """Each rule's parts are marked, each message has its answer, and every look is audited."""
    operator = visitor(engine, "operate")
    before = len(audited(engine, "explained"))
    body = page(operator, "/console/users?id=12345:p1")
    said = text_of(body)
    assert "true: 1000T held: 1 x" in said
    assert "false: 1001T not held" in said
    assert "1000T camera" in said
    assert f"realtime message to {ACME} DSP {ACME}: 200 ✓ acknowledged as 12345:p1" in said
    assert f"entered segment {IN_MARKET}" in said
    assert "Not kept:" in said
    (uuid,) = set(re.findall(r"<code>(\d{38})</code>", body))
    assert "true: 1000T held" in text_of(page(operator, f"/console/users?uuid={uuid}"))
    assert "true: 1000T held" in text_of(page(operator, f"/console/users?id={uuid}"))
    looks = audited(engine, "explained")[before:]
    assert len(looks) == 3
    assert not any("p1" in detail or uuid in detail for _, detail in looks), "by keyed hashes"
    assert 'action="/console/users/request"' not in body, "a privacy request takes the scope admin"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("12345:nobody", "never seen this user"),
        ("nonsense", "neither a UUID of 38 digits nor DPID:ID"),
        ("x:y", "not DPID:ID"),
        ("12345:%3Cscript%3Ealert(1)%3C/script%3E", "never seen"),
    ],
)
def test_who_is_not_known_is_said_to_be_so(engine: EngineProcess, asked: str, said: str) -> None:
    body = page(visitor(engine, "operate"), f"/console/users?id={asked}")
    assert said in text_of(body)
    assert "<script>alert" not in body


def test_the_message_about_a_user_is_previewed(engine: EngineProcess) -> None:
    operator = visitor(engine, "operate")
    uuid = re.findall(r"<code>(\d{38})</code>", page(operator, "/console/users?id=12345:p1"))[0]
    done = operator.post("/console/users/preview", {"uuid": uuid, "destination": str(ACME)})
    assert done.headers["location"] == f"/console/users?uuid={uuid}#preview"
    shown = text_of(page(operator, f"/console/users?uuid={uuid}"))
    assert "POST /" in shown
    assert '"DataPartner_UUID":"p1"' in shown
    assert '"DataPartner_UUID"' not in text_of(page(operator, f"/console/users?uuid={uuid}")), "shown once"


def test_a_preview_may_go_by_the_catalog_that_is_being_edited(engine: EngineProcess) -> None:
    editor = Editor(engine)
    here = f"/console/destinations/{ACME}/try"
    assert "that I am editing" not in text_of(page(editor.visitor, here))
    editor.plan(editor.text.replace("name: lens", "name: Lens"))
    assert "that I am editing" in text_of(page(editor.visitor, here))
    done = editor.visitor.post(f"{here}/preview", {"person": "12345:p1", "edited": "1"})
    assert done.status == 303, done.body.decode()
    shown = text_of(page(editor.visitor, here))
    assert "under the catalog being edited" in shown
    assert '"DataPartner_UUID":"p1"' in shown
    assert editor.visitor.post("/console/catalog/edit/discard").status == 303


# --- segments -------------------------------------------------------------------------------------------


def test_segments_are_found_and_one_is_shown(engine: EngineProcess) -> None:
    reader = visitor(engine, "read")
    assert str(IN_MARKET) in page(reader, "/console/segments")
    assert str(LENSES) not in page(reader, f"/console/segments?search={IN_MARKET}")
    body = page(reader, f"/console/segments/{IN_MARKET}?destination={ACME}&other={LENSES}")
    said = text_of(body)
    assert "1000T camera" in said
    assert re.search(r"Members 1 exactly", said)
    assert re.search(r"acknowledged 1 100 %", said)
    assert "0 are in both" in said
    assert f"/console/destinations/{ACME}" in body


def test_a_rule_is_tried_with_and_without_scripts(engine: EngineProcess) -> None:
    reader = visitor(engine, "read")
    here = f"/console/segments/{IN_MARKET}"
    typed = reader.post(f"{here}/typed", {"rule": "1000T"})
    assert (typed.status, "1 of 1 profiles now" in text_of(typed.body.decode())) == (200, True)
    wrong = reader.post(f"{here}/typed", {"rule": "1000T AND <b>"})
    assert wrong.status == 400
    assert "expected a trait" in text_of(wrong.body.decode())
    assert "<b>" not in wrong.body.decode()
    assert reader.post(f"{here}/estimate", {"rule": "1001T"}).status == 303
    assert "0 of 1 profiles now" in text_of(page(reader, here))
    refused = reader.post(f"{here}/estimate", {"rule": "999T OR"})
    assert refused.status == 400
    assert "999T OR</textarea>" in refused.body.decode(), "what was entered is not lost"


# --- live -----------------------------------------------------------------------------------------------


def test_what_passes_is_shown_without_scripts(engine: EngineProcess) -> None:
    """Loading the page is watching: the next time there is something. Who may not see people sees none."""
    operator, reader = visitor(engine, "operate"), visitor(engine, "read")
    visitors = iter(range(100, 10_000))

    def seen() -> bool:
        engine.accept(visit(next(visitors), "camera"))
        said = text_of(page(operator, "/console/live"))
        return all(word in said for word in ("→ event", "✓ entered", "✓ 200"))

    wait_until(seen, "an event, a change and a message")
    assert 'http-equiv="refresh"' in page(operator, "/console/live")
    assert "12345:p" in page(operator, "/console/live")
    hidden = page(reader, "/console/live")
    assert "12345:(hidden)" in hidden
    assert not re.search(r"12345:p|\d{38}", hidden)
    assert {"with people", "without people"} <= {detail for _, detail in audited(engine, "live_watched")}


def test_who_finds_no_room_to_watch_is_told_so(engine: EngineProcess) -> None:
    """By the status, so that a browser does not come again and again."""
    reader = visitor(engine, "read")
    head = {
        "Host": engine.admin,
        "Cookie": "; ".join(f"{name}={value}" for name, value in reader.cookies.items()),
    }
    asked = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    host, _, port = engine.admin.rpartition(":")
    with contextlib.ExitStack() as open_feeds:

        def begin() -> str:
            """The status line of one more feed, which stays open."""
            feed = open_feeds.enter_context(socket.create_connection((host, int(port)), timeout=PATIENCE_S))
            feed.sendall(f"GET /console/live/feed HTTP/1.1\r\n{asked}\r\n".encode())
            return feed.recv(12).decode()

        said = [begin() for _ in range(MAX_WATCHERS + 2)]
    assert said == ["HTTP/1.1 200"] * MAX_WATCHERS + ["HTTP/1.1 429"] * 2
    wait_until(lambda: reader_begins(engine, asked), "room again")


def reader_begins(engine: EngineProcess, asked: str) -> bool:
    host, _, port = engine.admin.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as feed:
        feed.sendall(f"GET /console/live/feed HTTP/1.1\r\n{asked}\r\n".encode())
        return feed.recv(12) == b"HTTP/1.1 200"


# --- files ----------------------------------------------------------------------------------------------


def upload(visitor: Visitor, name: str, file: bytes, **fields: str) -> Any:
    boundary = "xyzzy"
    form = {"anti_forgery": visitor.anti_forgery(), "name": "", "columns": "", **fields}
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{value}\r\n'
        for field, value in form.items()
    ]
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
    body = "".join([*parts, head]).encode() + file + f"\r\n--{boundary}--\r\n".encode()
    headers = {
        "Content-Type": f"multipart/form-data; boundary={boundary}",
        "Origin": f"http://{visitor.address}",
        "Sec-Fetch-Site": "same-origin",
    }
    return visitor.ask("POST", "/console/files/send", body, headers)


def test_a_file_is_loaded_by_a_form_and_its_receipt_adds_up(engine: EngineProcess) -> None:
    operator = visitor(engine, "operate")
    name = "ftp_dpm_12345_501_1777600000.sync"
    lines = b'p1\t"c_see"="lens"\n<script>\nnobody\t"c_see"="lens"\n'
    done = upload(operator, name, lines)
    assert done.status == 303, done.body.decode()
    ticket = done.headers["location"]
    wait_until(lambda: "✓ done" in text_of(page(operator, ticket)), "the file to be loaded")
    said = text_of(page(operator, ticket))
    received, stored, not_stored = map(
        int, re.findall(r"Received (\d+) = stored \+ not stored Stored (\d+) Not stored (\d+)", said)[0]
    )
    assert (received, received - stored) == (3, not_stored)
    assert "line 2" in said
    listed = page(operator, "/console/files")
    (number,) = re.findall(rf'/console/files/(\d+)"><bdi class="name">{name}', listed)
    assert "line 2" in text_of(page(operator, f"/console/files/{number}"))


def test_a_file_that_would_not_be_taken_is_not_sent(engine: EngineProcess) -> None:
    operator = visitor(engine, "operate")
    wrong = upload(operator, "holiday.jpg", b"\xff\xd8")
    assert wrong.status == 400
    assert "no name of a data file" in text_of(wrong.body.decode())
    assert upload(operator, "", b"").status == 400
    assert upload(visitor(engine, "read"), "ftp_dpm_12345_1777600001.sync", b"x\n").status == 403
    assert upload(operator, "ftp_dpm_12345_1777600001.sync", b"x\n", anti_forgery="x").status == 403


# --- privacy --------------------------------------------------------------------------------------------


def test_a_request_is_made_followed_and_lifted(engine: EngineProcess, well: ReceiverThread) -> None:
    """With its proof: what the destination acknowledged. Nothing is done that was not meant."""
    admin = visitor(engine)
    engine.accept(visit(7, "camera"))
    wait_until(lambda: well.segments_of("p7"), "the message")
    unsure = admin.post("/console/privacy/request", {"who": "12345:p7", "action": "opt_out"})
    assert unsure.status == 400
    assert "say that it is meant" in text_of(unsure.body.decode())
    assert 'value="12345:p7"' in unsure.body.decode()
    made = admin.post("/console/privacy/request", {"who": "12345:p7", "action": "opt_out", "sure": "1"})
    assert made.status == 303
    here = made.headers["location"]
    wait_until(lambda: "✓ done" in text_of(page(admin, here)), "the request to be done")
    said = text_of(page(admin, here))
    assert "p7" not in said
    assert f"DSP {ACME} {ACME} ✓ acknowledged" in said
    assert "suppression list" in text_of(page(admin, "/console/users?id=12345:p7"))
    number = here.rpartition("/")[2]
    assert admin.post("/console/privacy/lift", {"request": number, "sure": "1"}).status == 303
    assert "lifted" in text_of(page(admin, here))


def test_everything_kept_is_shown_once(engine: EngineProcess) -> None:
    admin = visitor(engine)
    assert admin.post("/console/privacy/access", {"who": "12345:p1"}).status == 303
    assert '"id": "p1"' in text_of(page(admin, "/console/privacy"))
    assert '"id": "p1"' not in text_of(page(admin, "/console/privacy"))
    assert audited(engine, "privacy_accessed")
    assert admin.post("/console/privacy/access", {"who": "p1"}).status == 400


# --- the catalog ----------------------------------------------------------------------------------------


class Editor:
    """Somebody who edits the catalog; from this machine, unless another visitor is given."""

    def __init__(self, engine: EngineProcess, by: Visitor | None = None) -> None:
        self.visitor = by or local(engine)
        body = page(self.visitor, "/console/catalog/edit")
        self.text = unescape(re.findall(r"<textarea[^>]*>\n(.*?)</textarea>", body, re.DOTALL)[0])
        self.based = {
            name: re.findall(rf'name="{name}" value="([^"]*)"', body)[0] for name in ("version", "tag")
        }

    def plan(self, text: str, note: str = "") -> str:
        """What the page says afterwards."""
        sent = {"text": text, "note": note, **self.based}
        done = self.visitor.post("/console/catalog/edit/plan", sent)
        assert done.status == 303, done.body.decode()
        return page(self.visitor, "/console/catalog/edit")

    def apply(self) -> str:
        done = self.visitor.post("/console/catalog/edit/apply")
        assert done.status == 303, done.body.decode()
        return page(self.visitor, done.headers["location"])


def test_an_edit_is_planned_and_applied_and_taken_back(engine: EngineProcess) -> None:
    editor = Editor(engine)
    renamed = editor.text.replace("name: lens", "name: Lens & <b>glass</b>")
    assert renamed != editor.text
    said = text_of(editor.plan(renamed, "a better name"))
    assert "This is what it would do. Nothing is changed yet." in said
    assert "~ trait 1001 name: lens -> Lens & <b>glass</b>" in said
    version = engine.client().status().catalog_version
    assert version == int(editor.based["version"])
    assert f"Version {version + 1} is in force." in text_of(editor.apply())
    history = page(editor.visitor, "/console/catalog")
    assert "a better name" in history
    assert "<b>glass" not in history
    difference = page(editor.visitor, f"/console/catalog/diff?old={version}&new={version + 1}")
    assert ">lens</del>" in difference
    assert "Lens &amp; &lt;b&gt;glass&lt;/b&gt;</ins>" in difference
    here = f"/console/catalog/versions/{version}"
    (tag,) = set(re.findall(r'name="tag" value="([^"]+)"', page(editor.visitor, here)))
    assert editor.visitor.post(f"{here}/rollback", {"tag": tag}).status == 400, "it has to be meant"
    assert editor.visitor.post(f"{here}/plan", {"tag": tag}).status == 303
    assert "~ trait 1001 name" in text_of(page(editor.visitor, here))
    assert editor.visitor.post(f"{here}/rollback", {"tag": tag, "sure": "1"}).status == 303
    assert engine.client().status().catalog_version == version + 2
    stale = editor.visitor.post(f"{here}/rollback", {"tag": tag, "sure": "1"})
    assert stale.status == 412
    assert engine.client().status().catalog_version == version + 2


def test_what_is_wrong_is_said_line_by_line(engine: EngineProcess) -> None:
    """While it is typed, and by the button; links lead to the lines."""
    editor = Editor(engine)
    bad = editor.text.replace("rule: 1000T", "rule: 1000T AND", 1)
    line = bad.split("\n").index(next(one for one in bad.split("\n") if "1000T AND" in one)) + 1
    typed = editor.visitor.post("/console/catalog/edit/check", {"text": bad, **editor.based}).body.decode()
    for body in (typed, editor.plan(bad)):
        assert f'href="#L{line}"' in body
        assert f'id="L{line}"' in body
        assert f"Line {line}, column" in text_of(body)
    assert editor.visitor.post("/console/catalog/edit/apply").status == 400, "nothing was planned"
    assert editor.visitor.post("/console/catalog/edit/discard").status == 303
    assert bad not in unescape(page(editor.visitor, "/console/catalog/edit"))
    assert editor.text in unescape(page(editor.visitor, "/console/catalog/edit"))


def test_two_who_edit_at_once_do_not_undo_each_other(engine: EngineProcess) -> None:
    """The second is told what the first changed, and decides."""
    first, second = Editor(engine), Editor(engine)
    assert "Nothing is changed yet" in text_of(second.plan(second.text.replace("name: bag", "name: Bags")))
    first.plan(first.text.replace("name: camera", "name: Cameras"))
    assert "is in force" in text_of(first.apply())
    version = engine.client().status().catalog_version
    said = text_of(second.apply())
    assert "Somebody else has applied another catalog" in said
    assert engine.client().status().catalog_version == version
    assert "What others changed" in said
    assert "Cameras" in said
    assert "name: Bags" in said, "the text is not lost"
    assert second.visitor.post("/console/catalog/edit/rebase").status == 303
    body = page(second.visitor, "/console/catalog/edit")
    assert "What others changed" not in body
    second.based = {
        name: re.findall(rf'name="{name}" value="([^"]*)"', body)[0] for name in ("version", "tag")
    }
    mine = second.text.replace("name: bag", "name: Bags").replace("name: camera", "name: Cameras")
    assert "~ trait 1002 name" in text_of(second.plan(mine))
    assert "is in force" in text_of(second.apply())


def test_a_token_from_afar_reads_none_of_the_machines_files(engine: EngineProcess) -> None:
    """As with the API: what it may refer to is bounded."""
    editor = Editor(engine, visitor(engine))
    key = '"file:/etc/passwd"'
    document = json.loads(catalog([destination(ACME, "https://127.0.0.1:9/")]))
    document["destinations"][0]["signatures"] = [{"key": json.loads(key)}]
    said = text_of(editor.plan(json.dumps(document)))
    assert "It cannot be applied" in said
    editor.visitor.post("/console/catalog/edit/discard")


# --- many -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    """Ten thousand segments, and somebody who has to do with all of them."""
    document = json.loads(catalog([]))
    document["segments"] = [
        {"id": number, "name": f"Segment {number}", "rule": f"1000T OR {1000 + number % 3}T"}
        for number in range(1, 10_001)
    ]
    with EngineProcess(tmp_path_factory.mktemp("large")) as running:
        running.apply(json.dumps(document))
        running.accept(visit(1, "camera"))
        yield running


def test_pages_of_a_large_catalog_are_pages(large: EngineProcess) -> None:
    """None lists ten thousand things, and each leads on to the rest."""
    admin = visitor(large)
    for target, most in (
        ("/console/segments", 100_000),
        ("/console/segments/77", 100_000),
        ("/console/users?id=12345:p1", 400_000),
        ("/console/catalog", 100_000),
        ("/console/catalog/diff?old=0&new=1", 200_000),
        ("/console/catalog/versions/1", 400_000),
    ):
        assert len(page(admin, target)) < most, target
    seen: list[int] = []
    target = "/console/segments"
    while target and len(seen) < 100:
        body = page(admin, target)
        seen += map(int, re.findall(r'<a href="/console/segments/(\d+)">', body))
        more = re.search(r'rel="next" href="([^"]+)"', body)
        target = unescape(more[1]) if more is not None else ""
    assert seen == list(range(1, 101))
    first = page(admin, "/console/users?id=12345:p1")
    assert "10,000 concern this user" in text_of(first)
    more = re.search(r'rel="next" href="([^"]+)"', first)
    assert more is not None
    assert "/console/segments/51" in page(admin, unescape(more[1]))

"""What is most likely a slip is refused, and never taken for what does more."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from attacks.doors import connect
from e2e.catalogs import DPID, IN_MARKET, catalog, destination, device
from e2e.engine_process import LOOPBACK, OPEN, EngineProcess, request
from patience import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOBODY = "https://127.0.0.1:1/segments/aam"


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    with EngineProcess(tmp_path_factory.mktemp("engine"), settings=OPEN) as running:
        running.apply(catalog([destination(1, NOBODY)]))
        yield running


@pytest.fixture(scope="module")
def admin(engine: EngineProcess) -> dict[str, str]:
    return {"Authorization": f"Bearer {engine.client().create_token('admin', 'test', None).secret}"}


@pytest.mark.parametrize(
    "route",
    [
        "/v1/catalog?dry_run=True",
        "/v1/catalog?dry_run=01",
        "/v1/catalog?dry_run=",
        "/v1/catalog?dry_run=%C2%B2",
        "/v1/catalog?dryrun=1",
        "/v1/catalog?dry_run=1&dry_run=0",
        "/v1/catalog/rollback?dry_run=on",
        "/v1/catalog/rollback?dryrun=1",
        "/v1/onboard?name=ftp_dpm_12345_1777600000.sync&check=%C2%B2",
        "/v1/undelivered/replay?destinatoin=1",
        "/v1/tokens?scope=read&expire=1d",
        "/v1/tokens?scope=read&expires=",
        "/v1/tokens?scope=read&name=%0a%1b",
        f"/v1/tokens?scope=read&name={'x' * 256}",
        "/v1/status?x=1",
    ],
)
def test_a_parameter_that_is_not_understood_is_refused(
    engine: EngineProcess, admin: dict[str, str], route: str
) -> None:
    before = engine.client().status().catalog_version, len(engine.client().list_tokens())
    method = "GET" if "status" in route else "POST"
    reply = request(engine.admin, method, route, catalog([]).encode(), admin)
    assert (reply.status, reply.json()["code"]) == (400, "invalid_input")
    assert (engine.client().status().catalog_version, len(engine.client().list_tokens())) == before


def test_a_token_with_a_line_end_is_not_shown(engine: EngineProcess) -> None:
    engine.environ["ARKE_TOKEN"] = "arke_SECRET\r"
    try:
        done = engine.arke("status", "--url", f"http://{engine.admin}")
    finally:
        del engine.environ["ARKE_TOKEN"]
    assert done.returncode == 2
    assert "SECRET" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("tail", ["?b", "#y", "/..", "²", " b"])
def test_what_is_revoked_is_what_was_named(engine: EngineProcess, tail: str) -> None:
    token = engine.client().create_token("read", "kept", None).id
    done = engine.arke("token", "revoke", token + tail)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert [one.revoked for one in engine.client().list_tokens() if one.id == token] == [None]


def test_a_lift_takes_plain_digits(engine: EngineProcess) -> None:
    for number in ("1_0", "+1", "١"):
        done = engine.arke("privacy", "lift", "--request", number)
        assert done.returncode == 2
        assert "no privacy request" not in done.stderr


def test_what_never_arrived_proves_nothing(engine: EngineProcess) -> None:
    """A refused connection is no acknowledgement of an opt-out."""
    who = device(77)
    engine.accept({"uuid": who, "ids": [{"dpid": DPID, "id": "p77"}], "signals": {"c_see": "camera"}})
    wait_until(
        lambda: "connect_refused" in engine.arke("explain", who, "--json").stdout, "the message to be refused"
    )
    assert request(engine.intake, "GET", "/demoptout", headers={"Cookie": f"demdex={who}"}).status == 200
    client = engine.client()
    wait_until(lambda: client.privacy_list(None)[0].state == "done", "the request to end")
    assert [one.acknowledged for one in client.privacy_list(None)[0].destinations if one.acknowledged] == []


GIVEN_BACK = f"""{LOOPBACK}[privacy]
public_opt_out = "ids"
[answers]
memberships = "any"
origins = ["*"]
"""


def test_a_source_for_tokens_stays_one_whatever_else_is_given_back(tmp_path: Path) -> None:
    """`declared_by: token` goes before `public_opt_out = "ids"` and `memberships = "any"`."""
    with EngineProcess(tmp_path, settings=GIVEN_BACK) as engine:
        document = json.loads(catalog([]))
        document["data_sources"].append({"id": 777, "declared_by": "token"})
        engine.apply(json.dumps(document))
        token = engine.client().create_token("ingest", "ours", None).secret
        ids = [{"dpid": 777, "id": "closed"}, {"dpid": DPID, "id": "open"}]
        assert (
            engine.send({"uuid": device(1), "ids": ids, "signals": {"c_see": "camera"}}, token=token).status
            == 200
        )
        for number, name, told in ((777, "closed", False), (DPID, "open", True)):
            target = f"/event?d_rtbd=json&d_cts=2&d_cid={number}%01{name}"
            answer = request(engine.intake, "GET", target)
            assert ("uuid" in answer.json()) == told
            assert (IN_MARKET in answer.json().get("segments", ())) == told
            assert ("set-cookie" in answer.headers) == told
        refused = request(engine.intake, "GET", "/demoptout?d_rtbd=json&d_cid=777%01closed")
        assert [one["code"] for one in refused.json()["errors"]] == [302, 104]
        assert engine.client().privacy_list(None) == []
        request(engine.intake, "GET", f"/demoptout?d_cid=777%01closed&d_cid={DPID}%01open")
        assert [one.public for one in engine.client().privacy_list(None)] == [True]


def test_a_directory_that_others_may_only_read_is_closed(tmp_path: Path) -> None:
    """As `mkdir` makes them: nobody else can have put anything there."""
    engine = EngineProcess(tmp_path, settings=OPEN)
    engine.data.mkdir()
    engine.data.chmod(0o755)
    with engine:
        connect(engine, "socket").close()
    assert engine.data.stat().st_mode & 0o777 == 0o700
    assert "data_directory_closed" in engine.log()


@pytest.mark.parametrize(
    ("text", "environ"),
    [
        ('[server]\nadmin_hosts = ["http://arke.internal"]\n', {}),
        ('[server]\nadmin_hosts = ["*"]\n', {}),
        ('[server]\nadmin_hosts = [""]\n', {}),
        ('[server]\nadmin = "[::1:0"\n', {}),
        ('[answers]\norigins = ["null"]\n', {}),
        ('[secrets]\nfolders = [""]\n', {}),
        ('[secrets]\nenv_prefix = "A=B"\n', {}),
        ("", {"ARKE_PRIVACY_PUBLIC_OPTOUT": "ids"}),
        ("", {"ARKE_PRIVACY_OPT_OUT_ORIGIN": "https://shop.example"}),
    ],
)
def test_a_setting_that_cannot_mean_what_it_says_is_refused(
    tmp_path: Path, text: str, environ: dict[str, str]
) -> None:
    engine = EngineProcess(tmp_path, settings=text, environ=environ)
    command = ["up", "--config", str(engine.config)] + ([] if "admin = " in text else ["--admin-port", "0"])
    done = engine.arke(*command, "--intake-port", "0")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert not (engine.data / "directory.db").exists()


def test_a_data_directory_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    done = EngineProcess(tmp_path).arke("up", "--data", "/proc/nope")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr

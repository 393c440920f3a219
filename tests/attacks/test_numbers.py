"""Finding 5: where digits are expected, a caller's text is digits or is refused; no log has it.

(The last resort on every server, for what nobody thought of, is tested elsewhere.)
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import pytest

from e2e.engine_process import OPEN, EngineProcess, request

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HUGE: Final = "9" * 5_000
"""More digits than `int` takes."""
NO_NUMBERS: Final = ("²", "٣", "１", "1_0", "+1", "-1", " 1", "1 ", "1e3", "0x1", "1.0", "9" * 30, HUGE)
MARK: Final = "²٣１"
SOURCE: Final = 12345
CATALOG: Final = json.dumps(
    {
        "data_sources": [{"id": SOURCE}],
        "traits": [{"id": 1, "rule": 'a == "b"'}],
        "segments": [{"id": 1, "rule": "1T"}],
        "destinations": [{"id": 423, "url": "https://127.0.0.1:1/", "client_id": "c"}],
    }
)
ROUTES: Final = (
    ("GET", "/v1/explain?id={}:abc"),
    ("GET", "/v1/explain?uuid={}"),
    ("GET", "/v1/undelivered?destination={}"),
    ("POST", "/v1/undelivered/replay?destination={}"),
    ("POST", "/v1/batches?destination={}"),
    ("GET", "/v1/batches/{}?destination=423"),
    ("GET", "/v1/batches/1?destination={}"),
    ("POST", "/v1/resync?destination={}"),
    ("POST", "/v1/estimate?sample={}"),
    ("POST", "/v1/catalog/rollback?version={}"),
    ("GET", "/v1/privacy/requests?before={}"),
    ("GET", "/v1/privacy/requests/{}"),
    ("GET", "/v1/audit?after={}"),
    ("POST", "/v1/tokens?scope=read&expires={}d"),
    ("POST", "/v1/onboard?name=ftp_dpm_{}_1777600000.sync&check=1"),
    ("POST", "/v1/onboard?name=ftp_dpm_12345_{}.sync&check=1"),
)
"""Every route of the admin API that takes a number, and where it stands."""
COMMANDS: Final = (
    ("apply", "--rollback", "--to={}"),
    ("batch", "run", "{}"),
    ("resync", "{}"),
    ("undelivered", "list", "--destination={}"),
    ("undelivered", "replay", "--destination={}"),
    ("estimate", "1T", "--sample={}"),
    ("privacy", "list", "--before={}"),
    ("privacy", "show", "{}"),
    ("privacy", "delete", "--uuid", "1" * 38, "--wait={}x"),
    ("explain", "--id={}:abc"),
    ("up", "--intake-port={}"),
    ("up", "--admin-port={}"),
    ("up", "--shards={}"),
    ("probe", "https://127.0.0.1:1/", "--dpid={}"),
    ("receiver", "--port={}"),
    ("token", "create", "--scope=read", "--expires={}d"),
    ("status", "--url=http://127.0.0.1:{}"),
)
FIELDS: Final = (
    ("data_sources", "id"),
    ("traits", "id"),
    ("traits", "ttl_days"),
    ("traits", "data_source"),
    ("segments", "id"),
    ("destinations", "id"),
    ("destinations", "max_users_per_request"),
    ("destinations", "sample_rate_denominator"),
    ("destinations", "user_dpids"),
    ("destinations", "success"),
    ("destinations", "linger"),
)
"""Numbers of a catalog."""


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    with EngineProcess(tmp_path_factory.mktemp("numbers"), settings=OPEN) as started:
        started.apply(CATALOG)
        yield started
        assert "Traceback" not in started.log()
        assert not any(character in started.log() for character in MARK)


@pytest.fixture(scope="module")
def token(engine: EngineProcess) -> str:
    return engine.client().create_token("admin", "numbers", None).secret


@pytest.mark.parametrize(("method", "target"), ROUTES)
def test_a_route_takes_digits_only(engine: EngineProcess, token: str, method: str, target: str) -> None:
    """Finding 5: 400 with a code, by TCP, for everything that is not plain digits in bounds."""
    body = b"1T" if "estimate" in target else b""
    for text in NO_NUMBERS:
        headers = {"Authorization": f"Bearer {token}"}
        reply = request(engine.admin, method, target.format(quote(text)), body, headers)
        assert reply.status == 400, (target, text[:20], reply.status, reply.body[:200])
        assert reply.json()["code"], (target, text[:20])


INTAKE: Final = (
    ("GET", "/event?d_cid={}%01abc&d_rtbd=json", None),
    ("GET", "/event?d_uuid={}", None),
    ("GET", "/event?d_sid={}&d_cts={}&d_dst={}", None),
    ("GET", "/ibs:dpid={}&dpuuid=abc", None),
    ("GET", "/demoptout?d_uuid={}", None),
    ("POST", "/v1/events", '{{"ids": [{{"dpid": "{}", "id": "abc"}}]}}\n'),
    ("POST", "/v1/events", '{{"uuid": "{}"}}\n'),
    ("POST", "/v1/events", '{{"uuid": "1", "ts": "{}"}}\n'),
    ("POST", "/v1/events", '{{"uuid": "1", "memberships": {{"{}": 1}}}}\n'),
)
"""Numbers of the intake. These doors take and refuse in forms of their own; none fails."""


@pytest.mark.parametrize(("method", "target", "line"), INTAKE)
def test_the_intake_breaks_on_no_number(
    engine: EngineProcess, method: str, target: str, line: str | None
) -> None:
    """Finding 5: whatever stands for a number, the public door answers below 500, and goes on."""
    for text in NO_NUMBERS:
        body = None if line is None else line.format(text).encode()
        shown = quote(text[:3_000])
        reply = request(engine.intake, method, target.format(shown, shown, shown), body)
        assert reply.status < 500, (target, text[:20], reply.body[:200])
    engine.accept({"uuid": "1" * 38})


@pytest.mark.parametrize("header", ["Content-Length", "Age", "X-Forwarded-For", "Range", "Max-Forwards"])
def test_a_header_breaks_no_number(engine: EngineProcess, header: str) -> None:
    """Finding 5: headers hold bytes; what they spell in Latin-1 is no digit."""
    for text in ("²", "+1", "1_0", " 1", "0x1", "9" * 30):
        raw = text.encode("latin-1").decode("latin-1")
        for address, path in ((engine.intake, "/v1/events"), (engine.admin, "/v1/status")):
            reply = request(address, "GET", path, None, {header: raw})
            assert 400 <= reply.status < 500, (header, text, reply.status)


@pytest.mark.parametrize(
    ("number", "command"), list(enumerate(COMMANDS)), ids=[" ".join(one) for one in COMMANDS]
)
def test_a_command_takes_digits_only(engine: EngineProcess, number: int, command: tuple[str, ...]) -> None:
    """Finding 5: exit code 2 and a sentence, no traceback. One text a command: a start takes a second."""
    text = ("²", "1_0", HUGE)[number % 3]
    done = engine.arke(*(part.format(text) for part in command))
    assert done.returncode == 2, (command, text[:20], done.stdout[-200:], done.stderr[-300:])
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("section", "field"), FIELDS)
def test_a_catalog_takes_numbers_only(engine: EngineProcess, token: str, section: str, field: str) -> None:
    """Finding 5: a problem with its place, whether it is written as text or, as YAML may read it, plain."""
    for text in ("²", "٣", "１", "1_0", "-1", "1e3", "9" * 30, HUGE):
        for written in (f'"{text}"', text):
            catalog = json.loads(CATALOG)
            catalog[section][0][field] = "HERE"
            listed = f"[{written}]" if field in ("user_dpids", "success") else written
            body = json.dumps(catalog).replace('"HERE"', listed).encode()
            headers = {"Authorization": f"Bearer {token}"}
            reply = request(engine.admin, "POST", "/v1/catalog?dry_run=1", body, headers)
            assert reply.status == 400, (field, written[:20], reply.body[:300])
            assert reply.json()["code"] == "bad_catalog"


def test_a_rule_breaks_on_no_number(engine: EngineProcess, token: str) -> None:
    """Finding 5: in rules, numbers are digits too: traits, days, counts, comparisons."""
    rules = ("{}T", "FREQUENCY([1T]) >= {}", "FREQUENCY([1T] <= {}D) >= 1", "1T AND {}", "{}")
    for text in NO_NUMBERS:
        for rule in rules:
            headers = {"Authorization": f"Bearer {token}"}
            reply = request(engine.admin, "POST", "/v1/estimate", rule.format(text).encode(), headers)
            assert reply.status in (200, 400), (rule, text[:20], reply.body[:200])


@pytest.mark.parametrize("text", ["²", HUGE], ids=["²", "huge"])
def test_an_address_takes_digits_only(tmp_path: Path, text: str) -> None:
    """Finding 5: a setting with a port that is none keeps the engine from starting, in a sentence."""
    engine = EngineProcess(tmp_path, settings=f'[server]\nintake = "127.0.0.1:{text}"\n')
    done = engine.arke("up", "--config", str(engine.config), "--data", str(engine.data))
    assert done.returncode == 2
    assert "host:port" in done.stderr
    assert "Traceback" not in done.stderr

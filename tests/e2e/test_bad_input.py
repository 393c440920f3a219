"""Bad input gets a clear error and costs only itself: lines, catalogs, destinations that cannot be reached."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import pytest

from e2e.catalogs import DPID, catalog, destination, device, visit
from e2e.engine_process import LOOPBACK, EngineProcess, request
from e2e.receiver_thread import ReceiverThread
from patience import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WELL, EXPIRED, STRANGER, WRONG_HOST, NO_SECRET, PRIVATE, NOBODY, UNKNOWN_NAME = range(1, 9)


class Place:
    """An engine whose destinations are all wrong in their own way, but for one."""

    def __init__(self, engine: EngineProcess, receiver: ReceiverThread, text: str) -> None:
        self.engine = engine
        self.receiver = receiver
        self.catalog = text

    def told(self, number: int) -> set[str]:
        return self.receiver.segments_of(f"p{number}")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with (
        ReceiverThread() as well,
        ReceiverThread() as expired,
        ReceiverThread() as stranger,
        ReceiverThread() as elsewhere,
        EngineProcess(tmp_path_factory.mktemp("engine")) as engine,
    ):
        expired.misbehave("tls=expired")
        elsewhere.misbehave("tls=wrong-host")
        text = catalog(
            [
                destination(WELL, well.url, well.ca_file),
                destination(EXPIRED, expired.url, expired.ca_file),
                destination(STRANGER, stranger.url, well.ca_file),
                destination(WRONG_HOST, elsewhere.url, elsewhere.ca_file),
                destination(NO_SECRET, well.url, well.ca_file, signatures=[{"key": "env:NOT_SET_ANYWHERE"}]),
                destination(PRIVATE, "https://10.1.2.3/segments/aam"),
                destination(NOBODY, "https://localhost:1/segments/aam", well.ca_file),
                destination(UNKNOWN_NAME, "https://no-such-host.invalid/segments/aam"),
            ]
        )
        engine.apply(text)
        yield Place(engine, well, text)


REASONS = {
    EXPIRED: "tls_certificate_expired",
    STRANGER: "tls_unknown_ca",
    WRONG_HOST: "tls_hostname_mismatch",
    NO_SECRET: "secret_unresolved",
    PRIVATE: "egress_refused",
    NOBODY: "connect_refused",
}


NO_SUCH_NAME = {"dns_no_such_name", "dns_failed", "timeout_dns"}
"""By what the machine's resolver makes of a name that never exists; some machines have none."""


def test_a_destination_that_cannot_be_reached_is_owed_with_the_reason(place: Place) -> None:
    """And its neighbour has the message long before."""
    place.engine.accept(visit(1, "camera"))
    wait_until(lambda: place.told(1), "the good destination to be told")
    client = place.engine.client()
    wait_until(
        lambda: "waiting" not in {one.reason for one in client.undelivered(None)}, "the others to be given up"
    )
    reasons = {one.destination: one.reason for one in client.undelivered(None)}
    assert reasons.pop(UNKNOWN_NAME) in NO_SUCH_NAME
    assert reasons == REASONS
    facts = client.explain(device(1), None)
    states = {destination.id: destination.state for destination in facts.destinations}
    assert states == {WELL: "told", UNKNOWN_NAME: "owed"} | dict.fromkeys(REASONS, "owed")


LINES: list[tuple[bytes, tuple[str, str] | None]] = [
    (json.dumps(visit(11, "camera")).encode(), None),
    (b'{"uuid": "0000', ("bad_json", "not a JSON object")),
    (b"not json at all", ("bad_json", "not a JSON object")),
    (b"\xff\xfe", ("bad_json", "not a JSON object")),
    (
        json.dumps({"ids": [{"dpid": 777, "id": "x"}]}).encode(),
        (
            "all_ids_invalid",
            "all of its ids are invalid (104): ids[0].id is of data source 777, which",
        ),
    ),
    (
        json.dumps({"uuid": "123"}).encode(),
        ("bad_uuid", "uuid must be a string of exactly 38 decimal digits"),
    ),
    (json.dumps({"uuid": 123}).encode(), ("bad_field", "Expected `str`, got `int` - at `uuid`")),
    (
        json.dumps({"signal": {}}).encode(),
        ("unknown_field", "unknown field `signal`: did you mean `signals`?"),
    ),
    (json.dumps({"memberships": {"999": 1}}).encode(), ("unknown_segment", "no segment 999 in the catalog")),
    (json.dumps({"memberships": {"10329": 1}}).encode(), ("not_external", "segment 10329 has a rule")),
    (json.dumps({"memberships": {"12176": 2}}).encode(), ("bad_field", "Expected `int` <= 1")),
    (json.dumps({"ts": "2001-01-01T00:00:00Z"}).encode(), ("too_old", "ts is more than 130 days ago")),
    (json.dumps({"ts": "2999-01-01T00:00:00Z"}).encode(), ("in_future", "ts is more than 5 minutes ahead")),
    (
        json.dumps({"ids": [{"dpid": DPID, "id": ""}]}).encode(),
        ("all_ids_invalid", "all of its ids are invalid (104): ids[0].id"),
    ),
    (b'{"signals": {"c_see": "' + b"x" * 40_000 + b'"}}', ("line_too_long", "the line is longer than 32768")),
    (b"[" * 100_000 + b"\n", ("line_too_long", "the line is longer than")),
    (b"", None),
    (json.dumps(visit(12, "camera")).encode(), None),
]


def test_a_bad_line_costs_only_itself(place: Place) -> None:
    """Each bad line is named with its number, a code and a sentence; the good ones around it are delivered."""
    reply = place.engine.send_lines(b"\n".join(line for line, _ in LINES))
    receipt = reply.json()
    assert (reply.status, receipt["accepted"]) == (200, 2)
    expected = [(number, *said) for number, (_, said) in enumerate(LINES, 1) if said is not None]
    rejected = [(one["line"], one["code"], one["message"]) for one in receipt["rejected"]]
    assert [(line, code) for line, code, _ in rejected] == [(line, code) for line, code, _ in expected]
    for (_, _, message), (_, _, beginning) in zip(rejected, expected, strict=True):
        assert message.startswith(beginning)
    wait_until(lambda: place.told(11) and place.told(12), "the good lines to be delivered")


BAD_CATALOGS = {
    "a rule with a typo": (
        ("1000T AND NOT 1002T", "1000T AN NOT 1002T"),
        ['expected AND or OR, found "AN" (write AND)'],
    ),
    "a trait that is not there": (("1000T AND NOT 1002T", "1000T AND NOT 1999T"), ["1999"]),
    "an http:// destination": (
        ("https://10.1.2.3/", "http://10.1.2.3/"),
        ["url must be https", "personal data is never sent in clear"],
    ),
    "a secret in plain text": (
        ("env:NOT_SET_ANYWHERE", "canary-plain-secret"),
        ["key must be a reference to a secret"],
    ),
    "a field with a typo": (('"client_id"', '"clientid"'), ["clientid", "client_id"]),
    "a CA file that is not there": (("ca.pem", "no.pem"), ["there is no file"]),
    "no YAML at all": (('"traits":', '"traits"'), []),
}


@pytest.mark.parametrize("name", BAD_CATALOGS)
def test_a_bad_catalog_changes_nothing(place: Place, name: str) -> None:
    """`arke apply` names file, line, column and what to do, exits with 2, and what was in force stays."""
    (old, new), said = BAD_CATALOGS[name]
    assert old in place.catalog
    file = place.engine.folder / "bad.yaml"
    file.write_text(place.catalog.replace(old, new))
    version = place.engine.client().status().catalog_version
    for command in (("check", str(file)), ("apply", str(file)), ("apply", "--dry-run", str(file))):
        done = place.engine.arke(*command)
        complaint = done.stderr + done.stdout
        assert done.returncode == 2, complaint
        assert f"{file}:" in complaint
        place_given = complaint.split(f"{file}:", 1)[1].split(":")
        assert place_given[0].isdigit(), complaint
        assert place_given[1].isdigit(), complaint
        for words in said:
            assert words in complaint
        assert "canary-plain-secret" not in complaint
        assert "Traceback" not in complaint
    assert place.engine.client().status().catalog_version == version


def test_a_bad_catalog_over_the_api_lists_every_problem(place: Place) -> None:
    token = place.engine.client().create_token("admin", "test", None).secret
    text = catalog([destination(PRIVATE, "http://10.1.2.3/segments/aam")])
    text = text.replace("1000T AND NOT 1002T", "1000T AN NOT 1002T")
    reply = request(
        place.engine.admin,
        "POST",
        "/v1/catalog?name=mine",
        text.encode(),
        {"Authorization": f"Bearer {token}"},
    )
    problem: dict[str, Any] = reply.json()
    assert (reply.status, problem["code"], len(problem["problems"])) == (400, "bad_catalog", 2)
    assert all(line.startswith("mine:") for line in problem["problems"])


def test_wrong_requests_are_named(place: Place) -> None:
    """Unknown paths, wrong methods and wrong encodings at the intake; the engine goes on."""
    asked = {
        ("GET", "/nothing"): (404, "not_found"),
        ("GET", "/v1/events"): (405, "method_not_allowed"),
        ("DELETE", "/event"): (405, "method_not_allowed"),
    }
    for (method, path), expected in asked.items():
        reply = request(place.engine.intake, method, path)
        assert (reply.status, reply.json()["error"]["code"]) == expected
    packed = request(place.engine.intake, "POST", "/v1/events", b"x", {"Content-Encoding": "br"})
    assert (packed.status, packed.json()["error"]["code"]) == (415, "unknown_encoding")
    secret = place.engine.client().create_token("admin", "packed", None).secret
    headers = {"Authorization": f"Bearer {secret}", "Content-Encoding": "gzip"}
    packed = request(place.engine.admin, "POST", "/v1/catalog/validate", gzip.compress(b"{}"), headers)
    assert (packed.status, packed.json()["code"]) == (400, "invalid_input")
    assert packed.json()["message"].startswith("Content-Encoding: ")
    assert place.engine.ready()


def test_loopback_is_refused_unless_it_is_allowed(tmp_path: Path) -> None:
    """By default a destination on this machine gets no connection at all."""
    with (
        ReceiverThread() as receiver,
        EngineProcess(tmp_path, settings='[auth]\nintake = "open"\n') as engine,
    ):
        engine.apply(catalog([destination(1, receiver.url, receiver.ca_file)]))
        engine.accept(visit(1, "camera"))
        client = engine.client()
        wait_until(
            lambda: [one.reason for one in client.undelivered(None)] == ["egress_refused"], "the refusal"
        )
        assert receiver.server.stats.connections == 0


SETTINGS = {
    "an unknown option": (
        "[server]\nintak = 1\n",
        "toml:2:1: unknown option 'server.intak' (did you mean server.intake?)",
    ),
    "an unknown section": ("[servers]\n", "toml:1:2: unknown option 'servers' (did you mean server?)"),
    "no TOML": ("[server\n", "arke.toml:"),
    "a wrong type": ("region = 'north'\n", "toml:1:1: region: Expected `int`, got `str`"),
    "text for a number": ('region = "9"\n', "toml:1:1: region: Expected `int`, got `str`"),
    "out of bounds": (
        "[delivery]\n timeout_ms = 9000\n",
        "toml:2:2: delivery.timeout_ms: Expected `int` <= 3000",
    ),
    "no such value": (
        "[privacy]\n\nhonour = ['gpc', 'dnt']\n",
        "toml:3:1: privacy.honour: 'dnt' is none of gpc, us_privacy, gpp",
    ),
    "no such purpose": (
        "[privacy]\ntcf_purposes = [1, 30]\n",
        "toml:2:1: privacy.tcf_purposes: Expected `int` <= 24",
    ),
    "no address": ("[server]\nintake = 'here'\n", "server.intake: 'here' is not host:port"),
    "no network": ("[egress]\nallow_cidrs = ['127.0.0.1/99']\n", "egress.allow_cidrs"),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_bad_settings_are_named_and_nothing_starts(tmp_path: Path, name: str) -> None:
    text, said = SETTINGS[name]
    engine = EngineProcess(tmp_path, settings=text)
    done = engine.arke(
        "up", "--config", str(engine.config), "--data", str(engine.data), ARKE_SERVER_ADMIN="[::1]:0"
    )
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_the_environment_goes_over_the_file(tmp_path: Path) -> None:
    """`ARKE_AUTH_INTAKE` opens what arke.toml closes; a wrong value there is named as well."""
    settings = f'[auth]\nintake = "token"\n{LOOPBACK}'
    with EngineProcess(tmp_path, settings=settings, environ={"ARKE_AUTH_INTAKE": "open"}) as engine:
        engine.accept({"signals": {"c_see": "camera"}})
    done = engine.arke("up", "--config", str(engine.config), ARKE_DELIVERY_TIMEOUT_MS="9000")
    assert done.returncode == 2
    assert "arke: ARKE_DELIVERY_TIMEOUT_MS: Expected `int` <= 3000" in done.stderr

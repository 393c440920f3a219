"""The probe passes the good receiver, and points at the right check of a bad one."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import socket
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from arke.delivery.https.endpoint import parse_endpoint
from arke.errors import EgressRefused, InvalidInput
from arke.receiver import ReceiverConfig, ReceiverServer, SigningKey
from arke.receiver.probe.checks import percentile
from arke.receiver.probe.command import PLAIN, probe
from arke.receiver.probe.conduct import Manner
from arke.receiver.probe.report import CHECKS, Check, ProbeReport
from arke.receiver.probe.target import ProbeTarget, target_from_catalog
from integration.delivery.proxy_server import ESTABLISHED, ConnectProxy
from patience import PATIENCE_S

if TYPE_CHECKING:
    from pathlib import Path

    from arke.receiver.http import Request

KEY = SigningKey(secret=b"shared")


def target(server: ReceiverServer, **options: object) -> ProbeTarget:
    fields: dict[str, object] = {
        "endpoint": parse_endpoint(server.url),
        "ca_file": server.ca_file,
        "allow_cidrs": ("127.0.0.0/8",),
    }
    return ProbeTarget(**(fields | options))  # type: ignore[arg-type]


def run(
    config: ReceiverConfig, *, patience_s: float = PATIENCE_S, manner: Manner = PLAIN, **options: object
) -> tuple[ProbeReport, ReceiverServer]:
    async def main() -> tuple[ProbeReport, ReceiverServer]:
        async with ReceiverServer(config) as server:
            if config.token_credentials is not None:
                options.setdefault("token_endpoint", parse_endpoint(server.token_url))
            report = await probe(target(server, **options), requests=5, patience_s=patience_s, manner=manner)
            counts = server.state.counts()
            assert counts.active == 0, "the probe takes back what it told"
            return report, server

    return asyncio.run(main())


def outcomes(report: ProbeReport) -> dict[str, str]:
    return {check.name: check.outcome for check in report.checks}


@pytest.mark.parametrize("dpid", [0, 12345, 20914, 20915])
def test_the_reference_receiver_passes_every_check(dpid: int) -> None:
    config = ReceiverConfig(keys=(KEY,), token_credentials=b"opaque")
    report, server = run(config, keys=(KEY,), credentials="opaque", user_dpid=dpid)
    found = outcomes(report)
    assert list(found) == list(CHECKS)
    skipped = {name for name, outcome in found.items() if outcome == "skip"}
    assert skipped == (set() if dpid == 12345 else {"pipe_id"})
    assert set(found.values()) - {"skip"} == {"pass"}
    assert report.passed
    assert server.stats.failed == {"bad_signature": 2, "bad_token": 2}


def test_without_key_and_token_these_checks_are_skipped() -> None:
    report, _ = run(ReceiverConfig())
    skipped = {name for name, outcome in outcomes(report).items() if outcome == "skip"}
    assert skipped == {
        *("token", "token_life"),
        *("wrong_signature", "missing_signature", "wrong_token", "missing_token"),
    }
    assert report.passed


@pytest.mark.parametrize(
    ("fault", "check", "explanation"),
    [
        ("status=500", "answers_200", "answered 500 instead of 200"),
        ("status=201", "answers_200", "only 200 counts as success"),
        ("status=204", "answers_200", "only 200 counts as success"),
        ("redirect=https://elsewhere.example/", "answers_200", "redirects .* are not followed"),
        ("stall", "answers_200", "no answer came within [0-9.]+ s"),
        ("dribble", "answers_200", "only a part of an answer"),
        ("reset", "answers_200", "the connection broke"),
        ("close", "answers_200", "closed without an answer"),
        ("garbage", "answers_200", "not HTTP/1.1"),
        ("endless-headers", "answers_200", "headers go beyond 16384 bytes"),
        ("tls=expired", "tls", "certificate has expired"),
        ("tls=wrong-host", "tls", "not valid for '127.0.0.1'"),
        ("tls=unknown-ca", "tls", "unable to get local issuer"),
        ("tls=stall", "tls", "did not come to an end"),
    ],
)
def test_a_fault_fails_its_check_and_the_rest_is_skipped(fault: str, check: str, explanation: str) -> None:
    """Where the probe's own patience is what ends it, that is short: unless it ended what came before."""

    async def main(patience_s: float) -> ProbeReport:
        async with ReceiverServer(ReceiverConfig(misbehave=(fault,))) as server:
            return await probe(target(server), requests=1, patience_s=patience_s)

    patience_s = 0.5 if fault in ("stall", "dribble", "tls=stall") else PATIENCE_S
    while True:
        report = asyncio.run(main(patience_s))
        failed = [item for item in report.checks if item.outcome == "fail"]
        patience_s *= 2
        if re.search(explanation, failed[0].explanation) or patience_s > PATIENCE_S:
            break
    assert [item.name for item in failed] == [check]
    assert re.search(explanation, failed[0].explanation), failed[0].explanation
    assert not report.passed
    assert list(outcomes(report)) == list(CHECKS)


def test_an_answer_after_3000_ms_is_late_not_missing() -> None:
    async def main() -> ProbeReport:
        async with ReceiverServer(ReceiverConfig(misbehave=("slow=3100ms:1",))) as server:
            return await probe(target(server), requests=1, patience_s=PATIENCE_S)

    found = outcomes(asyncio.run(main()))
    assert (found["answers_200"], found["in_time"], found["latency"]) == ("pass", "fail", "skip")


def test_a_huge_body_fails_the_size_check_only() -> None:
    report, _ = run(ReceiverConfig(misbehave=("huge-body:1",)))
    failed = {name for name, outcome in outcomes(report).items() if outcome == "fail"}
    assert failed == {"small_response"}


def test_a_receiver_that_verifies_nothing_fails_the_refusal_checks() -> None:
    """It takes signed messages, but those with a wrong signature too."""
    report, _ = run(ReceiverConfig(), keys=(KEY,))
    failed = {name for name, outcome in outcomes(report).items() if outcome == "fail"}
    assert failed == {"wrong_signature", "missing_signature"}


def found(report: ProbeReport, name: str) -> Check:
    return next(check for check in report.checks if check.name == name)


def test_a_user_who_poisons_a_message_is_told_of_and_not_a_failure() -> None:
    """The id that the endpoint refuses can be named; the others are tried alone, and all is taken back."""
    report, _ = run(ReceiverConfig(misbehave=("poison=422/p3",)), manner=Manner(poison="p3"))
    check = found(report, "poisoned_user")
    assert (check.outcome, check.facts) == ("warn", {"status": 422, "others_taken": True})
    assert outcomes(report)["status_0"] == "pass"
    assert report.passed
    taken, _ = run(ReceiverConfig())
    assert found(taken, "poisoned_user").facts == {"status": 200}


def test_a_throttle_is_told_and_waited_for() -> None:
    """The burst says what came back; then the probe waits for as long as it was told to."""

    async def main() -> ProbeReport:
        async with ReceiverServer() as server:

            def around_the_burst(check: Check) -> None:
                if check.name == "missing_token":  # the burst is next
                    server.misbehave(["throttle=3/2s"])

            return await probe(target(server), requests=2, patience_s=PATIENCE_S, on_check=around_the_burst)

    report = asyncio.run(main())
    check = found(report, "burst")
    assert check.outcome == "pass"
    assert check.facts["retry_after"] in {"1", "2"}
    assert set(check.facts["answers"]) == {"200", "429"}  # type: ignore[call-overload]
    assert outcomes(report)["latency"] == "pass"
    assert outcomes(report)["status_0"] == "pass"


def test_there_may_be_no_burst_at_all() -> None:
    report, _ = run(ReceiverConfig(), manner=Manner(burst=0))
    assert outcomes(report)["burst"] == "skip"


def test_sloppy_heads_are_named_and_count() -> None:
    report, _ = run(ReceiverConfig(misbehave=("sloppy=twice",)))
    check = found(report, "well_formed")
    assert check.outcome == "warn"
    assert "Duplicate Content-Length" in check.explanation
    assert outcomes(report)["keep_alive"] == "warn"
    assert outcomes(report)["answers_200"] == "pass"
    assert report.passed


@pytest.mark.parametrize("status", [401, 403])
def test_a_token_that_goes_stale_is_told_with_its_age(status: int) -> None:
    """A new one is fetched on the way, as senders do, so nothing fails for it."""
    config = ReceiverConfig(token_credentials=b"opaque", misbehave=(f"stale-token={status}/900ms",))
    report, server = run(config, credentials="opaque")
    check = found(report, "token_life")
    assert (check.outcome, check.facts["refused_with"]) == ("warn", status)
    assert report.passed
    assert server.stats.tokens_issued >= 2


def test_how_long_tokens_are_good_is_told() -> None:
    """And whether one ends the other: each shard has one of its own."""
    config = ReceiverConfig(token_credentials=b"opaque", announce_expiry=False)
    report, _ = run(config, credentials="opaque")
    assert found(report, "token_life").facts == {"second_ends_first": False}
    assert "no expires_in" in found(report, "token").explanation


def test_connections_methods_and_requests_are_told() -> None:
    report, server = run(ReceiverConfig(), manner=Manner(idle_s=0.05))
    life = found(report, "connection_life").facts
    assert life["kept_while_idle"] is True
    assert isinstance(life["carried"], int)
    assert life["carried"] > 10
    answers = found(report, "other_methods").facts["answers"]
    assert set(answers) == {"PUT", "PATCH"}  # type: ignore[call-overload]
    assert found(report, "addresses").facts["addresses"] == ["127.0.0.1"]
    assert report.requests >= server.stats.requests
    assert report.requests < 60 + 5


def test_forbidden_addresses_among_allowed_ones_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """And one that takes no connection; the checks go on over the one that does."""
    real = socket.getaddrinfo

    def several(host: str | bytes | None, port: int, *args: Any, **options: Any) -> list[Any]:
        listed = [] if host != "127.0.0.1" else ["10.0.0.1", "127.0.0.9"]
        more = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in listed]
        return [*more, *real(host, port, *args, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", several)
    report, _ = run(ReceiverConfig())
    check = found(report, "addresses")
    assert check.outcome == "warn"
    assert check.facts == {
        "addresses": ["127.0.0.9", "127.0.0.1"],
        "silent": ["127.0.0.9"],
        "forbidden": ["10.0.0.1"],
    }
    assert report.passed


def test_wrong_credentials_fail_at_the_token() -> None:
    async def main() -> ProbeReport:
        async with ReceiverServer(ReceiverConfig(token_credentials=b"opaque")) as server:
            wrong = target(server, token_endpoint=parse_endpoint(server.token_url), credentials="other")
            return await probe(wrong, requests=1, patience_s=PATIENCE_S)

    report = asyncio.run(main())
    assert outcomes(report)["token"] == "fail"
    assert outcomes(report)["answers_200"] == "skip"


def test_a_failure_among_many_messages_is_counted_out() -> None:
    async def main() -> ProbeReport:
        async with ReceiverServer() as server:
            seen = 0

            def before_latency(check: object) -> None:
                nonlocal seen
                seen += 1
                if seen == len(CHECKS) - 2:  # latency is next
                    server.misbehave(["status=500:1"])

            return await probe(target(server), requests=3, patience_s=PATIENCE_S, on_check=before_latency)

    report = asyncio.run(main())
    failed = [check for check in report.checks if check.outcome == "fail"]
    assert [check.name for check in failed] == ["latency"]
    assert failed[0].explanation.startswith("message 1 of 3: answered 500")


def test_this_machine_is_out_of_bounds_unless_opened() -> None:
    async def main() -> None:
        async with ReceiverServer() as server:
            with pytest.raises(EgressRefused, match="loopback"):
                await probe(target(server, allow_cidrs=()))
            assert server.stats.connections == 0

    asyncio.run(main())


def test_a_destination_is_read_from_a_catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_KEY", "shared")
    monkeypatch.setenv("ACME_BASIC", "opaque")
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "acme-ca.pem"))
    file = tmp_path / "catalog.yaml"
    file.write_text(
        """
data_sources: [{id: 12345}, {id: 20914, kind: mobile}]
segments: [{id: 14356, name: In market}]
destinations:
  - id: 423
    url: https://dsp.example.com/segments/aam
    client_id: "999"
    user_dpids: [20914, 12345]
    success: [200, 202]
    signatures: [{header: X-Acme, algorithm: sha256, key: "env:ACME_KEY"}]
    oauth2: {token_url: https://dsp.example.com/oauth2/token, credentials: "env:ACME_BASIC"}
    tls: {ca_file: acme-ca.pem}
    batch: {every: 24h, at: "02:00"}
    segments: [{segment: 14356, alias: "in market"}]
"""
    )
    found = target_from_catalog(file, "423", allow_cidrs=())
    assert (found.client_id, found.user_dpid, found.segment_id) == ("999", 20914, "in market")
    assert found.keys == (SigningKey(secret=b"shared", header="X-Acme", algorithm="sha256"),)
    assert (found.success, found.credentials, found.ca_file) == (
        (200, 202),
        "opaque",
        tmp_path / "acme-ca.pem",
    )
    assert "opaque" not in repr(found)
    with pytest.raises(InvalidInput, match="it lists: 423"):
        target_from_catalog(file, "7", allow_cidrs=())


def test_all_that_a_catalog_says_of_a_destination_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signature with a time stamp, a token asked for in the form, headers, PUT."""
    for name, value in {"KEY": "shared", "CLIENT": "me:secret", "API_KEY": "k-1"}.items():
        monkeypatch.setenv(name, value)
    scheme = {
        "algorithm": "sha256",
        "encoding": "hex",
        "prefix": "t={timestamp},v1=",
        "signs": "{timestamp}.{body}",
    }
    config = ReceiverConfig(
        keys=(SigningKey(secret=b"shared", **scheme),),  # type: ignore[arg-type]
        token_credentials=base64.b64encode(b"me:secret"),
        directory=tmp_path / "ca",
    )

    async def main() -> tuple[ProbeReport, list[Request]]:
        async with ReceiverServer(config) as server:
            described = {
                "id": 423,
                "url": server.url,
                "client_id": "1",
                "method": "PUT",
                "content_type": "application/json; charset=utf-8",
                "headers": {"X-Api-Key": "env:API_KEY", "X-Version": 2},
                "signatures": [{"key": "env:KEY", **scheme}],
                "oauth2": {
                    "token_url": server.token_url,
                    "credentials": "env:CLIENT",
                    "auth": "body",
                    "params": {"scope": "audience:write"},
                    "tls": {"ca_file": str(server.ca_file)},
                },
                "tls": {"ca_file": str(server.ca_file)},
            }
            file = tmp_path / "catalog.yaml"
            file.write_text(json.dumps({"destinations": [described]}))
            found = target_from_catalog(file, "423", allow_cidrs=("127.0.0.0/8",))
            report = await probe(found, requests=2, patience_s=PATIENCE_S)
            return report, [record.request for record in server.requests]

    report, requests = asyncio.run(main())
    assert {name: outcome for name, outcome in outcomes(report).items() if outcome in ("fail", "warn")} == {}
    message = requests[1]
    assert message.method == "PUT"
    sent = dict(message.headers)
    assert (sent["X-Api-Key"], sent["X-Version"]) == ("k-1", "2")
    assert sent["Content-Type"] == "application/json; charset=utf-8"


def test_percentiles_are_values_that_occurred() -> None:
    values = [float(number) for number in range(1, 21)]
    assert [percentile(values, share) for share in (50, 95, 99, 100)] == [10.0, 19.0, 20.0, 20.0]
    assert percentile([7.0], 50) == 7.0


@pytest.mark.parametrize("fault", ["slow=700ms", "endless-headers:1", "huge-body"])
def test_what_a_broken_answer_left_behind_is_taken_back(fault: str) -> None:
    """The message is stored, and its answer is late or no answer: the checks end, and nobody stays."""
    _, server = run(
        ReceiverConfig(misbehave=(fault,)), patience_s=0.5 if fault.startswith("slow") else PATIENCE_S
    )
    assert server.stats.accepted >= 2, "told, and taken back"


# --- through a proxy --------------------------------------------------------------------------------------


def through(proxy: ConnectProxy, **options: object) -> ProbeReport:
    """Probe a receiver that only the proxy leads to: nobody else knows its name."""

    async def main() -> ProbeReport:
        config = ReceiverConfig(token_credentials=b"opaque")
        async with proxy.listening(), ReceiverServer(config) as server:
            way_out = f"http://arke:env:PROXY_PASSWORD@127.0.0.1:{proxy.port}"
            tokens = {"token_endpoint": parse_endpoint(server.token_url), "credentials": "opaque"}
            return await probe(target(server, proxy=way_out, **tokens, **options), requests=5)

    return asyncio.run(main())


def test_everything_leaves_through_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages and requests for tokens alike, and the proxy is the one to look names up."""
    monkeypatch.setenv("PROXY_PASSWORD", "secret")
    proxy = ConnectProxy()
    report = through(proxy)
    assert report.passed, report
    assert outcomes(report)["addresses"] == "skip"
    login = base64.b64encode(b"arke:secret")
    assert len(proxy.heads) > 2
    assert all(b"Proxy-Authorization: Basic %s\r\n" % login in head for head in proxy.heads)


def test_what_the_proxy_refuses_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROXY_PASSWORD", "secret")
    report = through(ConnectProxy(ESTABLISHED.replace(b"200 Connection established", b"407 No")))
    (failed,) = [check for check in report.checks if check.outcome == "fail"]
    assert failed.name == "tls"
    assert "answered 407: it wants a user name and password" in failed.explanation


def test_the_guard_judges_the_proxy_and_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROXY_PASSWORD", "secret")
    with pytest.raises(EgressRefused):
        through(ConnectProxy(), allow_cidrs=())

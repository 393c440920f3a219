"""The reference server over real TLS: what it takes, refuses, remembers and shows."""

from __future__ import annotations

import asyncio
import json
import ssl
import stat
from typing import TYPE_CHECKING

import pytest
import trustme

from arke.errors import InvalidInput, Unavailable
from arke.receiver import ReceiverConfig, ReceiverServer, SigningKey, sign
from arke.receiver import server as server_module
from integration.receiver.wire import Wire
from patience import eventually
from unit.receiver.samples import PUBLISHED, document, encoded

if TYPE_CHECKING:
    from pathlib import Path

    from arke.receiver.http import Request
    from arke.receiver.message import Message


CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


def test_messages_on_one_connection_are_stored_and_counted() -> None:
    async def main() -> None:
        heard: list[tuple[str, str]] = []

        def on_message(message: Message, request: Request) -> None:
            heard.append((message.client_id, request.path))

        async with ReceiverServer(ReceiverConfig(), on_message=on_message) as server:
            wire = await Wire.to(server)
            for _ in range(2):
                assert await wire.ask(PUBLISHED) == (200, {"accepted": 2})
            status, stats = await wire.ask(method="GET", target="/stats")
            assert (status, stats["requests"], stats["accepted"], stats["users"]) == (200, 2, 2, 4)
            assert (stats["unique_ids"], stats["state"]) == (2, {"active": 3, "inactive": 1})
            assert stats["connections"] == 1
            _, state = await wire.ask(method="GET", target="/state?id=4250948725049857")
            assert [(line["segment_id"], line["active"]) for line in state["memberships"]] == [
                ("12176", False),
                ("14356", True),
            ]
            assert heard == [("74323", "/segments/aam")] * 2
            assert [(record.verdict, record.status) for record in server.requests] == [("accepted", 200)] * 2
            await wire.close()

    asyncio.run(main())


def test_pipelined_requests_are_answered_in_order() -> None:
    async def main() -> None:
        async with ReceiverServer(ReceiverConfig(misbehave=("slow=50ms:1",))) as server:
            wire = await Wire.to(server)
            wire.send(PUBLISHED)  # answered late, and still first
            wire.send(b"{}")
            assert [(await wire.answer())[0] for _ in range(2)] == [200, 400]
            await wire.close()

    asyncio.run(main())


def test_a_bad_message_is_answered_with_its_place() -> None:
    async def main() -> None:
        sample = document()
        sample["Users"][1]["Segments"][0]["Status"] = "9"
        async with ReceiverServer() as server:
            wire = await Wire.to(server)
            status, error = await wire.ask(encoded(sample))
            assert (status, error["error"], error["path"]) == (
                400,
                "bad_message",
                "Users[1].Segments[0].Status",
            )
            assert server.stats.failed == {"bad_message": 1}
            await wire.close()

    asyncio.run(main())


def test_signatures_are_required_once_a_key_is_given() -> None:
    async def main() -> None:
        old, new = SigningKey(secret=b"old"), SigningKey(secret=b"new", header="X-New", algorithm="sha256")
        async with ReceiverServer(ReceiverConfig(keys=(old, new))) as server:
            wire = await Wire.to(server)
            for key in (old, new):
                headers = [(key.header, sign(PUBLISHED, key))]
                assert (await wire.ask(PUBLISHED, headers=headers))[0] == 200
            wrong = [("X-Signature", sign(PUBLISHED + b" ", old))]
            assert (await wire.ask(PUBLISHED, headers=wrong))[0] == 403
            assert (await wire.ask(PUBLISHED))[0] == 403
            assert (server.stats.verified, server.stats.failed) == (2, {"bad_signature": 2})
            await wire.close()

    asyncio.run(main())


def test_a_signature_that_nearly_matches_is_told_what_it_lacks() -> None:
    """The sender's operator reads it among the newest refusals, whoever builds a client in the answer."""

    async def main() -> None:
        key = SigningKey(secret=b"k")
        async with ReceiverServer(ReceiverConfig(keys=(key,))) as server:
            wire = await Wire.to(server)
            by_another_algorithm = sign(PUBLISHED, SigningKey(secret=b"k", algorithm="sha256"))
            status, told = await wire.ask(PUBLISHED, headers=[("X-Signature", by_another_algorithm)])
            assert status == 403
            assert told["message"] == (
                "no signature in X-Signature matches the body; "
                "it would match but for this: the algorithm is sha256, not sha1"
            )
            await wire.close()

    asyncio.run(main())


def test_every_request_is_in_the_log_without_credentials(tmp_path: Path) -> None:
    async def main() -> None:
        out = tmp_path / "requests.ndjson"
        async with ReceiverServer(ReceiverConfig(out=out, misbehave=("status=500:1",))) as server:
            wire = await Wire.to(server)
            headers = [("Authorization", "Bearer canary-token"), ("X-Signature", "abc")]
            await wire.ask(PUBLISHED, headers=headers)
            await wire.ask(b"\xff\x00", headers=headers)
            await wire.close()
        assert stat.S_IMODE(out.stat().st_mode) == 0o600
        text = out.read_text("utf-8")
        assert "canary" not in text
        first, second = (json.loads(line) for line in text.splitlines())
        assert first["body"].encode() == PUBLISHED
        assert ["Authorization", "Bearer [redacted]"] in first["headers"]
        assert ["X-Signature", "abc"] in first["headers"]
        assert first["answer"] == {"status": 500, "misbehaved": "status=500:1"}
        assert (second["body_base64"], second["verdict"]) == ("/wA=", "bad_message")

    asyncio.run(main())


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /segments/aam HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (b"nonsense\r\n\r\n", 400),
        (b"GET /healthz HTTP/2.0\r\nHost: x\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nX: " + b"x" * 17_000, 431),
        (b"POST / HTTP/1.1\r\n" + b"X: y\r\n" * 4_000, 431),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 999999\r\n\r\n" + b"x" * 3_000, 413),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", 400),
        (CHUNKED + b"1;" + b"x" * 600_000, 400),
        (CHUNKED + b"1\r\nx\r\n0\r\nX: " + b"x" * 600_000, 400),
        (CHUNKED + b"1\r\nx\r\n0\r\n" + b"X: y\r\n" * 100_000, 400),
        (
            CHUNKED + b"100\r\n" + b"x" * 256 + b"\r\n" * 2,
            400,
        ),
    ],
    ids=[
        "method",
        "garbage",
        "version",
        "coding",
        "length",
        "long-header",
        "many-headers",
        "big-body",
        "no-host",
        "two-hosts",
        "extension",
        "trailer",
        "trailers",
        "broken-chunk",
    ],
)
def test_bad_http_is_refused_within_bounds(sent: bytes, status: int) -> None:
    async def main() -> None:
        async with ReceiverServer(ReceiverConfig(max_body_bytes=2_000)) as server:
            wire = await Wire.to(server)
            wire.writer.write(sent)
            assert (await wire.answer())[0] == status
            await wire.close()

    asyncio.run(main())


def test_expect_continue_is_answered_before_the_body_comes() -> None:
    async def main() -> None:
        async with ReceiverServer() as server:
            wire = await Wire.to(server)
            head = f"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {len(PUBLISHED)}\r\n\r\n"
            wire.writer.write(head.encode())
            assert (await wire.answer())[0] == 100
            wire.writer.write(PUBLISHED)
            assert (await wire.answer())[0] == 200
            await wire.close()

    asyncio.run(main())


def test_nobody_is_told_to_go_on_before_his_turn() -> None:
    """Not in the middle of the answer before it, and not in HTTP/1.0, which has no such word."""
    head = "POST / HTTP/1.{}\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"

    async def main() -> None:
        async with ReceiverServer(ReceiverConfig(misbehave=("slow=50ms:1",))) as server:
            wire = await Wire.to(server)
            wire.send(PUBLISHED)
            wire.writer.write(head.format(1).encode())
            assert [(await wire.answer())[0] for _ in range(2)] == [200, 100]
            wire.writer.write(b"{}")
            assert (await wire.answer())[0] == 400
            wire.writer.write(head.format(0).encode() + b"{}")
            assert (await wire.answer())[0] == 400
            assert await wire.rest() == b""
            await wire.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 200),
        (b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (
            b"POST / HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: 2\r\n\r\n{}",
            400,
        ),
    ],
    ids=["upgrade", "connect", "upgrade with a body"],
)
def test_who_asks_for_another_protocol_has_one_answer(sent: bytes, status: int) -> None:
    """Whatever comes behind it is of that protocol, and no request."""

    async def main() -> None:
        async with ReceiverServer() as server:
            wire = await Wire.to(server)
            wire.writer.write(sent + b"GET /stats HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await wire.answer())[0] == status
            assert await wire.rest() == b""
            await wire.close()

    asyncio.run(main())


def test_a_target_may_name_the_host() -> None:
    async def main() -> None:
        async with ReceiverServer() as server:
            wire = await Wire.to(server)
            assert (await wire.ask(method="GET", target="https://localhost/healthz"))[0] == 200
            assert (await wire.ask(PUBLISHED, target="https://localhost/a?b=c"))[0] == 200
            assert (await wire.ask(PUBLISHED, target="https://localhost?b=/healthz"))[0] == 200
            assert [one.request.target for one in [*server.requests][-2:]] == ["/a?b=c", "/?b=/healthz"]
            await wire.close()

    asyncio.run(main())


def test_a_client_that_wants_to_close_is_closed() -> None:
    async def main() -> None:
        async with ReceiverServer() as server:
            wire = await Wire.to(server)
            wire.send(PUBLISHED, headers=[("Connection", "close")])
            status, headers, _ = await wire.answer()
            assert (status, headers["connection"]) == (200, "close")
            assert await wire.rest() == b""
            await wire.close()

    asyncio.run(main())


def test_idle_and_half_finished_connections_are_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "_SWEEP_INTERVAL_S", 0.05)

    async def main() -> None:
        for beginning in (b"", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nx"):
            config = (
                ReceiverConfig(request_timeout_s=0.1) if beginning else ReceiverConfig(idle_timeout_s=0.1)
            )
            async with ReceiverServer(config) as server:
                wire = await Wire.to(server)
                wire.writer.write(beginning)
                assert await wire.rest() == b""
                await wire.close()

    asyncio.run(main())


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("beginning", [b"POST / HTTP/1.1\r\nX: ", CHUNKED + b"1;"], ids=["head", "body"])
def test_a_request_that_trickles_has_no_more_time(beginning: bytes, fast: bool) -> None:
    async def main() -> None:
        config = ReceiverConfig(idle_timeout_s=30, request_timeout_s=0.2, fast=fast)
        async with ReceiverServer(config) as server:
            wire = await Wire.to(server)
            wire.writer.write(beginning)
            ended = asyncio.create_task(wire.rest())
            while not ended.done():
                wire.writer.write(b"x")
                await asyncio.sleep(0.02)
            assert await ended == b""
            await wire.close()

    asyncio.run(main())


def test_the_connection_that_is_silent_longest_makes_room() -> None:
    async def main() -> None:
        async with ReceiverServer(ReceiverConfig(max_connections=6)) as server:
            wires = []
            for _ in range(12):
                wires.append(await Wire.to(server))
                assert (await wires[-1].ask(PUBLISHED))[0] == 200
            assert (await wires[-2].ask(PUBLISHED))[0] == 200
            for wire in wires:
                await wire.close()

    asyncio.run(main())


def test_a_client_certificate_is_required_when_a_client_ca_is_given(tmp_path: Path) -> None:
    async def main() -> None:
        authority = trustme.CA()
        client_ca = tmp_path / "client-ca.pem"
        authority.cert_pem.write_to_path(str(client_ca))
        async with ReceiverServer(ReceiverConfig(client_ca=client_ca)) as server:
            known = ssl.create_default_context(cafile=server.ca_file)
            authority.issue_cert("client.example").configure_cert(known)
            wire = await Wire.to(server, known)
            assert (await wire.ask(PUBLISHED))[0] == 200
            await wire.close()
            unknown = await Wire.to(server)
            with pytest.raises((OSError, asyncio.IncompleteReadError)):
                await unknown.ask(PUBLISHED)
            await unknown.close()
            await eventually(lambda: server.stats.tls_failures == 1, "the refused handshake")
            assert server.stats.requests == 1

    asyncio.run(main())


def test_own_certificate_and_kept_ca(tmp_path: Path) -> None:
    """A given certificate is used; the CA made in a directory is the same the next time."""

    async def main() -> None:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        leaf = authority.issue_cert("localhost")
        leaf.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "server.pem"))
        async with ReceiverServer(ReceiverConfig(certificate=tmp_path / "server.pem")) as server:
            assert server.ca_file is None
            wire = await Wire.to(server, ssl.create_default_context(cafile=tmp_path / "ca.pem"))
            assert (await wire.ask(PUBLISHED))[0] == 200
            await wire.close()
            with pytest.raises(InvalidInput, match="own CA"):
                server.misbehave(["tls=expired"])
        kept = tmp_path / "kept"
        authorities = []
        for _ in range(2):
            async with ReceiverServer(ReceiverConfig(directory=kept)) as server:
                assert server.ca_file is not None
                authorities.append(server.ca_file.read_bytes())
                await (await Wire.to(server)).close()
        assert authorities[0] == authorities[1]
        assert stat.S_IMODE((kept / "ca-key.pem").stat().st_mode) == 0o600

    asyncio.run(main())


def test_the_fast_mode_answers_200_without_reading() -> None:
    async def main() -> None:
        async with ReceiverServer(ReceiverConfig(fast=True)) as server:
            wire = await Wire.to(server)
            for _ in range(3):
                assert await wire.ask(b"not even JSON") == (200, None)
            assert server.stats.requests == 3
            await wire.close()

    asyncio.run(main())


def test_a_failing_callback_costs_one_answer_only(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        def fail(message: Message, request: Request) -> None:
            raise RuntimeError("boom")

        async with ReceiverServer(on_message=fail) as server:
            wire = await Wire.to(server)
            assert (await wire.ask(PUBLISHED))[0] == 500
            assert (await wire.ask(method="GET", target="/healthz"))[0] == 200
            await wire.close()

    asyncio.run(main())
    assert "boom" in caplog.text


def test_start_and_stop_may_be_repeated_and_a_taken_port_is_named() -> None:
    async def main() -> None:
        server = ReceiverServer()
        await server.stop()
        await server.start()
        await server.start()
        with pytest.raises(Unavailable, match=str(server.port)):
            await ReceiverServer(ReceiverConfig(port=server.port)).start()
        await server.stop()
        await server.stop()
        with pytest.raises(Unavailable, match="not running"):
            _ = server.port

    asyncio.run(main())


def test_stopping_lets_a_slow_answer_finish() -> None:
    async def main() -> None:
        server = ReceiverServer(ReceiverConfig(misbehave=("slow=200ms",)))
        await server.start()
        wire = await Wire.to(server)
        wire.send(PUBLISHED)
        await eventually(lambda: server.stats.requests == 1, "the request")
        stopping = asyncio.create_task(server.stop())
        assert (await wire.answer())[0] == 200
        await wire.close()
        await stopping

    asyncio.run(main())

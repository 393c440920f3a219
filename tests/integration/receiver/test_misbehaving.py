"""Each misbehaviour as a raw client sees it, and changing them while the server runs."""

from __future__ import annotations

import asyncio
import json
import ssl
import time

import pytest

from arke.errors import InvalidInput
from arke.receiver import ReceiverConfig, ReceiverServer
from arke.receiver import server as server_module
from integration.receiver.wire import Wire
from patience import PATIENCE_S, eventually
from unit.receiver.samples import PUBLISHED


def misbehaving(*specifications: str) -> ReceiverServer:
    return ReceiverServer(ReceiverConfig(misbehave=specifications, control=True))


def test_status_strikes_as_often_as_told_and_does_not_store() -> None:
    async def main() -> None:
        async with misbehaving("status=503:2") as server:
            wire = await Wire.to(server)
            statuses = [(await wire.ask(PUBLISHED))[0] for _ in range(3)]
            assert statuses == [503, 503, 200]
            assert (server.stats.requests, server.stats.accepted) == (3, 1)
            assert server.stats.misbehaved == {"status": 2}
            await wire.close()

    asyncio.run(main())


def test_redirect_points_elsewhere() -> None:
    async def main() -> None:
        async with misbehaving("redirect=https://elsewhere.example/x") as server:
            wire = await Wire.to(server)
            wire.send(PUBLISHED)
            status, headers, _ = await wire.answer()
            assert (status, headers["location"]) == (307, "https://elsewhere.example/x")
            await wire.close()

    asyncio.run(main())


def test_slow_answers_late_but_stores() -> None:
    async def main() -> None:
        async with misbehaving("slow=300ms") as server:
            wire = await Wire.to(server)
            started_s = time.monotonic()
            assert (await wire.ask(PUBLISHED))[0] == 200
            assert time.monotonic() - started_s >= 0.3
            assert server.state.segments_of("4250948725049857") == {"14356"}
            await wire.close()

    asyncio.run(main())


def test_stall_never_answers() -> None:
    async def main() -> None:
        async with misbehaving("stall") as server:
            wire = await Wire.to(server)
            wire.send(PUBLISHED)
            await eventually(lambda: server.stats.misbehaved == {"stall": 1}, "the stall")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await wire.reader.read(1)
            await wire.close()

    asyncio.run(main())


def test_dribble_sends_byte_by_byte() -> None:
    async def main() -> None:
        async with misbehaving("dribble") as server:
            wire = await Wire.to(server)
            wire.send(PUBLISHED)
            got = [await wire.rest(100) for _ in range(3)]
            assert got == [b"H", b"T", b"T"]
            await wire.close()

    asyncio.run(main())


def test_reset_ends_abruptly_and_close_in_order() -> None:
    async def main() -> None:
        async with misbehaving("reset:1", "close:1") as server:
            wire = await Wire.to(server)
            wire.send(PUBLISHED)
            with pytest.raises(ConnectionResetError):
                await wire.rest()
            await wire.close()
            wire = await Wire.to(server)
            wire.send(PUBLISHED)
            assert await wire.rest() == b""
            await wire.close()

    asyncio.run(main())


def test_garbage_is_not_http() -> None:
    async def main() -> None:
        async with misbehaving("garbage") as server:
            wire = await Wire.to(server)
            wire.send(PUBLISHED)
            assert not (await wire.rest()).startswith(b"HTTP/")
            await wire.close()

    asyncio.run(main())


def test_huge_body_and_endless_headers_go_on_until_one_hangs_up() -> None:
    async def main() -> None:
        async with misbehaving("huge-body:1", "endless-headers:1") as server:
            for marker in (b"\r\n\r\nxxx", b"X-Filler"):
                wire = await Wire.to(server)
                wire.send(PUBLISHED)
                async with asyncio.timeout(PATIENCE_S):
                    got = await wire.reader.readexactly(1_000_000)
                assert got.startswith(b"HTTP/1.1 200 OK\r\n")
                assert marker in got
                wire.writer.transport.abort()
            both = {"huge-body": 1, "endless-headers": 1}
            await eventually(lambda: server.stats.misbehaved == both, "both to have struck")

    asyncio.run(main())


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("expired", "certificate has expired"),
        ("wrong-host", "mismatch"),
        ("unknown-ca", "unable to get local"),
    ],
)
def test_a_bad_certificate_is_shown_for_one_connection(fault: str, message: str) -> None:
    async def main() -> None:
        async with misbehaving(f"tls={fault}:1") as server:
            with pytest.raises(ssl.SSLCertVerificationError, match=message):
                await Wire.to(server)
            wire = await Wire.to(server)
            assert (await wire.ask(PUBLISHED))[0] == 200
            await wire.close()

    asyncio.run(main())


def test_a_tls_stall_never_shakes_hands() -> None:
    async def main() -> None:
        async with misbehaving("tls=stall:1") as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(b"\x16\x03\x01")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await reader.read(1)
            writer.close()
            await writer.wait_closed()
            await (await Wire.to(server)).close()

    asyncio.run(main())


def test_a_flap_drops_what_is_open_refuses_what_is_new_and_comes_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server_module, "_SWEEP_INTERVAL_S", 0.05)

    async def main() -> None:
        async with misbehaving() as server:
            wire = await Wire.to(server)
            assert (await wire.ask(PUBLISHED))[0] == 200
            server.misbehave(["flap=300ms/1h"])
            with pytest.raises(ConnectionResetError):
                await wire.rest(1)
            with pytest.raises(OSError, match=r"."):
                await Wire.to(server)
            await wire.close()
            server.misbehave([])
            wire = await Wire.to(server)
            assert (await wire.ask(PUBLISHED))[0] == 200
            await wire.close()

    asyncio.run(main())


def test_control_replaces_the_misbehaviours_while_running() -> None:
    async def main() -> None:
        async with misbehaving("status=500") as server:
            wire = await Wire.to(server)
            assert (await wire.ask(PUBLISHED))[0] == 500
            wanted = json.dumps({"misbehave": ["status=429:2"]}).encode()
            answer = await wire.ask(wanted, target="/control/misbehave")
            assert answer == (200, {"misbehave": ["status=429:2"]})
            assert (await wire.ask(PUBLISHED))[0] == 429
            answer = await wire.ask(method="GET", target="/control/misbehave")
            assert answer == (200, {"misbehave": ["status=429:1"]})
            for bad in (
                b"[]",
                b'"\xff"',
                b'{"misbehave": ["nonsense"]}',
                b'{"misbehave": ["stall"], "x": 1}',
            ):
                assert (await wire.ask(bad, target="/control/misbehave"))[0] == 400
            assert (await wire.ask(b'{"misbehave": []}', target="/control/misbehave"))[0] == 200
            assert (await wire.ask(PUBLISHED))[0] == 200
            await wire.close()

    asyncio.run(main())


def test_without_control_nobody_changes_anything() -> None:
    async def main() -> None:
        async with ReceiverServer() as server:
            wire = await Wire.to(server)
            assert (await wire.ask(b'{"misbehave": ["stall"]}', target="/control/misbehave"))[0] == 404
            assert (await wire.ask(PUBLISHED))[0] == 200
            await wire.close()

    asyncio.run(main())


def test_the_fast_mode_refuses_faults_it_cannot_do() -> None:
    async def main() -> None:
        with pytest.raises(InvalidInput, match="fast mode"):
            await ReceiverServer(ReceiverConfig(fast=True, misbehave=("status=500",))).start()

    asyncio.run(main())

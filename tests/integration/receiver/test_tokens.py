"""The token endpoint: the documented request, expiry, and what a message without a good token gets."""

from __future__ import annotations

import asyncio

from arke.receiver import ReceiverConfig, ReceiverServer
from integration.receiver.wire import Wire
from patience import PATIENCE_S
from unit.receiver.samples import PUBLISHED

# Opaque, and no valid base64, like the published example.
CREDENTIALS = b"zq2LOO1CcYGrODS5nXiNHpEz97eCpVHAoMF8pAgCntXAzxp5uRV7DTAE2qtPLjhMQwrEX3O6MHV4S"
TOKEN_HEADERS = [
    ("Authorization", f"Basic {CREDENTIALS.decode()}"),
    ("Content-Type", "application/x-www-form-urlencoded;charset=UTF-8"),
    ("Accept-Encoding", "gzip"),
]
GRANT = b"grant_type=client_credentials"


def guarded(**options: object) -> ReceiverServer:
    return ReceiverServer(ReceiverConfig(token_credentials=CREDENTIALS, control=True, **options))  # type: ignore[arg-type]


async def token(wire: Wire) -> str:
    status, answer = await wire.ask(GRANT, target="/oauth2/token", headers=TOKEN_HEADERS)
    assert status == 200
    assert answer["token_type"] == "Bearer"
    return str(answer["access_token"])


async def post(wire: Wire, bearer: str) -> int:
    return (await wire.ask(PUBLISHED, headers=[("Authorization", f"Bearer {bearer}")]))[0]


def test_the_documented_request_gets_a_token_that_is_required() -> None:
    async def main() -> None:
        async with guarded() as server:
            wire = await Wire.to(server)
            good = await token(wire)
            assert await post(wire, good) == 200
            wire.send(PUBLISHED)
            status, headers, _ = await wire.answer()
            assert (status, headers["www-authenticate"]) == (401, 'Bearer error="invalid_token"')
            assert await post(wire, good + "x") == 401
            assert (server.stats.tokens_issued, server.stats.failed) == (1, {"bad_token": 2})
            await wire.close()

    asyncio.run(main())


def test_a_token_expires_and_a_fresh_one_works() -> None:
    async def main() -> None:
        async with guarded(token_lifetime_s=0.05) as server:
            wire = await Wire.to(server)
            short = await token(wire)
            async with asyncio.timeout(PATIENCE_S):
                while await post(wire, short) != 401:
                    await asyncio.sleep(0.01)
            await wire.close()
        async with guarded() as server:
            wire = await Wire.to(server)
            first = await token(wire)
            assert (await wire.ask(target="/control/expire-tokens"))[0] == 200
            assert await post(wire, first) == 401
            assert await post(wire, await token(wire)) == 200
            await wire.close()

    asyncio.run(main())


def test_expires_in_may_be_left_out_as_in_the_published_answer() -> None:
    async def main() -> None:
        for announce in (True, False):
            async with guarded(announce_expiry=announce) as server:
                wire = await Wire.to(server)
                _, answer = await wire.ask(GRANT, target="/oauth2/token", headers=TOKEN_HEADERS)
                assert ("expires_in" in answer) is announce
                await wire.close()

    asyncio.run(main())


def test_wrong_credentials_and_wrong_grants_get_no_token() -> None:
    async def main() -> None:
        async with guarded() as server:
            wire = await Wire.to(server)
            wrong = [("Authorization", "Basic nobody")]
            answer = await wire.ask(GRANT, target="/oauth2/token", headers=wrong)
            assert answer == (401, {"error": "invalid_client"})
            answer = await wire.ask(b"grant_type=password", target="/oauth2/token", headers=TOKEN_HEADERS)
            assert answer == (400, {"error": "unsupported_grant_type"})
            assert server.stats.tokens_issued == 0
            await wire.close()

    asyncio.run(main())


def test_the_token_endpoint_can_misbehave_on_its_own() -> None:
    async def main() -> None:
        async with guarded(misbehave=("token:status=500:1",)) as server:
            wire = await Wire.to(server)
            answer = await wire.ask(GRANT, target="/oauth2/token", headers=TOKEN_HEADERS)
            assert answer[0] == 500
            assert await post(wire, await token(wire)) == 200
            await wire.close()

    asyncio.run(main())

"""docs/how-to/cluster.md: the certificates that its commands make are those that nodes ask of each other."""

from __future__ import annotations

import asyncio
import re
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

from arke.transport.peers.trust import Certificates, Trust, admit, greet

PAGE = (Path(__file__).parents[3] / "docs" / "how-to" / "cluster.md").read_text(encoding="utf-8")
NAMED = "worker-3.internal"


def test_the_pages_certificates_are_for_the_name_alone(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl here")
    (commands,) = re.findall(r"^```sh\n(openssl req -x509.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert NAMED in commands
    commands = commands.replace(NAMED, "localhost")
    subprocess.run(["bash", "-e", "-c", commands], cwd=tmp_path, capture_output=True, check=True)
    paths = [str(tmp_path / name) for name in ("nodes-ca.pem", "node.pem", "node-key.pem")]
    trust = Trust(None, Certificates(*paths))
    asyncio.run(asked_by_name(trust))


async def asked_by_name(trust: Trust) -> None:
    assert trust.certificates is not None

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await admit(reader, writer, trust)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=trust.certificates.asked()) as server:
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("localhost", port, ssl=trust.certificates.asking())
        await greet(reader, writer, trust)
        assert await reader.read() == b""
        writer.close()
        with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
            await asyncio.open_connection("127.0.0.1", port, ssl=trust.certificates.asking())

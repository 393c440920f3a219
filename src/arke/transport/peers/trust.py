"""Why nodes trust each other: certificates of one authority, or a secret that all of them know.

With a secret, both ends prove that they know it before anything else is said: each sends a nonce, and answers the
other's with an HMAC over both. It authenticates and does not encrypt: across networks that others can read or
change, certificates are to be used, or both.
"""

from __future__ import annotations

import hmac
import secrets
import ssl
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    import asyncio

NONCE_BYTES: Final = 32
GREETING: Final = b"arke-peer-1\n"
_ASKING, _ASKED = b"asking", b"asked"
_PROOF_BYTES: Final = 32


class Untrusted(ConnectionError):
    """The other end is no node of this cluster."""


class Certificates(msgspec.Struct, frozen=True):
    """Paths of PEM files: of the authority that certifies all nodes, of this node's certificate and its key."""

    ca_file: str
    cert_file: str
    key_file: str

    def asking(self) -> ssl.SSLContext:
        """Of whoever connects. The name in the certificate counts as for any other server."""
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=self.ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(self.cert_file, self.key_file)
        return context

    def asked(self) -> ssl.SSLContext:
        """Of the door: nobody comes in without a certificate of the same authority."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=self.ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(self.cert_file, self.key_file)
        return context


class Trust(msgspec.Struct, frozen=True):
    """What a node asks of another, and shows it. Without either, only the nodes of one machine may talk."""

    secret: bytes | None = None
    certificates: Certificates | None = None


async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, trust: Trust) -> None:
    """Begin a connection that was made from here. Raises Untrusted, and what a connection raises."""
    ours = secrets.token_bytes(NONCE_BYTES)
    writer.write(GREETING + ours)
    theirs = await _nonce(reader)
    if trust.secret is None:
        return
    writer.write(_proof(trust.secret, _ASKING, ours, theirs))
    if not hmac.compare_digest(
        await reader.readexactly(_PROOF_BYTES), _proof(trust.secret, _ASKED, ours, theirs)
    ):
        raise Untrusted("the other node does not know the cluster's secret")


async def admit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, trust: Trust) -> None:
    """Begin a connection that somebody made to here. Raises as `greet`."""
    ours = secrets.token_bytes(NONCE_BYTES)
    writer.write(GREETING + ours)
    theirs = await _nonce(reader)
    if trust.secret is None:
        return
    if not hmac.compare_digest(
        await reader.readexactly(_PROOF_BYTES), _proof(trust.secret, _ASKING, theirs, ours)
    ):
        raise Untrusted("a node that does not know the cluster's secret has asked")
    writer.write(_proof(trust.secret, _ASKED, theirs, ours))


async def _nonce(reader: asyncio.StreamReader) -> bytes:
    greeting = await reader.readexactly(len(GREETING))
    if greeting != GREETING:
        raise Untrusted("the other end is no Arke node, or one of another version")
    return await reader.readexactly(NONCE_BYTES)


def _proof(secret: bytes, who: bytes, asking: bytes, asked: bytes) -> bytes:
    return hmac.digest(secret, who + asking + asked, "sha256")

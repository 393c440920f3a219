"""Every option of the reference server, with its default and its unit."""

from __future__ import annotations

from pathlib import Path

import msgspec

from arke.receiver.parser import MAX_BODY_BYTES
from arke.receiver.verifier import SigningKey


class ReceiverConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How a `ReceiverServer` listens, what it demands, what it keeps, and what it does wrong.

    `port` 0 takes any free one. `directory` keeps the CA made on the fly (None: a temporary one, removed on
    stop). `keys` make a signature required, `token_credentials` a bearer token. `fast` answers 200 to every
    POST without reading it: for load tests, where the receiver must not be what is measured.
    """

    host: str = "127.0.0.1"
    port: int = 0
    path: str = "/segments/aam"
    directory: Path | None = None
    certificate: Path | None = None
    certificate_key: Path | None = None
    client_ca: Path | None = None
    keys: tuple[SigningKey, ...] = ()
    token_credentials: bytes | None = None
    token_lifetime_s: float = 3600.0
    announce_expiry: bool = True
    out: Path | None = None
    state_file: Path | None = None
    misbehave: tuple[str, ...] = ()
    seed: int | None = None
    control: bool = False
    fast: bool = False
    kept_requests: int = 1_000
    max_body_bytes: int = MAX_BODY_BYTES
    max_head_bytes: int = 16_384
    max_connections: int = 10_000
    handshake_timeout_s: float = 10.0
    idle_timeout_s: float = 75.0
    request_timeout_s: float = 30.0
    grace_s: float = 5.0

    def __repr__(self) -> str:
        """Without the secrets it holds."""
        return f"ReceiverConfig(host={self.host!r}, port={self.port}, fast={self.fast})"

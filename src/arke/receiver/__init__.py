"""The kit for destination builders: read a message, verify it, apply it; a reference server and a probe.

`parse`, `verify` and `AudienceState` need nothing but msgspec; the server is loaded on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.receiver.message import Entry, Message, MessageError, SegmentStatus, User
from arke.receiver.parser import parse
from arke.receiver.state import Applied, AudienceState, Membership
from arke.receiver.verifier import (
    SigningKey,
    VerificationError,
    is_authentic,
    sign,
    verify,
    verify_bearer,
    verify_standard_webhooks,
)

if TYPE_CHECKING:
    from arke.receiver.config import ReceiverConfig
    from arke.receiver.server import ReceiverServer

__all__ = [
    "Applied",
    "AudienceState",
    "Entry",
    "Membership",
    "Message",
    "MessageError",
    "ReceiverConfig",
    "ReceiverServer",
    "SegmentStatus",
    "SigningKey",
    "User",
    "VerificationError",
    "is_authentic",
    "parse",
    "sign",
    "verify",
    "verify_bearer",
    "verify_standard_webhooks",
]


def __getattr__(name: str) -> object:
    """Load the server's parts on first use: a destination that only parses does not pay for them."""
    if name == "ReceiverServer":
        from arke.receiver.server import ReceiverServer

        return ReceiverServer
    if name == "ReceiverConfig":
        from arke.receiver.config import ReceiverConfig

        return ReceiverConfig
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""One delivery: a message, its two attempts at most, and how it ended (SPEC section 5)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol, TypeVar

import msgspec

if TYPE_CHECKING:
    from arke.domain.catalog import Destination

TIMEOUT_S = 3.0
RETRY_DELAY_S = 0.1

P = TypeVar("P")


class Reply(msgspec.Struct, frozen=True):
    """How one attempt ended: a status, or the stable reason there is none. `sent`: something may have arrived."""

    status: int | None
    reason: str = ""
    sent: bool = True

    @property
    def answer(self) -> str:
        """What the ledger keeps: `200`, `500`, `timeout_headers`, `tls_certificate_expired`, ..."""
        return str(self.status) if self.status is not None else self.reason


class Outbound(msgspec.Struct, frozen=True):
    """A message ready to go: its exact bytes, which both attempts send. `at` in epoch seconds."""

    destination: Destination
    message_id: str
    kind: str
    body: bytes
    at: float


class Courier(Protocol[P]):
    """Carries attempts to destinations. Signing, tokens, egress and the deadline are its business;
    repeating is not.
    """

    def prepare(self, outbound: Outbound) -> P | Reply:
        """What both attempts have in common, signatures included; a Reply where it cannot be sent at all."""
        ...

    async def carry(self, parcel: P, attempt: int) -> Reply:
        """One attempt: at most one request. Never raises for what the network or the endpoint does."""
        ...

    async def close(self) -> None: ...


class Delivery(msgspec.Struct, frozen=True):
    """How a delivery ended after `attempts` (0 to 2). `sent`: the destination may have heard of it."""

    acknowledged: bool
    answer: str
    attempts: int
    sent: bool = True


async def deliver(
    courier: Courier[P], outbound: Outbound, *, retry_delay_s: float = RETRY_DELAY_S
) -> Delivery:
    """Send, and send once more if that failed. Never a third time."""
    parcel = courier.prepare(outbound)
    if isinstance(parcel, Reply):
        return Delivery(False, parcel.answer, attempts=0, sent=False)
    success = outbound.destination.success
    first = await courier.carry(parcel, 1)
    if first.status in success:
        return Delivery(True, first.answer, attempts=1)
    await asyncio.sleep(retry_delay_s)
    second = await courier.carry(parcel, 2)
    return Delivery(second.status in success, second.answer, attempts=2, sent=first.sent or second.sent)

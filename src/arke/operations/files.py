"""Data files as operators send them: taken, loaded in the background, asked about by ticket."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from arke.domain.token import LOCAL
from arke.onboarding.receipt import FileState, Receipt

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from arke.onboarding.service import Onboarding

__all__ = ["FileOperations", "FileState", "Receipt", "Ticket"]


class Ticket(msgspec.Struct, frozen=True, omit_defaults=True):
    """Under which a file is asked about; nothing where it was only checked."""

    id: str | None = None


class FileOperations:
    """Takes files. Without a service (None) no method may be called."""

    def __init__(self, onboarding: Onboarding | None) -> None:
        self._given = onboarding

    @property
    def _onboarding(self) -> Onboarding:
        if self._given is None:
            raise RuntimeError("this engine takes no files")
        return self._given

    async def receive(
        self,
        name: str,
        columns: str | None,
        parts: AsyncIterator[bytes],
        *,
        check: bool = False,
        actor: str = LOCAL,
    ) -> Ticket:
        """Take a file; durable on return. `check`: only say whether a file of this name would be taken. Raises
        InvalidInput, Overloaded, StoreUnavailable.
        """
        if check:
            self._onboarding.check(name, columns)
            return Ticket()
        return Ticket(await self._onboarding.receive(name, columns, parts, actor=actor))

    async def show(self, ticket: str) -> FileState:
        """How far a file has come. Raises InvalidInput for a ticket that is not known."""
        return self._onboarding.state(ticket)

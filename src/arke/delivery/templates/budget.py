"""The bounds of a body template: its length, the work one rendering may do, and what it may write.

Work is counted, not timed, so a template that is refused is refused on every machine and in every replay.
"""

from __future__ import annotations

from arke.domain.message_body import well_formed
from arke.errors import RuleError

MAX_TEMPLATE_CHARS = 65_536
MAX_DEPTH = 50
"""How deep a template's constructs may nest."""
MAX_OUTPUT_BYTES = 1_048_576
MAX_WORK = 2_000_000
"""Syntax elements one rendering may evaluate; the standard body of 500 segments takes some 5,000."""


def check_length(text: str) -> None:
    if len(text) > MAX_TEMPLATE_CHARS:
        raise RuleError(
            f"the template has {len(text):,} characters; the limit is {MAX_TEMPLATE_CHARS:,}",
            hint="leave out what the destination does not need",
        )


class Budget:
    """What one rendering may still do, and what it has written so far."""

    __slots__ = ("_chars", "_parts", "_work")

    def __init__(self) -> None:
        self._work = MAX_WORK
        self._chars = 0
        self._parts: list[str] = []

    def charge(self, work: int) -> None:
        """Take `work` off what is left; charged before the work is done."""
        self._work -= work
        if self._work < 0:
            raise RuleError(
                f"the template does too much work for one message (over {MAX_WORK:,} steps)",
                hint="loops inside loops multiply: loop over the users once, and over their own segments",
            )

    def write(self, text: str) -> None:
        self._chars += len(text)
        if self._chars > MAX_OUTPUT_BYTES:
            raise _too_long()
        self._parts.append(text)

    def output(self) -> bytes:
        """Everything written, as valid UTF-8."""
        text = "".join(self._parts)
        try:
            body = text.encode()
        except UnicodeEncodeError:
            body = well_formed(text).encode()
        if len(body) > MAX_OUTPUT_BYTES:
            raise _too_long()
        return body


def _too_long() -> RuleError:
    return RuleError(
        f"the template writes a body of more than {MAX_OUTPUT_BYTES:,} bytes",
        hint="lower max_users_per_request, or write less for each user",
    )

"""The conformance check of a destination's endpoint: what it must do to take Arke's messages, tried out.

Checks build on each other: when the plain message is not accepted in time, what follows would only repeat
that, so it is skipped and says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from arke.receiver.probe.checks import (
    check_formats,
    check_latency,
    check_plain,
    check_refusals,
    check_take_back,
)
from arke.receiver.probe.report import ProbeReport
from arke.receiver.probe.session import ProbeSession

if TYPE_CHECKING:
    from collections.abc import Callable

    from arke.receiver.probe.report import Check
    from arke.receiver.probe.target import ProbeTarget

PATIENCE_S: Final = 10.0
"""How long the probe itself waits: longer than a sender, to tell late from never."""


async def probe(
    target: ProbeTarget,
    *,
    requests: int = 20,
    patience_s: float = PATIENCE_S,
    on_check: Callable[[Check], None] | None = None,
) -> ProbeReport:
    """Run every check. Raises EgressRefused when the address is one that must not be talked to."""
    session = ProbeSession(target, patience_s=patience_s, on_check=on_check)
    try:
        if await check_plain(session):
            await check_formats(session)
            await check_refusals(session)
            await check_latency(session, requests=requests)
            await check_take_back(session)
        else:
            session.skip_rest("the plain message is not accepted in time; mend that first")
    finally:
        await session.close()
    checks = tuple(session.checks)
    return ProbeReport(
        endpoint=str(target.endpoint),
        checks=checks,
        passed=all(check.outcome != "fail" for check in checks),
    )

"""The visitor id service's answer: an ECID for a browser or an app that asks with `/id`. Pure."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

import msgspec

from arke.domain.event import DeclaredId, IncomingEvent
from arke.domain.ids import ECID_DPID
from arke.intake import dcs_codes as codes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.domain.event import Accepted
    from arke.intake.dcs_codes import DcsError

ID_SYNC_TTL_S: Final = 7 * 86_400
"""After how long the library asks again."""
OPT_OUT_TTL_S: Final = 7_200
"""For how long it remembers whether its visitor has opted out."""
METADATA: Final = "YXJrZQ"
"""What stands for the encrypted metadata (`d_blob`), which Arke has none of: without any the library would ask anew
on every page.
"""
OPTED_OUT_OF: Final = ["global"]


def ecid(organisation: str, uuid: str) -> str:
    """The ECID of a device for an organisation: the same for the same two, and no way back to the UUID."""
    digest = sha256(f"{organisation}\0{uuid}".encode()).digest()
    return f"{int.from_bytes(digest) % 10**38:038d}"


def ecid_of(event: IncomingEvent | None) -> str | None:
    """The ECID that an event declares."""
    ids = event.ids if event is not None else ()
    return next((one.id for one in ids if one.dpid == ECID_DPID), None)


def with_ecid(event: IncomingEvent, organisation: str, uuid: str) -> IncomingEvent:
    """The event of a device that is known, declaring its ECID too."""
    own = DeclaredId(ECID_DPID, ecid(organisation, uuid))
    return msgspec.structs.replace(event, uuid=uuid, ids=(own, *event.ids))


def linked_ecid(event: IncomingEvent | None, accepted: Accepted) -> str | None:
    """The ECID that an event declared, if it is its device's from now on."""
    withheld = (*accepted.withheld.ids, *accepted.withheld.takeovers)
    return None if any(one.dpid == ECID_DPID for one in withheld) else ecid_of(event)


def body(stored: bool, told: str | None, errors: Sequence[DcsError], region: int, tid: str) -> dict[str, Any]:
    """The answer. Why nothing was stored is told as an opt-out, or as an error."""
    found: dict[str, Any] = {}
    if stored and told is not None:
        found["d_mid"] = told
    if stored:
        found |= {"id_sync_ttl": ID_SYNC_TTL_S, "d_blob": METADATA}
    found["dcs_region"] = region
    if codes.OPTED_OUT in errors:
        found["d_optout"] = OPTED_OUT_OF
    elif not stored and errors:
        found["error_msg"] = errors[0].msg
    return {**found, "d_ottl": OPT_OUT_TTL_S, "ibs": [], "tid": tid}

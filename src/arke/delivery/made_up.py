"""People that do not exist, for messages that try an endpoint: their ids have the form of real ones where it is
fixed, and say what they are for where it is not.
"""

from __future__ import annotations

import hashlib
import uuid
from typing import TYPE_CHECKING, NamedTuple

from arke.clock import new_uuid

if TYPE_CHECKING:
    from arke.clock import Entropy
    from arke.domain.catalog import IdForm

_UPPER_UUIDS = 20915
"""Apple's advertising ids."""
_LOWER_UUIDS = 20914


class MadeUp(NamedTuple):
    """A device, and its id of one data source."""

    uuid: str
    partner_id: str


def made_up(dpid: int, label: str, entropy: Entropy, form: IdForm | None = None) -> MadeUp:
    """Another one each time. `label` is a text that the id holds, if it may; `form` is that of the data source."""
    device = new_uuid(entropy)
    if dpid == 0:
        return MadeUp(device, device)
    if form is None and dpid in (_UPPER_UUIDS, _LOWER_UUIDS):
        form = "upper" if dpid == _UPPER_UUIDS else "lower"
        label = _random_uuid(entropy)
    return MadeUp(device, _formed(label, form, entropy))


def _formed(label: str, form: IdForm | None, entropy: Entropy) -> str:
    match form:
        case "sha256" | "email_sha256":
            return hashlib.sha256(label.encode()).hexdigest()
        case "md5":
            return hashlib.md5(label.encode(), usedforsecurity=False).hexdigest()
        case "upper":
            return label.upper()
        case "lower":
            return label.lower()
        case "uuid":
            return _random_uuid(entropy)
        case None:
            return label


def _random_uuid(entropy: Entropy) -> str:
    return str(uuid.UUID(int=entropy.bits(128), version=4))

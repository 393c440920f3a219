"""Decides whether a text can be an id of a data source, and why not: one rule for every door."""

from __future__ import annotations

import re
from enum import Enum
from typing import Final

from arke.domain.catalog import MAX_ID
from arke.domain.digits import whole_number

ECID_DPID: Final = 4
"""The name space `d_mid` declares an id in (dossier 17: namespace "4" is the ECID)."""

MAX_ID_CHARS: Final = 512
_UUIDS: Final = frozenset({0, ECID_DPID})
"""Data sources whose ids are UUIDs: the device itself, and the ECID."""

_UPPER_HEX: Final = re.compile(r"[0-9A-F]{8}(?:-[0-9A-F]{4}){3}-[0-9A-F]{12}")
_LOWER_HEX: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ALPHANUMERIC: Final = re.compile(r"[0-9A-Za-z-]*[0-9A-Za-z][0-9A-Za-z-]*")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")

DEVICE_ID_FORMATS: Final[dict[int, re.Pattern[str]]] = {
    20915: _UPPER_HEX,  # Apple IDFA
    20914: _LOWER_HEX,  # Google advertising id
    121963: _LOWER_HEX,  # Roku
    488258: _LOWER_HEX,  # Amazon Fire TV
    1171485: _LOWER_HEX,  # LG webOS
    389146: _ALPHANUMERIC,  # Microsoft
    963906: _ALPHANUMERIC,  # Samsung Tizen
    1171489: _ALPHANUMERIC,  # Vizio
}
"""The global data sources and what their ids look like (dossier 13). Every catalog knows them.

"Alphanumeric" admits the dashes of the 8-4-4-4-12 form, in which these platforms print their ids.
"""

GLOBAL_CODES: Final[dict[str, int]] = {f"DSID_{dpid}": dpid for dpid in DEVICE_ID_FORMATS}
"""Integration codes that need no catalog entry: the SDKs send DSID_20914 and DSID_20915."""

_NOBODY: Final = "00000000-0000-0000-0000-000000000000"


class IdProblem(Enum):
    """Why a text cannot be an id of its data source. Each door has its own code and text for each of them."""

    MALFORMED = "an id has 1 to 512 characters, none of them a control character"
    NOT_A_UUID = "ids of this data source have exactly 38 decimal digits"
    DEVICE_FORM = "the id has not the form that its global data source prescribes"
    NOBODY = "the all-zero id stands for everybody who limits tracking: nobody's own"


def id_problem(dpid: int, value: str) -> IdProblem | None:
    """Why `value` cannot be an id of the data source, None where it can. DPID 0 is the device's own UUID, 4 the
    ECID. The all-zero advertising id is what a device sends once its owner limits tracking: it stands for millions
    of people, and linked like an ordinary id it would merge them into one profile.
    """
    if not (0 < len(value) <= MAX_ID_CHARS and (value.isalnum() or _CONTROL.search(value) is None)):
        return IdProblem.MALFORMED
    if dpid in _UUIDS:
        return None if is_uuid(value) else IdProblem.NOT_A_UUID
    pattern = DEVICE_ID_FORMATS.get(dpid)
    if pattern is None:
        return None
    if pattern.fullmatch(value) is None:
        return IdProblem.DEVICE_FORM
    return IdProblem.NOBODY if value == _NOBODY else None


def parse_dpid(text: str) -> int | None:
    """The DPID that a text spells, None where it spells none. 0 is none: it stands for the UUID itself."""
    return whole_number(text, MAX_ID, 1)


def is_uuid(text: str) -> bool:
    """Whether text is a device UUID: exactly 38 ASCII decimal digits."""
    return len(text) == 38 and text.isascii() and text.isdigit()

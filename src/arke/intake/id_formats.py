"""Which ids are well formed: partner ids in general, and the device ids of the global data sources."""

from __future__ import annotations

import re
from typing import Final

from arke.domain.catalog import MAX_ID
from arke.domain.digits import whole_number

ECID_DPID: Final = 4
"""The name space `d_mid` declares an id in (dossier 17: namespace "4" is the ECID)."""

MAX_ID_CHARS: Final = 512

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


def well_formed(value: str) -> bool:
    """Whether text can be a partner id at all: 1 to 512 characters, none of them a control character."""
    return 0 < len(value) <= MAX_ID_CHARS and (value.isalnum() or _CONTROL.search(value) is None)


def device_id_ok(dpid: int, value: str) -> bool:
    """Whether `value` has the form its global data source prescribes; other name spaces prescribe none."""
    pattern = DEVICE_ID_FORMATS.get(dpid)
    return pattern is None or pattern.fullmatch(value) is not None


def is_nobody(dpid: int, value: str) -> bool:
    """Whether this is the all-zero advertising id, which a device sends once its owner limits tracking.

    It stands for millions of people: linked like an ordinary id it would merge them into one profile.
    """
    return value == _NOBODY and dpid in DEVICE_ID_FORMATS


def parse_dpid(text: str) -> int | None:
    """A DPID from text, or None. 0 is not one: it means the device UUID itself."""
    return whole_number(text, MAX_ID, 1)

"""Decides what an id may be, and why a text is none: one rule for every door, compiled from a catalog.

A door calls `IdRules.read` for each id that is declared to it, and has its own code and words for each `IdProblem`.
Whoever looks for an id that may be kept calls `IdRules.sought`.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple

from arke.domain.catalog import GLOBAL_DATA_SOURCES, MAX_ID, Catalog
from arke.domain.digits import whole_number
from arke.domain.id_forms import FORMS, WANTED, Fold
from arke.domain.placeholders import all_ordinary, is_placeholder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from arke.domain.catalog import DataSource, IdForm

ECID_DPID: Final = 4
"""The name space `d_mid` declares an id in (dossier 17: namespace "4" is the ECID)."""

MAX_ID_CHARS: Final = 512
UUID_SOURCES: Final = frozenset({0, ECID_DPID})
"""Data sources whose ids are UUIDs of 38 digits: the device itself, and the ECID."""

_UPPER_HEX: Final = re.compile(r"[0-9A-F]{8}(?:-[0-9A-F]{4}){3}-[0-9A-F]{12}")
_LOWER_HEX: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ALPHANUMERIC: Final = re.compile(r"[0-9A-Za-z-]*[0-9A-Za-z][0-9A-Za-z-]*")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_REPLACED: Final = "\ufffd"

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

DEVICE_ID_CASES: Final[dict[int, IdForm]] = {
    dpid: "upper" if pattern is _UPPER_HEX else "lower"
    for dpid, pattern in DEVICE_ID_FORMATS.items()
    if pattern is not _ALPHANUMERIC
}
"""The letter case of the ids of a global data source, where it has one."""


class IdProblem(Enum):
    """Why a text cannot be an id of its data source. Each door has its own code and text for each of them."""

    MALFORMED = "an id has 1 to 512 characters, none of them a control character"
    REPLACED = (
        "it holds U+FFFD, which stands for what a decoder could not read: two ids may be the same by now"
    )
    UNKNOWN_SOURCE = "the catalog has no such data source"
    NOT_A_UUID = "ids of this data source have exactly 38 decimal digits"
    DEVICE_FORM = "the id has not the form that its global data source prescribes"
    FORM = "the id has not the form that the catalog prescribes for its data source"
    NOBODY = "a placeholder, a macro that nobody filled in, or all zeros: everybody's, and so nobody's own"
    DENIED = "the catalog denies this id for its data source: nobody's own"


NOBODYS: Final = frozenset({IdProblem.NOBODY, IdProblem.DENIED})
"""What many strangers send: under such an id nobody is found, and nobody may be suppressed."""


class _Rule(NamedTuple):
    """What is asked of an id of one data source: its spelling is made by `fold`, where there is one, and must match
    `pattern`, where there is one. `problem`: what it is otherwise.
    """

    fold: Fold | None = None
    pattern: re.Pattern[str] | None = None
    problem: IdProblem = IdProblem.FORM
    denied: frozenset[str] = frozenset()


_ANY: Final = _Rule()
_UUID: Final = _Rule(pattern=re.compile(r"[0-9]{38}"), problem=IdProblem.NOT_A_UUID)


class IdRules:
    """What ids may be under one catalog, of every data source that it knows. Immutable."""

    def __init__(self, catalog: Catalog | None = None) -> None:
        """Without a catalog: of the global data sources."""
        catalog = catalog or Catalog()
        self._rules: dict[int, _Rule] = {
            dpid: _rule(dpid) for destination in catalog.destinations for dpid in destination.user_dpids
        }
        for source in catalog.data_sources:
            self._rules[source.id] = _rule(source.id, source)
        for dpid in GLOBAL_DATA_SOURCES.difference(self._rules):
            self._rules[dpid] = _rule(dpid)
        self._rules[0] = _UUID
        self._forms = {one.id: one.id_form for one in catalog.data_sources if one.id_form is not None}
        self.codes: Mapping[str, int] = {
            one.integration_code: one.id for one in catalog.data_sources if one.integration_code is not None
        } | GLOBAL_CODES
        """DPIDs by integration code."""

    def known(self, dpid: int) -> bool:
        """Whether ids of this data source are taken. 0, the device itself, is none that anybody declares."""
        return dpid != 0 and dpid in self._rules

    def read(self, dpid: int, text: str) -> str | IdProblem:
        """The id as it is kept, or why the text is none. DPID 0 is the device's own UUID."""
        if not (0 < len(text) <= MAX_ID_CHARS and (text.isprintable() or _CONTROL.search(text) is None)):
            return IdProblem.MALFORMED
        if _REPLACED in text:
            return IdProblem.REPLACED
        rule = self._rules.get(dpid)
        if rule is None:
            return IdProblem.UNKNOWN_SOURCE
        if is_placeholder(text) and not (dpid == 0 and is_uuid(text)):  # a UUID may be any 38 digits
            return IdProblem.NOBODY
        return text if rule is _ANY else _apply(rule, text)

    def all_plain(self, dpid: int, ids: Sequence[str]) -> bool:
        """Whether all of these are ids of the data source, kept as they stand, without a colon. No says nothing."""
        return self._rules.get(dpid) is _ANY and dpid not in DEVICE_ID_FORMATS and all_ordinary(ids)

    def sought(self, dpid: int, text: str) -> str | IdProblem:
        """The same for an id that somebody looks for: of a global data source in any letter case, since whoever
        asks about an id has it from anywhere.
        """
        case = DEVICE_ID_CASES.get(dpid)
        return self.read(dpid, text if case is None else FORMS[case](text) or text)

    def spellings(self, dpid: int, id_: str) -> tuple[str, ...]:
        """Other spellings under which an id may have been kept before its data source was given a form; of a
        global one, before its form was asked for wherever a destination takes its ids.
        """
        if dpid not in self._forms and dpid not in DEVICE_ID_CASES:
            return ()
        return tuple({id_.lower(), id_.upper()} - {id_})

    def wanted(self, dpid: int) -> str:
        """The form that the catalog prescribes for a data source, in words."""
        form = self._forms.get(dpid)
        return WANTED[form] if form is not None else "any text"


def _apply(rule: _Rule, text: str) -> str | IdProblem:
    folded = text if rule.fold is None else rule.fold(text)
    if folded is None or (rule.pattern is not None and rule.pattern.fullmatch(folded) is None):
        return rule.problem
    if rule.denied and (folded.casefold() in rule.denied or text.casefold() in rule.denied):
        return IdProblem.DENIED
    return folded


def _rule(dpid: int, source: DataSource | None = None) -> _Rule:
    form = source.id_form if source is not None else None
    fold = FORMS[form] if form is not None else None
    denied: set[str] = set()
    for text in source.deny if source is not None else ():
        denied.add(text.casefold())
        if fold is not None and (folded := fold(text)) is not None:
            denied.add(folded.casefold())
    if dpid in UUID_SOURCES:
        return _UUID._replace(denied=frozenset(denied))
    pattern = DEVICE_ID_FORMATS.get(dpid)
    if pattern is None:
        return _Rule(fold, None, IdProblem.FORM, frozenset(denied)) if fold or denied else _ANY
    if fold is not None and dpid in DEVICE_ID_CASES:  # `uuid` too: in the letter case of the source
        fold = FORMS[DEVICE_ID_CASES[dpid]]
    return _Rule(fold, pattern, IdProblem.DEVICE_FORM, frozenset(denied))


GLOBAL_CODES: Final[dict[str, int]] = {f"DSID_{dpid}": dpid for dpid in GLOBAL_DATA_SOURCES}
"""Integration codes that need no catalog entry: the SDKs send DSID_20914 and DSID_20915."""


def parse_dpid(text: str) -> int | None:
    """The DPID that a text spells, None where it spells none. 0 is none: it stands for the UUID itself."""
    return whole_number(text, MAX_ID, 1)


def is_uuid(text: str) -> bool:
    """Whether text is a device UUID: exactly 38 ASCII decimal digits."""
    return len(text) == 38 and text.isascii() and text.isdigit()

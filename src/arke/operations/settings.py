"""The settings in force, option by option. What holds a secret, or may, is not shown; references to secrets are."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import msgspec

from arke.domain.secret_text import is_reference

if TYPE_CHECKING:
    from collections.abc import Mapping

    from arke.settings import Settings

HIDDEN: Final = "(hidden)"
COMMANDS: Final = frozenset({"password_command", "token_command"})
"""Options whose arguments may hold a secret: the program alone is shown."""
_SECRET_OF_ADDRESS: Final = re.compile(
    r"(?<=://)(?!(?:[^/@:]+:)?(?:env|file):)[^/@]+(?=@)|(?<=\?).+", re.DOTALL
)
"""Of an address its login, unless that is a reference, and its query."""
_SHOWN_OF_KAFKA: Final = re.compile(
    r"bootstrap\.servers|metadata\.broker\.list|client\.id|security\.protocol|sasl\.mechanisms?|sasl\.username|"
    r"ssl\.(?:ca|certificate|key|crl)\.location|.*\.(?:ms|bytes|messages|kbytes|max|size|count|type)"
)
"""Options of librdkafka that hold no secret."""


class OptionShown(msgspec.Struct, frozen=True):
    """One option by its dotted name; `default`: it has its default."""

    name: str
    value: Any
    default: bool


class SettingsOperations:
    """Shows settings."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def every(self) -> list[OptionShown]:
        """All options, by section."""
        from arke.settings import OPTIONS, Settings, value_of

        untouched = Settings()
        found = []
        for name in OPTIONS:
            value = value_of(self._settings, name)
            found.append(
                OptionShown(name, _shown(name.rpartition(".")[2], value), value == value_of(untouched, name))
            )
        return found


def _shown(name: str, value: Any) -> Any:
    """A value as JSON has it, without what may be secret."""
    if isinstance(value, str):
        return _text(name, value)
    if name == "options":
        return {option: _of_kafka(option, given) for option, given in value.items()}
    if isinstance(value, tuple):
        return [_table(one) if isinstance(one, msgspec.Struct) else _shown(name, one) for one in value]
    return _entries(value) if isinstance(value, dict) else value


def _table(table: msgspec.Struct) -> dict[str, Any]:
    return {field: _shown(field, getattr(table, field)) for field in table.__struct_fields__}


def _entries(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _shown(name, value) for name, value in given.items()}


def _text(name: str, value: str) -> str:
    if name in COMMANDS:
        program, blank, _ = value.partition(" ")
        return f"{program} {HIDDEN}" if blank else program
    return _SECRET_OF_ADDRESS.sub(HIDDEN, value) if "://" in value else value


def _of_kafka(option: str, value: object) -> object:
    if not isinstance(value, str) or is_reference(value) or _SHOWN_OF_KAFKA.fullmatch(option):
        return value
    return HIDDEN

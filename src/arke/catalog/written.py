"""A catalog as somebody would write it: the document that `load` reads back into an equal catalog.

Fields that have their default are left out, and so is whether it came over the network: that goes by the way on
which it is applied.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

import msgspec
import yaml

from arke.catalog.yaml_events import plain_scalar
from arke.domain.catalog import (
    BasicAuth,
    BatchSchedule,
    Catalog,
    Destination,
    Setting,
    StandardWebhooks,
)

if TYPE_CHECKING:
    from collections.abc import Callable

Document = dict[str, Any]

_UNWRITTEN: Final = frozenset({"confined", "more"})
_WIDTH: Final = 100


def as_document(catalog: Catalog) -> Document:
    """Plain mappings, lists, texts and numbers, under the names that a catalog file has. Empty sections are left
    out.
    """
    sections = {name: _list(getattr(catalog, name)) for name in catalog.__struct_fields__}
    return {name: found for name, found in sections.items() if found}


def as_yaml(catalog: Catalog) -> str:
    """The document as YAML: a field a line, in the order of the reference."""
    return _dumped(as_document(catalog)) if catalog != Catalog() else "{}\n"


def destination_document(destination: Destination) -> Document:
    """One destination."""
    return _entry(destination)


def _list(found: tuple[Any, ...]) -> list[Any]:
    return [_value(one) for one in found]


def _entry(given: msgspec.Struct) -> Document:
    """The fields of a struct that differ from their defaults, and those without a default."""
    written: Document = {}
    for name, default in zip(given.__struct_fields__, _defaults(type(given)), strict=True):
        value = getattr(given, name)
        if name in _UNWRITTEN or (default is not _REQUIRED and value == default):
            continue
        named, form = _FORMS.get(name, (name, _value))
        written[named] = form(value)
    return written


_SAID: Final[dict[type[msgspec.Struct], tuple[str, ...]]] = {BatchSchedule: ("every_s", "at")}
"""Fields that are written out although they have their default."""
_REQUIRED: Final = object()


@cache
def _defaults(kind: type[msgspec.Struct]) -> list[Any]:
    """What each field has where nothing is given; `_REQUIRED` where it has to be."""
    return [
        _REQUIRED if field.required or field.name in _SAID.get(kind, ()) else _default(field)
        for field in msgspec.structs.fields(kind)
    ]


def _default(field: msgspec.structs.FieldInfo) -> Any:
    return field.default_factory() if callable(field.default_factory) else field.default


def _value(value: Any) -> Any:
    match value:
        case StandardWebhooks():
            keys = [_entry(one) for one in value.keys]
            return keys if value.more else keys[0]
        case BasicAuth(pair=str()):
            return value.pair
        case tuple() if value and all(isinstance(one, Setting) for one in value):
            return {one.name: one.value for one in value}
        case tuple():
            return _list(value)
        case str() | int() | float() | None:
            return value
        case _:
            return _entry(value)


def _schedule(batch: BatchSchedule | None) -> Any:
    return False if batch is None else _entry(batch)


_FORMS: Final[dict[str, tuple[str, Callable[[Any], Any]]]] = {
    "batch": ("batch", _schedule),
    "every_s": ("every", lambda seconds: f"{seconds // 3600}h" if seconds % 3600 == 0 else f"{seconds}s"),
    "linger_ms": ("linger", lambda milliseconds: f"{milliseconds}ms"),
}
"""Fields that are written under another name, or in another form."""


class _Dumper(yaml.CSafeDumper):
    """Writes text so that it is read as text again, and several lines as they are."""


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = None
    if "\n" in text:
        style = "|"
    elif not isinstance(plain_scalar(text), str):
        style = '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def _dumped(document: Document) -> str:
    text: str = yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDTH)
    return text

"""The stored form of a catalog: canonical JSON of the validated data, the same bytes for equal catalogs."""

from __future__ import annotations

from typing import Any

import msgspec

from arke.domain.catalog import Catalog
from arke.errors import CatalogError

_decoder = msgspec.json.Decoder(Catalog)


def to_json(catalog: Catalog) -> bytes:
    """Every field is written out: a default that a later Arke changes must not change a stored catalog.

    msgspec's own omission of defaults would also depend on which of two equal objects a field holds.
    """
    return msgspec.json.encode(_written_out(catalog))


def from_json(data: bytes) -> Catalog:
    """The catalog that `to_json` wrote. Raises CatalogError where it is none."""
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise CatalogError([f"the stored catalog cannot be read: {error}"]) from None


def _written_out(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        return {field: _written_out(getattr(value, field)) for field in value.__struct_fields__}
    if isinstance(value, tuple):
        return [_written_out(item) for item in value]
    return value

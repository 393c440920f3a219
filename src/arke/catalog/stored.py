"""The stored form of a catalog: canonical JSON of the validated data, the same bytes for equal catalogs."""

from __future__ import annotations

import msgspec

from arke.domain.catalog import Catalog
from arke.errors import CatalogError

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Catalog)


def to_json(catalog: Catalog) -> bytes:
    return _encoder.encode(catalog)


def from_json(data: bytes) -> Catalog:
    """The catalog that `to_json` wrote. Raises CatalogError where it is none."""
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise CatalogError([f"the stored catalog cannot be read: {error}"]) from None

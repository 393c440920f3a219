"""The catalog from file to validated data, its stored form, and the plan from one version to the next."""

from arke.catalog.destinations import Checkers
from arke.catalog.load import LoadedCatalog, load_catalog, parse_catalog
from arke.catalog.place import Problem
from arke.catalog.stored import from_json, to_json

__all__ = [
    "Checkers",
    "LoadedCatalog",
    "Problem",
    "from_json",
    "load_catalog",
    "parse_catalog",
    "to_json",
]

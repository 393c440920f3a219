"""A pytest plugin: every module that `ARKE_COMPILED` names is imported as it was compiled, or nothing is tested."""

from __future__ import annotations

import os
from importlib import import_module
from importlib.machinery import EXTENSION_SUFFIXES

import pytest


def pytest_configure() -> None:
    for name in os.environ["ARKE_COMPILED"].split():
        file = import_module(name).__file__ or ""
        if not file.endswith(tuple(EXTENSION_SUFFIXES)):
            raise pytest.UsageError(f"{name} is not compiled: {file}")

"""Compiled catalogs, each once for all shards of a worker."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

    from arke.shard.protocol import Prepare
    from arke.shard.ruling import Ruling

KEPT: Final = 3
"""The one in force, the one before, and one that is being tried."""


class Rulings:
    """Compiles by `compile_`, in whichever thread asks; whoever asks for the same meanwhile waits."""

    def __init__(self, compile_: Callable[[Prepare], Ruling]) -> None:
        self._compile = compile_
        self._compiled: OrderedDict[bytes, Ruling] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, request: Prepare) -> Ruling:
        """The catalog that a shard is asked to prepare, compiled."""
        whatever_for = msgspec.structs.replace(request, mark=b"")
        key = hashlib.blake2b(msgspec.msgpack.encode(whatever_for), digest_size=16).digest()
        with self._lock:
            ruling = self._compiled.get(key)
            if ruling is None:
                ruling = self._compiled[key] = self._compile(request)
            self._compiled.move_to_end(key)
            while len(self._compiled) > KEPT:
                self._compiled.popitem(last=False)
            return ruling

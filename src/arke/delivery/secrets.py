"""Secrets as references: `env:NAME` or `file:PATH`, resolved when they are used, never stored or shown.

Those of a catalog that came over the network are `confined` to variables of a prefix, and files of a few folders.
Whoever may apply a catalog chooses where a secret is sent, and so could send out anything that the engine may read.
At the Unix socket, and by the command, he has the engine's own rights anyway; a token has not (decision 0024).
"""

from __future__ import annotations

import os
import re
import stat
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from arke.domain.secret_text import secret_text
from arke.errors import InvalidInput, SecretUnresolved

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ENV_PREFIX: Final = "ARKE_SECRET_"
_FLAGS: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

MAX_SECRET_BYTES: Final = 65_536
RECHECK_S: Final = 1.0

_REFERENCE = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*|file:[^\x00-\x1f\x7f\ud800-\udfff]+", re.ASCII)

_Stamp = tuple[int, int, int]


class Confinement:
    """What a catalog from the network may refer to. Asked when it is applied, and again at every use: files and
    links may change in between.
    """

    def __init__(self, env_prefix: str = ENV_PREFIX, folders: Sequence[str] = ()) -> None:
        self._prefix = env_prefix
        self._folders = tuple(os.path.abspath(folder) for folder in folders)  # noqa: PTH100 - text, as below

    def resolves(self, reference: str) -> bool:
        """Whether a reference to a secret leads somewhere; not where it must not."""
        kind, _, where = reference.partition(":")
        if kind == "env":
            return bool(self.variable(where))  # an empty one is no secret
        return kind == "file" and self.has_file(where)

    def variable(self, name: str) -> str | None:
        return os.environ.get(name) if name.startswith(self._prefix) else None

    def has_file(self, path: str) -> bool:
        """Whether this is a regular file that may be read."""
        try:
            os.close(self.open(path))
        except OSError:
            return False
        return True

    def open(self, path: str) -> int:
        """A descriptor of a regular file in one of the folders, whatever links led there. Raises OSError."""
        folders = [os.path.realpath(folder) for folder in self._folders]
        if not _within(os.path.realpath(path), folders):
            raise FileNotFoundError
        descriptor = os.open(path, _FLAGS)
        try:
            # A link may have changed since: what counts is which file is open now.
            opened = os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115 - not a path to resolve
            if not (stat.S_ISREG(os.fstat(descriptor).st_mode) and _within(opened, folders)):
                raise FileNotFoundError
        except OSError:
            os.close(descriptor)
            raise
        return descriptor


def _within(path: str, folders: list[str]) -> bool:
    return any(os.path.commonpath((path, folder)) == folder for folder in folders)


def check_reference(reference: str) -> None:
    """Raise InvalidInput unless this is a reference. The text is not repeated: it may be a literal secret."""
    if not _REFERENCE.fullmatch(reference):
        raise InvalidInput(
            "a secret must be given as a reference, env:NAME or file:PATH; "
            "put the value itself into the environment or a file"
        )


def resolve_secret(reference: str) -> str:
    """The secret behind a reference; raises SecretUnresolved, which names only the reference."""
    return _resolve(reference)[0]


class Secrets:
    """Resolved secrets, kept in memory; a changed file is seen within `recheck_s` seconds."""

    def __init__(
        self,
        confinement: Confinement | None = None,
        *,
        recheck_s: float = RECHECK_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._confinement = confinement or Confinement()
        self._recheck_s = recheck_s
        self._monotonic = monotonic
        self._entries: dict[tuple[str, bool], _Entry] = {}

    def value(self, reference: str, *, confined: bool = False) -> str:
        """The secret behind a reference; raises SecretUnresolved (also when a file has since gone)."""
        now = self._monotonic()
        key = reference, confined
        entry = self._entries.get(key)
        if entry is not None and now < entry.fresh_until:
            return entry.value
        stamp = _stamp(reference)
        if entry is None or stamp is None or stamp != entry.stamp:
            self._entries.pop(key, None)
            value, stamp = _resolve(reference, self._confinement if confined else None)
            self._entries[key] = entry = _Entry(value, stamp)
        entry.fresh_until = now + self._recheck_s
        return entry.value

    def __repr__(self) -> str:
        return f"Secrets({len(self._entries)} resolved)"


class _Entry:
    """One resolved secret and the state of the file it came from."""

    __slots__ = ("fresh_until", "stamp", "value")

    def __init__(self, value: str, stamp: _Stamp | None) -> None:
        self.value = value
        self.stamp = stamp
        self.fresh_until = 0.0


def _stamp(reference: str) -> _Stamp | None:
    """What changes when a file is rewritten or replaced; None for the environment and missing files."""
    if not reference.startswith("file:"):
        return None
    with suppress(OSError):
        return _stamp_of(os.stat(reference[5:]))  # noqa: PTH116 - shares _stamp_of with fstat
    return None


def _stamp_of(status: os.stat_result) -> _Stamp:
    return status.st_ino, status.st_mtime_ns, status.st_size


def _resolve(reference: str, confinement: Confinement | None = None) -> tuple[str, _Stamp | None]:
    """Raises SecretUnresolved. Of a confined one, only what is wrong with a secret that may be referred to."""
    try:
        raw, stamp = _find(reference, confinement)
    except SecretUnresolved:
        if confinement is None:
            raise
        # One text for what is not there and what must not be: whoever wrote the reference learns nothing.
        raise SecretUnresolved(
            f"{reference}: there is nothing by this name that a catalog from the network may refer to"
        ) from None
    try:
        return secret_text(raw), stamp
    except InvalidInput as error:
        raise SecretUnresolved(f"{reference}: {error}") from None


def _find(reference: str, confinement: Confinement | None) -> tuple[str | bytes, _Stamp | None]:
    if not _REFERENCE.fullmatch(reference):
        raise SecretUnresolved("a secret is not a reference (env:NAME or file:PATH)")
    kind, _, where = reference.partition(":")
    if kind == "file":
        return _read(reference, where, confinement)
    value = os.environ.get(where) if confinement is None else confinement.variable(where)
    if value is None:
        raise SecretUnresolved(f"{reference}: this environment variable is not set")
    return value, None


def _read(reference: str, path: str, confinement: Confinement | None) -> tuple[bytes, _Stamp]:
    """Read a small regular file. O_NONBLOCK: a named pipe must not hang the engine."""
    raw = None
    try:
        if confinement is None:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        else:
            descriptor = confinement.open(path)
        try:
            status = os.fstat(descriptor)
            if stat.S_ISREG(status.st_mode):
                with open(descriptor, "rb", closefd=False) as file:
                    raw = file.read(MAX_SECRET_BYTES + 1)
        finally:
            os.close(descriptor)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else "input/output error"
        raise SecretUnresolved(f"{reference}: the file cannot be read ({why})") from None
    if raw is None:
        raise SecretUnresolved(f"{reference}: this is not a regular file")
    if len(raw) > MAX_SECRET_BYTES:
        raise SecretUnresolved(f"{reference}: the file is larger than {MAX_SECRET_BYTES} bytes")
    return raw, _stamp_of(status)

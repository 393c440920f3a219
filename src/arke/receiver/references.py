"""Secrets by reference (`env:NAME`, `file:PATH`) and the command line's key specifications.

The kit resolves them itself, so that it can be used without the engine.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final, cast, get_args

from arke.domain.catalog import HmacAlgorithm
from arke.errors import InvalidInput, SecretUnresolved
from arke.receiver.verifier import DEFAULT_HEADER, SigningKey

_MAX_SECRET_BYTES: Final = 65_536
_REFERENCE: Final = re.compile(r"(env|file):(.+)", re.DOTALL)
_HEADER_AND_ALGORITHM: Final = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([A-Za-z0-9]+):((?:env|file):.+)")


def resolve_secret(reference: str) -> bytes:
    """The value behind a reference. A file's last line break is not part of the secret."""
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        # The text is not repeated: somebody may have typed the secret itself.
        raise InvalidInput("a secret is given by reference: env:NAME or file:PATH")
    kind, place = match.groups()
    value = _from_environment(place) if kind == "env" else _from_file(Path(place))
    if not value:
        raise SecretUnresolved(f"{reference} is empty")
    return value


def _from_environment(name: str) -> bytes:
    value = os.environ.get(name)
    if value is None:
        raise SecretUnresolved(f"env:{name}: the environment variable {name} is not set")
    return value.encode()


def _from_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            value = file.read(_MAX_SECRET_BYTES + 1)
    except OSError as error:
        raise SecretUnresolved(f"file:{path}: {error.strerror}") from None
    if len(value) > _MAX_SECRET_BYTES:
        raise SecretUnresolved(f"file:{path} is larger than {_MAX_SECRET_BYTES} bytes")
    return value.removesuffix(b"\n").removesuffix(b"\r")


def signing_key(
    specification: str, *, header: str = DEFAULT_HEADER, algorithm: HmacAlgorithm = "sha1"
) -> SigningKey:
    """The key of `[HEADER:ALGORITHM:]env:NAME|file:PATH`, as in `X-Signature:sha256:env:ACME_KEY`."""
    match = _HEADER_AND_ALGORITHM.fullmatch(specification)
    if match is None:
        return SigningKey(secret=resolve_secret(specification), header=header, algorithm=algorithm)
    name, chosen, reference = match.groups()
    return SigningKey(secret=resolve_secret(reference), header=name, algorithm=hmac_algorithm(chosen))


def hmac_algorithm(text: str) -> HmacAlgorithm:
    known = get_args(HmacAlgorithm)
    if text.lower() not in known:
        raise InvalidInput(f"unknown signature algorithm {text!r}; known are {', '.join(known)}")
    return cast("HmacAlgorithm", text.lower())

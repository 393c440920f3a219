"""The command line's key specifications; secrets are references there too (`env:NAME`, `file:PATH`)."""

from __future__ import annotations

import re
from typing import Final, cast, get_args

from arke.delivery import secrets
from arke.delivery.secrets import check_reference
from arke.domain.catalog import HmacAlgorithm
from arke.errors import InvalidInput
from arke.receiver.verifier import DEFAULT_HEADER, SigningKey

_HEADER_AND_ALGORITHM: Final = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([A-Za-z0-9]+):((?:env|file):.+)")


def resolve_secret(reference: str) -> bytes:
    """The value behind a reference. Raises InvalidInput for what is none, SecretUnresolved."""
    check_reference(reference)
    return secrets.resolve_secret(reference).encode()


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

"""The command line's key specifications; secrets are references there too (`env:NAME`, `file:PATH`)."""

from __future__ import annotations

import re
from typing import Final, cast, get_args

import msgspec

from arke.delivery import secrets
from arke.delivery.secrets import check_reference
from arke.domain.catalog import BODY, TIMESTAMP, HmacAlgorithm, SignatureEncoding
from arke.errors import InvalidInput
from arke.receiver.verifier import DEFAULT_HEADER, SigningKey

_HEADER_AND_ALGORITHM: Final = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([A-Za-z0-9]+):((?:env|file):.+)")


def resolve_secret(reference: str) -> bytes:
    """The value behind a reference. Raises InvalidInput for what is none, SecretUnresolved."""
    check_reference(reference)
    return secrets.resolve_secret(reference).encode()


class Scheme(msgspec.Struct, frozen=True, kw_only=True):
    """How the signatures of all keys of a command are written; the fields are those of a catalog's `signatures`."""

    encoding: str = "base64"
    prefix: str = ""
    signs: str = BODY
    timestamp_header: str | None = None


NO_SCHEME: Final = Scheme()


def signing_key(
    specification: str,
    *,
    header: str = DEFAULT_HEADER,
    algorithm: HmacAlgorithm = "sha1",
    scheme: Scheme = NO_SCHEME,
) -> SigningKey:
    """The key of `[HEADER:ALGORITHM:]env:NAME|file:PATH`, as in `X-Signature:sha256:env:ACME_KEY`.

    Raises InvalidInput, SecretUnresolved.
    """
    match = _HEADER_AND_ALGORITHM.fullmatch(specification)
    reference = specification
    if match is not None:
        header, chosen, reference = match.groups()
        algorithm = hmac_algorithm(chosen)
    known = get_args(SignatureEncoding)
    if scheme.encoding not in known:
        raise InvalidInput(f"unknown encoding {scheme.encoding!r}; known are {', '.join(known)}")
    if scheme.signs.count(BODY) != 1:
        raise InvalidInput(f"what is signed must hold {BODY} once")
    stamped = scheme.timestamp_header is not None or TIMESTAMP in scheme.prefix
    if TIMESTAMP in scheme.signs and not stamped:
        raise InvalidInput(f"{TIMESTAMP} is signed, so a prefix or a header of its own must carry it")
    return SigningKey(
        secret=resolve_secret(reference),
        header=header,
        algorithm=algorithm,
        encoding=cast("SignatureEncoding", scheme.encoding),
        prefix=scheme.prefix,
        signs=scheme.signs,
        timestamp_header=scheme.timestamp_header,
    )


def hmac_algorithm(text: str) -> HmacAlgorithm:
    known = get_args(HmacAlgorithm)
    if text.lower() not in known:
        raise InvalidInput(f"unknown signature algorithm {text!r}; known are {', '.join(known)}")
    return cast("HmacAlgorithm", text.lower())

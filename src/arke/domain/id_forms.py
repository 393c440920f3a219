"""Forms that ids of a data source have, and the one spelling under which an id is kept.

Each function returns that spelling, or None where the text is no id of the form. Two spellings of one hash or UUID
would otherwise be two people.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from hashlib import sha256
from typing import Final

from arke.domain.catalog import IdForm

Fold = Callable[[str], str | None]

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_MD5: Final = re.compile(r"[0-9a-f]{32}")
_UUID: Final = re.compile(r"([0-9a-f]{8})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{12})")
_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")
"""What is certainly meant as an address; whether there is a mail box, nobody can tell."""


def sha256_hex(text: str) -> str | None:
    """A SHA-256 in hexadecimal, in lower case."""
    folded = text.strip().lower()
    return folded if _SHA256.fullmatch(folded) is not None else None


def md5_hex(text: str) -> str | None:
    """An MD5 in hexadecimal, in lower case."""
    folded = text.strip().lower()
    return folded if _MD5.fullmatch(folded) is not None else None


def email_sha256(text: str) -> str | None:
    """The SHA-256 of an e-mail address: as it comes, or made of an address in plain text, which is never kept. An
    address is hashed without blanks around it and in lower case, as destinations that match e-mails want it.
    """
    folded = sha256_hex(text)
    if folded is None and _EMAIL.fullmatch(address := text.strip().lower()) is not None:
        folded = sha256(address.encode()).hexdigest()
    return folded


def upper(text: str) -> str:
    return text.upper()


def lower(text: str) -> str:
    return text.lower()


def uuid(text: str) -> str | None:
    """A UUID in lower case with dashes, as 8-4-4-4-12 (RFC 9562): it may come in braces, or without dashes."""
    found = _UUID.fullmatch(text.strip().lower().removeprefix("urn:uuid:").strip("{}"))
    return "-".join(found.groups()) if found is not None else None


FORMS: Final[dict[IdForm, Fold]] = {
    "sha256": sha256_hex,
    "md5": md5_hex,
    "email_sha256": email_sha256,
    "upper": upper,
    "lower": lower,
    "uuid": uuid,
}

WANTED: Final[dict[IdForm, str]] = {
    "sha256": "a SHA-256: 64 hexadecimal digits",
    "md5": "an MD5: 32 hexadecimal digits",
    "email_sha256": "the SHA-256 of an e-mail address (64 hexadecimal digits), or an address",
    "upper": "any text, kept in upper case",
    "lower": "any text, kept in lower case",
    "uuid": "a UUID: 32 hexadecimal digits as 8-4-4-4-12",
}
"""In words, for whoever sent something else."""

"""What a secret's text is, by whatever way it came: from a variable, a file, or a caller of the receiver kit.

Editors, `echo` and secret stores put a line end behind a secret, so line ends at its end are dropped. Whatever else
nobody sees at its ends (blanks, a byte order mark) was most likely not meant, and would make every signature wrong:
it is refused, with the reason. No error repeats any of the text.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

from arke.errors import InvalidInput

WEBHOOK_PREFIX: Final = "whsec_"
BYTE_ORDER_MARK: Final = "\ufeff"
_VERSION = "v1"
_BETWEEN_KEYS = re.compile(r"[|,\s]+")
_ASYMMETRIC = re.compile(r"(?:v1a,)?wh[sp]k_")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")
_LIKELY_KEY_BYTES = range(24, 65)
"""How long the Standard Webhooks specification has its keys."""


def is_reference(value: str) -> bool:
    """Whether a value that may also be a constant refers to a secret."""
    return value.startswith(("env:", "file:"))


def secret_text(raw: str | bytes) -> str:
    """The secret itself. Raises InvalidInput with a sentence that goes on from a reference: `the secret ...`."""
    text = _decoded(raw).rstrip("\r\n")
    if not text:
        raise InvalidInput("the secret is empty")
    if text.startswith(BYTE_ORDER_MARK):
        raise InvalidInput("the secret begins with a byte order mark: save it without one")
    if "\x00" in text:
        raise InvalidInput("the secret holds a zero byte: save it as UTF-8 text")
    for end, where in ((text[0], "begins"), (text[-1], "ends")):
        if end == " " or not end.isprintable():
            raise InvalidInput(
                f"the secret {where} with a blank or another character that nobody sees: remove it"
            )
    return text


def _decoded(raw: str | bytes) -> str:
    """Bytes as UTF-8. A variable's bytes that are none are surrogates by now."""
    try:
        text = raw.decode() if isinstance(raw, bytes) else raw
        _ = text.encode()
    except UnicodeError:
        raise InvalidInput("the secret is not UTF-8 text") from None
    return text


def webhook_keys(secret: str, *, raw: bool = False) -> tuple[bytes, ...]:
    """The keys that a Standard Webhooks secret holds: `whsec_` and base64 (standard or URL-safe, padded or not),
    also as `v1,whsec_...`, several with `|`, a comma or a blank between them; or a text that is itself the key.

    `raw`: it is the key whatever it looks like. Raises InvalidInput for what could be read in two ways: a key that
    is not the receiver's makes every signature wrong, and nothing here would show it.
    """
    if raw:
        return (secret.encode(),)
    if _ASYMMETRIC.match(secret):
        raise InvalidInput("this is a key of the asymmetric scheme (v1a), which Arke does not sign with")
    if WEBHOOK_PREFIX not in secret.lower():
        return (_unmarked_key(secret),)
    listed = [item for item in _BETWEEN_KEYS.split(secret) if item not in ("", _VERSION)]
    return tuple(dict.fromkeys(_marked_key(item) for item in listed))


def _marked_key(item: str) -> bytes:
    if not item.startswith(WEBHOOK_PREFIX):
        raise InvalidInput(
            f"a Standard Webhooks secret with {WEBHOOK_PREFIX} in it must have it before each key"
        )
    key = _from_base64(item.removeprefix(WEBHOOK_PREFIX))
    if key is None:
        raise InvalidInput(f"a Standard Webhooks key starts with {WEBHOOK_PREFIX} but is not base64 after it")
    return key


def _unmarked_key(secret: str) -> bytes:
    """A text that is the key. Not one that the receivers' libraries would take for base64."""
    decoded = _from_base64(secret)
    if decoded is not None and len(decoded) in _LIKELY_KEY_BYTES:
        raise InvalidInput(
            f"a Standard Webhooks key without {WEBHOOK_PREFIX} that may be base64: put {WEBHOOK_PREFIX} before it, "
            "or say raw: true if the text itself is the key"
        )
    return secret.encode()


def _from_base64(text: str) -> bytes | None:
    """The bytes, None where this is no base64, mixes two alphabets, or is cut short."""
    if not _BASE64.fullmatch(text) or (set(text) & set("+/") and set(text) & set("-_")):
        return None
    digits = text.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        key = base64.b64decode(digits + "=" * (-len(digits) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
    whole = base64.b64encode(key).decode().rstrip("=") == digits
    return key if whole and key else None


def name_and_password(secret: str) -> tuple[str, str]:
    """The two halves of a secret that is `NAME:PASSWORD`, or base64 of it, as it follows `Basic `.

    Raises InvalidInput for what is neither.
    """
    text = secret
    if ":" not in text:
        try:
            text = (_from_base64(secret) or b"").decode()
        except UnicodeDecodeError:
            text = ""
    name, colon, password = text.partition(":")
    if not colon:
        raise InvalidInput("the secret is neither NAME:PASSWORD nor base64 of that")
    return name, password

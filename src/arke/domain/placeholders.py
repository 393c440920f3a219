"""Texts that are no id though they stand where one should: what a program writes that has none, and macros that
nobody filled in. Many devices send the same one, so that as an id it would join strangers.

docs/reference/intake.md lists them for people.
"""

from __future__ import annotations

import re
from hashlib import md5, sha1, sha256, sha512
from typing import TYPE_CHECKING, Final
from unicodedata import normalize
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ABSENT: Final = (
    *("undefined", "undef", "null", "nil", "none", "nan", "-nan", "void", "void 0", "\\n", "nul"),
    *("infinity", "-infinity", "+infinity", "inf", "-inf", "+inf", "array", "object"),
    *(
        "n/a",
        "#n/a",
        "n.a.",
        "#null!",
        "#ref!",
        "#value!",
        "#name?",
        "#div/0!",
        "#num!",
        "#error!",
        "#spill!",
    ),
    *("unset", "not set", "not_set", "not-set", "notset", "not available", "not_available", "not provided"),
    *("not_provided", "true", "false", "0", "-0", "+0", "0.0", "0.00", "0,0", "0x0", "-1", "-1.0"),
)
"""What languages, data bases and spreadsheets write for a value that is not there, in lower case."""
STAND_INS: Final = (
    *("anonymous", "anon", "guest", "unknown", "test", "unauthenticated", "not_authenticated"),
    *("not logged in", "not_logged_in", "logged out", "logged_out"),
)
"""What is written for everybody who has no account, or while somebody tries a page."""
FIELD_NAMES: Final = (
    *("id", "uid", "uuid", "userid", "user_id", "customerid", "customer_id", "deviceid", "device_id"),
    *("distinctid", "distinct_id", "anonymousid", "anonymous_id", "email", "dd_uuid", "idfa", "gaid"),
)
"""The name of the field instead of what is in it."""
COMMON_DEVICE_IDS: Final = (
    *("9774d56d682e549c", "02:00:00:00:00:00", "ff:ff:ff:ff:ff:ff"),
    *("ffffffff-ffff-ffff-ffff-ffffffffffff", "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"),
)
"""What very many devices answer who are asked for an id: a fault of old Androids, hidden MAC addresses, UUIDs that
somebody has written down.
"""

_WORDS: Final = frozenset((*ABSENT, *STAND_INS, *FIELD_NAMES, *COMMON_DEVICE_IDS, ""))
_AROUND: Final = " \t\"'`\u00ab\u00bb\u2018\u2019\u201c\u201d\u201e\u200b\u200c\u200d\u2060\ufeff"
"""Blanks, quotes and characters that nobody sees: nothing of an id, wherever around it they come from."""
_TIMES_ENCODED: Final = 3
"""How often a text may have been percent-encoded for what it was to be recognised."""
_MANY_ZEROS: Final = 12
"""Zeros, and nothing else but signs between them, that no counter has: those of a MAC address are the fewest. Fewer
may be the first of a row of numbers (`00`), but for zero itself.
"""

_UUID: Final = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_NAME: Final = r"[a-z_][a-z0-9_.-]*"
_WHOLE: Final = re.compile(
    r"\[.*\]"  # [ID], [object Object], [[id]]
    r"|<.*>"  # <id>, <nil>, <%= id %>
    rf"|\{{(?!{_UUID}\}}).*\}}"  # {id}, {{id}}, {0}; but not {6d92078a-8246-4ba4-ae5b-76104861e7dc}
    r"|#<.*>"  # #<User:0x1>
    r"|[$#%@]\{.*|\{\{.*"  # ${uid, {{uid: cut off
    r"|\(+[a-z _-]*\)+"  # (null), (none)
    rf"|\$+{_NAME}\$*"  # $UID, $$UID$$
    rf"|%+{_NAME}%+"  # %ID%, %%ID%%
    r"|%[-0-9.$]*l{0,2}[sduifgx@]"  # %s, %d, %1$s, %@
    rf"|@+{_NAME}@+|#+{_NAME}#+|\*?\|+{_NAME}\|+\*?"  # @@x@@, ##x##, |x|, *|x|*
    rf"|([~!^\u00a7])\1*{_NAME}\1+"  # ~ID~, !ID!
    rf"|%{_NAME}!|:+{_NAME}"  # %eaid!, :id
    r"|__[a-z][a-z0-9_]*__[0-9]?"  # __ID__, __OAID_MD5__
    r"|(?:async )?function\b.*\(.*|\([^()]*\) ?=>.*"  # the source of what should have been called
    r"|[-?*_#.,:;+=/]+",  # -, ???, ***
    re.DOTALL,
)
_ordinary: Final = re.compile(r"[a-z0-9][a-z0-9.@+/=:_-]*").fullmatch
"""Nothing in it opens a macro, nor may it be in quotes: most ids."""
_all_ordinary: Final = re.compile(r"(?:(?![0.-]*\n)[a-z0-9][a-z0-9.@+/=_-]{0,511}\n)*").fullmatch
"""The same of many texts, each of up to 512 characters and with a line end, without colons and zeros alone."""
_ANYWHERE: Final = re.compile(
    r"[$#%@]\{[^{}]*\}"  # user-${ID}, #{id}, %{id}, @{id}
    r"|\$\([^()]*\)|\$\[[^\[\]]*\]|%\([^()]*\)[a-z]"  # $(id), $[id], %(id)s
    r"|\{\{[^{}]*\}\}|\{%[^{}]*%\}|<%[^<>]*%>|%%[^%]+%%"  # {{id}}, {% id %}, <% id %>, %%ID%%
    r"|\[(?:object|function)\b[^\[\]]*\]"
)


def is_placeholder(text: str) -> bool:
    """Whether a text, in any letter case, stands for no id in particular: nobody's own, and so everybody's."""
    plain = text.casefold()
    if _ordinary(plain) is not None:
        return plain in _WORDS or plain in _HASHED or (plain[0] == "0" and _is_zero(plain))
    for _ in range(_TIMES_ENCODED):
        if _stands_for_none(plain):
            return True
        decoded = unquote(plain).casefold() if "%" in plain else plain  # %7B%7Buid%7D%7D
        if decoded == plain:
            return False
        plain = decoded
    return _stands_for_none(plain)


def all_ordinary(texts: Sequence[str]) -> bool:
    """Whether each of these texts is sure to be no placeholder, and to have 1 to 512 characters, none of which is a
    colon, a percent sign or a control character.
    """
    plain = "\n".join([*texts, ""]).casefold()
    if plain.count("\n") != len(texts) or _all_ordinary(plain) is None:
        return False
    found = plain.split("\n")
    return _NO_IDS.isdisjoint(found[:-1])


def _stands_for_none(text: str) -> bool:
    plain = text if text.isascii() else normalize("NFKC", text).casefold()  # full-width letters and blanks
    plain = plain.strip(_AROUND)
    return (
        plain in _WORDS
        or plain in _HASHED
        or _is_zero(plain)
        or _WHOLE.fullmatch(plain) is not None
        or _ANYWHERE.search(plain) is not None
    )


def _is_zero(plain: str) -> bool:
    return plain.count("0") >= _MANY_ZEROS and not plain.strip("0-.,:")


def _hashes() -> Iterator[str]:
    """What comes of hashing a placeholder where an e-mail address or a customer number should have been."""
    for word in (*_WORDS, "0", "(null)", "[object object]", "[object Object]", "NaN", "None"):
        for spelling in {word, word.upper(), word.capitalize()}:
            text = spelling.encode()
            yield sha256(text).hexdigest()
            yield sha512(text).hexdigest()
            yield sha1(text, usedforsecurity=False).hexdigest()
            yield md5(text, usedforsecurity=False).hexdigest()


_HASHED: Final = frozenset(_hashes())
_NO_IDS: Final = _WORDS | _HASHED

"""What a cell of a table says: a flag, an id, or nothing."""

from __future__ import annotations

import re

_FLAGS = {
    **dict.fromkeys(("1", "true", "t", "yes", "y", "on"), 1),
    **dict.fromkeys(("0", "-1", "-0", "false", "f", "no", "n", "off"), 0),
}
_WHOLE = re.compile(r"\+?(-?[0-9]+)(?:\.0*)?")
_DECIMALS = re.compile(r"([0-9]+)\.0+")
_ROUNDED = re.compile(r"[0-9](?:\.[0-9]+)?[eE]\+?[0-9]+")


def flag_of(text: str) -> int | None:
    """1 or 0 as databases write them, None for what is neither: also `1.0`, `t`, `Yes`, `-1`."""
    flag = _FLAGS.get(text)
    if flag is not None:
        return flag
    whole = _WHOLE.fullmatch(text)
    return _FLAGS.get(whole[1] if whole else text.lower())


def id_of(text: str) -> str:
    """An id as it was before a column of floats made `1.0` of 1."""
    decimals = _DECIMALS.fullmatch(text) if "." in text else None
    return decimals[1] if decimals else text


def lost_digits(text: str) -> bool:
    """Whether it is a number as `1.23457E+15`, which stands for many ids."""
    return _ROUNDED.fullmatch(text) is not None

"""What an examination finds, as data: wrong, doubtful or fine, and what to do."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

State = Literal["wrong", "doubtful", "fine"]
ORDER: Final[dict[State, int]] = {"wrong": 0, "doubtful": 1, "fine": 2}


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at: which `subject`, how it is, and what to `do` where it is not fine."""

    state: State
    subject: str
    what: str
    do: str = ""


class Examination(msgspec.Struct, frozen=True):
    """All findings, the wrong ones first; within those in the order in which they were looked at."""

    findings: tuple[Finding, ...]
    wrong: int
    doubtful: int

    @staticmethod
    def of(found: list[Finding]) -> Examination:
        ordered = sorted(found, key=lambda one: ORDER[one.state])
        counts = [sum(one.state == state for one in found) for state in ("wrong", "doubtful")]
        return Examination(tuple(ordered), *counts)


def wrong(subject: str, what: str, do: str) -> Finding:
    return Finding("wrong", subject, what, do)


def doubtful(subject: str, what: str, do: str) -> Finding:
    return Finding("doubtful", subject, what, do)


def fine(subject: str, what: str) -> Finding:
    return Finding("fine", subject, what)

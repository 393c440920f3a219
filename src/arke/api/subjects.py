"""What the endpoints are about: their order on a page, and what stands above them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from arke.api.endpoint import AnyEndpoint


class Subject(NamedTuple):
    """Some endpoints, by the first words of their paths (behind `/v1`)."""

    name: str
    about: str
    words: tuple[str, ...]


SUBJECTS: Final = (
    Subject(
        "state",
        "How the engine does, and by which settings.",
        (
            *("status", "attention", "history", "shards", "settings", "installation"),
            *("metrics", "healthz", "readyz"),
        ),
    ),
    Subject("catalog", "What is in force, what was, and what comes next.", ("catalog", "estimate")),
    Subject("segments", "Who is in what, and why.", ("segments", "sizes", "overlap")),
    Subject(
        "destinations",
        "Who is told what, and how that goes.",
        ("destinations", "funnel", "reconciliation"),
    ),
    Subject("deliveries", "Batches, and what is owed.", ("batches", "resync", "undelivered")),
    Subject("people", "One person, and what passes.", ("explain", "live")),
    Subject("privacy", "Access, deletion, opt-out.", ("privacy",)),
    Subject("intake", "Data files, and topics of others.", ("onboard", "sources")),
    Subject("callers", "Who may call, and who did what.", ("tokens", "console", "audit")),
    Subject("schema", "This description.", ("schema",)),
)


NONE: Final = "others"
"""Of an endpoint that no subject has."""


def subject_of(route: AnyEndpoint) -> str:
    """The name of its subject. Every endpoint has one: a test says so."""
    first, *more = route.path.strip("/").split("/")
    word = more[0] if first == "v1" else first
    return next((one.name for one in SUBJECTS if word in one.words), NONE)

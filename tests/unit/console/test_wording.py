"""Words as pages write them."""

from __future__ import annotations

from arke.console.wording import sentence


def test_a_sentence_keeps_ids_and_times_as_they_stand() -> None:
    text = "owed since 2026-11-29T16:10:29Z: TLS of DSP.example"
    assert sentence(text) == "Owed since 2026-11-29T16:10:29Z: TLS of DSP.example"
    assert sentence("") == ""

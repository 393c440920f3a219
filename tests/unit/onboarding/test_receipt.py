"""What a receipt says to people."""

from __future__ import annotations

from arke.onboarding.receipt import Receipt


def test_every_reason_of_a_class_is_said_with_its_lines() -> None:
    """One class may have several reasons: none is put on a line that has another one."""
    receipt = Receipt(file="f", kind="id_sync", state="done", received=3)
    receipt.refuse("format", 2, "the row ends with a tab or a space")
    receipt.refuse("format", 3, "the row has 3 columns, not 2")
    receipt.refuse("format", 5, "the row ends with a tab or a space")
    assert receipt.lines()[-1] == (
        "  3 format: the row ends with a tab or a space (lines 2, 5); the row has 3 columns, not 2 (line 3)"
    )

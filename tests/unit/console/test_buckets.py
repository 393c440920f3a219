"""Whatever bucket a user may be in is said in words: on the page, and in the documents."""

from __future__ import annotations

from arke.console.pages.reconciliation import BUCKETS as WORDS
from arke.telling.accounts import BUCKETS, LEFT_BUCKETS
from unit.docs.pages import page


def test_the_page_has_words_for_each() -> None:
    assert set(WORDS) == {*BUCKETS, *LEFT_BUCKETS}


def test_the_documents_name_each() -> None:
    text = page("../mechanisms/reconciliation.md")
    assert [name for name in (*BUCKETS, *LEFT_BUCKETS) if f"`{name}`" not in text] == []

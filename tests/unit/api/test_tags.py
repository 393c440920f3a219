"""Entity tags are read as RFC 9110 has them; what is no list of tags is refused, and never taken for none."""

from __future__ import annotations

import pytest

from arke.api.tags import expected, has
from arke.errors import InvalidInput


@pytest.mark.parametrize(
    ("headers", "tags"),
    [
        ([], None),
        (['"1-a"'], {"1-a"}),
        (['"1-a","2-b"'], {"1-a", "2-b"}),
        (['"1-a" ,  "2-b"', '"3"'], {"1-a", "2-b", "3"}),
        (['W/"1-a"'], set()),
        (['W/"1-a", "2"'], {"2"}),
        (["*"], {"*"}),
        ([" * "], {"*"}),
        (['"*"'], {"*"}),
        (['""'], {""}),
    ],
)
def test_if_match(headers: list[str], tags: set[str] | None) -> None:
    assert expected(headers) == tags


@pytest.mark.parametrize(
    "text", ["", " ", ",", "1-a", '"a', '"a" "b"', '*, "a"', 'w/"a"', '"a b"', "\x00", '"a"b']
)
def test_what_is_no_list_of_tags_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="If-Match"):
        expected([text])


@pytest.mark.parametrize(
    ("headers", "same"),
    [
        ([], False),
        (['"a"'], True),
        (['W/"a"'], True),
        (['"b", W/"a"'], True),
        (["*"], True),
        (['"b"'], False),
        (["a"], False),
    ],
)
def test_if_none_match(headers: list[str], same: bool) -> None:
    assert has(headers, "a") is same

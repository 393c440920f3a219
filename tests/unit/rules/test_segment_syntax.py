"""The segment rule language: what is accepted and printed; what is refused, where and with what hint."""

from __future__ import annotations

import pytest

from arke.domain.rules.segment import compile_segment_rule
from arke.domain.rules.segment_syntax import MAX_SEGMENT_RULE_CHARS, MAX_SEGMENT_TRAITS
from arke.domain.rules.source import MAX_DEPTH
from arke.errors import RuleError

GOOD = [
    # The documented samples (dossier 11.1).
    ("FREQUENCY([1000T,1001T] <= 5D) >= 3", "FREQUENCY([1000T,1001T] <= 5D) >= 3"),
    ("frequency([1000T]) >= 1", "FREQUENCY([1000T]) >= 1"),
    ("1634962T", "1634962T"),
    ("(1634962T) AND (1634961T OR 1634966T)", "1634962T AND (1634961T OR 1634966T)"),
    ("123T OR 456T", "123T OR 456T"),
    ("232881T", "232881T"),
    ("FREQUENCY([1000T OR 1001T] >= 5D) == 3", "FREQUENCY([1000T,1001T] >= 5D) == 3"),
    (
        "frequency([1000T,1001T] <= 5D) >= 3 AND NOT 1002T",
        "FREQUENCY([1000T,1001T] <= 5D) >= 3 AND NOT 1002T",
    ),
    # Keywords, letters and spaces.
    ("Frequency([1t]<=5d)>=3", "FREQUENCY([1T] <= 5D) >= 3"),
    ("FREQUENCY ( [ 1T , 2T ] => 30D ) => 2", "FREQUENCY([1T,2T] >= 30D) >= 2"),
    ("FREQUENCY([1T or 2T, 3T]) >= 2", "FREQUENCY([1T,2T,3T]) >= 2"),
    ("FREQUENCY([1T,1T,2T]) >= 2", "FREQUENCY([1T,2T]) >= 2"),
    ("1T AND FREQUENCY([1T]) <= 3", "1T AND FREQUENCY([1T]) <= 3"),
    ("FREQUENCY([1T]) == 3", "FREQUENCY([1T]) == 3"),
    ("1T AND FREQUENCY([2T]) == 0", "1T AND FREQUENCY([2T]) == 0"),
    ("1T AND FREQUENCY([2T]) >= 0", "1T AND FREQUENCY([2T]) >= 0"),
    ("00012T", "12T"),
    ("FREQUENCY([1T] <= 007D) >= 01", "FREQUENCY([1T] <= 7D) >= 1"),
    ("9223372036854775807T", "9223372036854775807T"),
    ("\n1T\n\tAND\r\n2T\n", "1T AND 2T"),
    ("1T\u00a0AND\u00a02T", "1T AND 2T"),
    # Precedence and parentheses.
    ("1T and 2T or 3T", "1T AND 2T OR 3T"),
    ("1T or 2T and 3T", "1T OR 2T AND 3T"),
    ("(1T or 2T) and 3T", "(1T OR 2T) AND 3T"),
    ("1T AND (2T AND (3T))", "1T AND 2T AND 3T"),
    ("1T OR (2T OR 3T)", "1T OR 2T OR 3T"),
    ("1T AND NOT 2T OR 3T", "1T AND NOT 2T OR 3T"),
    ("1T AND NOT (2T OR 3T)", "1T AND NOT (2T OR 3T)"),
    ("NOT 2T AND 1T", "NOT 2T AND 1T"),
    ("NOT NOT 1T", "NOT NOT 1T"),
    ("NOT (NOT 1T OR 2T)", "NOT (NOT 1T OR 2T)"),
    ("(((1T)))", "1T"),
    ("(1T)AND(2T)", "1T AND 2T"),
    ("(FREQUENCY([1T])>=1)OR(2T)", "FREQUENCY([1T]) >= 1 OR 2T"),
    ("NOT FREQUENCY([1T]) == 0", "NOT FREQUENCY([1T]) == 0"),
]

BAD = [
    ("", 1, 1, "write a rule"),
    ("  \n", 1, 1, "write a rule"),
    ("()", 1, 1, "delete them"),
    ("1000", 1, 1, "write 1000T"),
    ("T1000", 1, 1, "write 1000T"),
    ("isSiteVisitorTrait", 1, 1, "as in 1000T"),
    ("1000T AND 1001", 1, 11, "write 1001T"),
    ("1000T AND", 1, 10, "delete AND"),
    ("AND 1000T", 1, 1, "delete it"),
    ("1000T AND OR 1001T", 1, 11, "missing part"),
    ("1000T 1001T", 1, 7, "AND or OR"),
    ("1000T, 1001T", 1, 6, "write OR"),
    ("1000T && 1001T", 1, 7, "write AND"),
    ("1000T || 1001T", 1, 7, "write OR"),
    ("1000T & 1001T", 1, 7, "write AND"),
    ("1000T | 1001T", 1, 7, "write OR"),
    ("1000T adn 1001T", 1, 7, "write AND"),
    ("1000T NOT 1001T", 1, 7, "AND NOT"),
    ("!1000T", 1, 1, "write NOT"),
    ("1000T >= 3", 1, 7, "FREQUENCY([1000T]) >= 3"),
    ("1000T > 3", 1, 7, "FREQUENCY([1000T]) >= 3"),
    ("[1000T]", 1, 1, "FREQUENCY([1000T])"),
    ("5D", 1, 1, "1000T"),
    ("0T", 1, 1, None),
    ("9223372036854775808T", 1, 1, None),
    ("1" * 100_000 + "T", 1, 1, None),
    ("1000TT", 1, 1, "1000T"),
    ("1000.5T", 1, 1, "1000T"),
    ("(1000T", 1, 1, 'add the ")"'),
    ("1000T)", 1, 6, "delete it"),
    ("(1000T 1001T)", 1, 8, "AND or OR"),
    ("FREQUENCY", 1, 10, "FREQUENCY([1000T])"),
    ("FREQUENCY [1000T] >= 1", 1, 11, "FREQUENCY([1000T])"),
    ("FREQUENCY(1000T) >= 1", 1, 11, "FREQUENCY([1000T,1001T])"),
    ("FREQUENCY([]) >= 1", 1, 12, "1000T"),
    ("FREQUENCY([1000]) >= 1", 1, 12, "write 1000T"),
    ("FREQUENCY([1000T,]) >= 1", 1, 18, "1000T"),
    ("FREQUENCY([1000T 1001T]) >= 1", 1, 18, "[1000T,1001T]"),
    ("FREQUENCY([1000T AND 1001T]) >= 1", 1, 18, "FREQUENCY([1000T]) >= 1 AND"),
    ("FREQUENCY([1000T", 1, 11, 'add the "]"'),
    ("FREQUENCY([1000T]", 1, 10, 'add the ")"'),
    ("FREQUENCY([1000T] <= 5D", 1, 10, 'add the ")"'),
    ("FREQUENCY([1000T]) ", 1, 20, ">= 1"),
    ("FREQUENCY([1000T] <= 5D)", 1, 25, ">= 1"),
    ("FREQUENCY([1000T]) AND 1T", 1, 20, ">= 1"),
    ("FREQUENCY([1000T]) > 3", 1, 20, "write >= 4"),
    ("FREQUENCY([1000T]) < 3", 1, 20, "write <= 2"),
    ("FREQUENCY([1000T]) = 3", 1, 20, "write =="),
    ("FREQUENCY([1000T]) != 3", 1, 20, "NOT FREQUENCY"),
    ("FREQUENCY([1000T]) =< 3", 1, 20, "write <="),
    ("FREQUENCY([1000T]) >= three", 1, 23, "without a letter"),
    ("FREQUENCY([1000T]) >= 3T", 1, 23, "without a letter"),
    ("FREQUENCY([1000T]) >= -1", 1, 23, "without a letter"),
    ("FREQUENCY([1000T]) >= 1.5", 1, 23, "without a letter"),
    ("FREQUENCY([1000T]) >= 9999999999", 1, 23, None),
    ("FREQUENCY([1000T] < 5D) >= 1", 1, 19, "write <="),
    ("FREQUENCY([1000T] > 5D) >= 1", 1, 19, "write >="),
    ("FREQUENCY([1000T] == 5D) >= 1", 1, 19, "within the last 5 days"),
    ("FREQUENCY([1000T] <= 5) >= 1", 1, 22, "write 5D"),
    ("FREQUENCY([1000T] 5D) >= 1", 1, 19, "<= 5D"),
    ("FREQUENCY([1000T] <= 0D) >= 1", 1, 22, None),
    ("FREQUENCY([1000T] <= 99999D) >= 1", 1, 22, None),
    ("FREQUENCY([1000T] <= 5H) >= 1", 1, 22, "5D"),
    ("FREQENCY([1000T]) >= 1", 1, 1, "FREQUENCY([1000T]"),
    ("1000T AND\n  FREQUENCY([1000T] <= 5) >= 1", 2, 24, "write 5D"),
    ("NOT 1000T", 1, 1, "AND it with"),
    ("1000T OR NOT 1001T", 1, 1, "AND it with"),
    ("FREQUENCY([1000T]) <= 3", 1, 1, "AND it with"),
    ("FREQUENCY([1000T]) == 0", 1, 1, "AND it with"),
    ("FREQUENCY([1000T] <= 5D) <= 3", 1, 1, "AND it with"),
    ("FREQUENCY([1000T]) >= 0", 1, 1, "AND it with"),
    ("1000T OR FREQUENCY([1001T]) <= 3", 1, 1, "AND it with"),
    ("1000T AND \ud800", 1, 11, "type the character again"),
]


@pytest.mark.parametrize(("text", "canonical"), GOOD)
def test_a_rule_is_printed_in_its_canonical_form_which_is_stable(text: str, canonical: str) -> None:
    assert compile_segment_rule(text).canonical == canonical
    assert compile_segment_rule(canonical).canonical == canonical


@pytest.mark.parametrize(("text", "line", "column", "hint"), BAD)
def test_a_bad_rule_tells_where_it_is_wrong_and_how_to_mend_it(
    text: str, line: int, column: int, hint: str | None
) -> None:
    """Numbers out of their bounds have no hint: the message names the bounds."""
    with pytest.raises(RuleError) as caught:
        compile_segment_rule(text)
    assert (caught.value.line, caught.value.column) == (line, column), caught.value.message
    if hint is None:
        assert "is from" in caught.value.message
    else:
        assert hint in str(caught.value.hint)


def test_nesting_is_allowed_up_to_its_bound_and_refused_beyond() -> None:
    compile_segment_rule("(" * MAX_DEPTH + "1T" + ")" * MAX_DEPTH)
    for bomb in ("(" * (MAX_DEPTH + 1) + "1T" + ")" * (MAX_DEPTH + 1), "(" * 60_000, "NOT " * 60_000 + "1T"):
        with pytest.raises(RuleError, match="deep"):
            compile_segment_rule(bomb)


def test_a_rule_may_have_five_thousand_traits_and_no_more() -> None:
    """Distinct ones count, in every way to write them."""
    ids = range(10_000_000, 10_000_000 + MAX_SEGMENT_TRAITS)
    for text in (
        " OR ".join(f"{i}T" for i in ids),
        f"FREQUENCY([{','.join(f'{i}T' for i in ids)}]) >= 2",
        " OR ".join(f"FREQUENCY([{i}T])>=1" for i in ids),
    ):
        assert len(compile_segment_rule(text).traits) == MAX_SEGMENT_TRAITS
        assert len(compile_segment_rule(f"{text} OR {ids[0]}T").traits) == MAX_SEGMENT_TRAITS
        with pytest.raises(RuleError, match="at most 5,000 traits"):
            compile_segment_rule(f"{text} OR 1T")


def test_a_rule_beyond_its_length_is_refused() -> None:
    with pytest.raises(RuleError, match="are allowed"):
        compile_segment_rule("1T" + " " * MAX_SEGMENT_RULE_CHARS)

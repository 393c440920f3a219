"""What trait rules mean for an event's signals: one row a behaviour."""

from __future__ import annotations

import pytest

from arke.domain.rules.commas import MAX_PARTS
from arke.domain.rules.matcher import TraitMatcher
from arke.domain.rules.trait import compile_trait_rule

Signals = dict[str, list[str]]

ROWS: list[tuple[str, Signals, bool]] = [
    # Equality is of text, case and all.
    ('c == "camera"', {"c": ["camera"]}, True),
    ('c == "camera"', {"c": ["Camera"]}, False),
    ('c == "camera"', {"C": ["camera"]}, False),
    ("c == 500", {"c": ["500"]}, True),
    ("c == 500", {"c": ["500.0"]}, False),
    ('c == ""', {"c": [""]}, True),
    # A missing key makes everything false, also !=.
    ("c == x", {}, False),
    ("c != x", {}, False),
    ("c != x", {"d": ["x"]}, False),
    ("c < 1", {}, False),
    ('c contains ""', {}, False),
    ('c contains ""', {"c": ["x"]}, True),
    ("c != x", {"c": []}, False),
    # Several values: any matches; != when none equals.
    ("c == x", {"c": ["y", "x"]}, True),
    ("c != x", {"c": ["y", "z"]}, True),
    ("c != x", {"c": ["y", "x"]}, False),
    ("c > 5", {"c": ["1", "9"]}, True),
    ("c > 5 AND c < 5", {"c": ["1", "9"]}, True),
    ("c startswith x", {"c": ["a", "xa"]}, True),
    # A value with commas is a value as a whole and by its parts, without blanks around them.
    ('c == "Home, Sweet"', {"c": ["Home, Sweet"]}, True),
    ("c == Sweet", {"c": ["Home, Sweet"]}, True),
    ("c == event1", {"c": ["event1,event2"]}, True),
    ("c == event2", {"c": ["x", "event1,event2"]}, True),
    ('c == "event1,event2"', {"c": ["event1,event2"]}, True),
    ('c == "event2,event1"', {"c": ["event1,event2"]}, False),
    ('c == "a,b"', {"c": ["a", "b"]}, False),
    ("c == event", {"c": ["event1,event2"]}, False),
    ("c != event1", {"c": ["event1,event2"]}, False),
    ('c != "event1,event2"', {"c": ["event1,event2"]}, False),
    ("c != event3", {"c": ["event1,event2"]}, True),
    ('c contains "1,e"', {"c": ["event1,event2"]}, True),
    ("c startswith b", {"c": ["a, b c"]}, True),
    ("c endswith a", {"c": ["a, b c"]}, True),
    ("c matcheswords b", {"c": ["a, b c"]}, True),
    ('c matchesregex "event[0-9]"', {"c": ["event1,event2"]}, True),
    ('c matchesregex "event.*,.*"', {"c": ["event1,event2"]}, True),
    ("c > 9", {"c": ["5,10"]}, True),
    ("c > 5 AND c < 5", {"c": ["1,9"]}, True),
    ('c == ""', {"c": ["a,,b,"]}, False),
    ('c == ","', {"c": [","]}, True),
    ("c == x", {"c": [","]}, False),
    ("c == b AND d == y", {"c": ["a,b"], "d": ["x,y"]}, True),
    ('h_accept-language == "de"', {"h_accept-language": ["de,en;q=0.8"]}, False),
    ('h_accept-language == "de,en;q=0.8"', {"h_accept-language": ["de,en;q=0.8"]}, True),
    (f"c == {MAX_PARTS}", {"c": [",".join(map(str, range(1, 400)))]}, True),
    (f"c == {MAX_PARTS + 1}", {"c": [",".join(map(str, range(1, 400)))]}, False),
    # Ordering compares numbers; what is none is false.
    ("c > 10", {"c": ["9"]}, False),
    ("c > 9", {"c": ["10"]}, True),
    ("c > 9", {"c": ["9"]}, False),
    ("c >= 9", {"c": ["9.0"]}, True),
    ("c => 9", {"c": ["9"]}, True),
    ("c < 9", {"c": ["-10"]}, True),
    ("c <= 9", {"c": ["+9"]}, True),
    ("c <= 9", {"c": [" 9 "]}, True),
    ("c < 0.3", {"c": [".29"]}, True),
    ("c >= 1000", {"c": ["1e3"]}, True),
    ("c > 9007199254740992", {"c": ["9007199254740993"]}, True),
    ("c < 9007199254740993", {"c": ["9007199254740992"]}, True),
    ("c > 1", {"c": ["camera"]}, False),
    ("c < 1", {"c": ["camera"]}, False),
    ("c > 1", {"c": [""]}, False),
    ("c > 1", {"c": ["inf"]}, False),
    ("c < 1", {"c": ["-Infinity"]}, False),
    ("c > 1", {"c": ["nan"]}, False),
    ("c > 1", {"c": ["1_000"]}, False),
    ("c > 1", {"c": ["1,000"]}, False),
    ("c > 1", {"c": ["0x10"]}, False),
    ("c > 1", {"c": ["٣"]}, False),
    ("c > 1", {"c": ["1e999"]}, False),
    ("c > 1", {"c": ["9" * 5_000]}, False),
    ("1.00 <= c <= 100.00", {"c": ["1"]}, True),
    ("1.00 <= c <= 100.00", {"c": ["100.001"]}, False),
    # Text operators.
    ("c contains mer", {"c": ["camera"]}, True),
    ("c contains mer", {"c": ["caMera"]}, False),
    ("c startswith cam", {"c": ["camera"]}, True),
    ("c startswith cam", {"c": ["a camera"]}, False),
    ("c endswith era", {"c": ["camera"]}, True),
    ("c endswith era", {"c": ["eras"]}, False),
    ("c matcheswords cam", {"c": ["camera"]}, False),
    ("c matcheswords cam", {"c": ["my cam, used"]}, True),
    ("c matcheswords cam", {"c": ["cam"]}, True),
    ("c matcheswords cam", {"c": ["camera cam"]}, True),
    ("c matcheswords cam", {"c": ["cam_1"]}, False),
    ("c matcheswords 'digital camera'", {"c": ["a digital camera!"]}, True),
    ("c matcheswords 'digital camera'", {"c": ["camera, digital"]}, False),
    ("c matcheswords 'C++'", {"c": ["the C++ book"]}, True),
    ("c matcheswords 'für'", {"c": ["fürs Bad"]}, False),
    # A regular expression covers the whole value, as Java's matches() does.
    ('c matchesregex "cam"', {"c": ["camera"]}, False),
    ('c matchesregex "cam.*"', {"c": ["camera"]}, True),
    ('c matchesregex ".*era"', {"c": ["camera"]}, True),
    ('c matchesregex "colou?r"', {"c": ["color"]}, True),
    ('c matchesregex "a|b"', {"c": ["b"]}, True),
    ('c matchesregex "a|b"', {"c": ["bb"]}, False),
    ('c matchesregex "^/shop/.*$"', {"c": ["/shop/x"]}, True),
    (r'c matchesregex "\d{3}-\d+"', {"c": ["555-1234"]}, True),
    ('c matchesregex "x*"', {"c": [""]}, True),
    ('c matchesregex ".x"', {"c": ["üx"]}, True),
    ('c matchesregex "a.*"', {"c": ["a\ud800"]}, True),
    # Joiners.
    ("a == 1 AND b == 2", {"a": ["1"], "b": ["2"]}, True),
    ("a == 1 AND b == 2", {"a": ["1"]}, False),
    ("a == 1 OR b == 2", {"b": ["2"]}, True),
    ("a == 1 OR b == 2 AND c == 3", {"a": ["1"]}, True),
    ("(a == 1 OR b == 2) AND c == 3", {"a": ["1"]}, False),
    ("a == 1 AND NOT b == 2", {"a": ["1"]}, True),
    ("a == 1 AND NOT b == 2", {"a": ["1"], "b": ["2"]}, False),
    ("a == 1 AND NOT b != 2", {"a": ["1"]}, True),
    ("a == 1 AND NOT (b == 2 OR c == 3)", {"a": ["1"], "c": ["3"]}, False),
    ("NOT b == 2 AND a == 1", {"a": ["1"]}, True),
    ("NOT a == 1 AND b == 1 OR c == 1", {"a": ["1"], "b": ["1"], "c": ["1"]}, True),
    ("NOT NOT a == 1", {"a": ["1"]}, True),
]

IGNORING_CASE: list[tuple[str, Signals, bool]] = [
    ("c == Camera", {"c": ["cAMERA"]}, True),
    ("c == Camera", {"C": ["camera"]}, False),
    ("c == Sweet", {"c": ["HOME, SWEET"]}, True),
    ('c == "home, sweet"', {"c": ["HOME, SWEET"]}, True),
    ("c != Sweet", {"c": ["HOME, SWEET"]}, False),
    ("c != Camera", {"c": ["cAMERA"]}, False),
    ("c != Camera", {"c": ["phone"]}, True),
    ("c == STRASSE", {"c": ["straße"]}, True),
    ("c contains MER", {"c": ["camera"]}, True),
    ("c startswith CAM", {"c": ["camera"]}, True),
    ("c endswith ERA", {"c": ["camera"]}, True),
    ("c matcheswords CAM", {"c": ["my cam"]}, True),
    ('c matchesregex "CAM.*"', {"c": ["camera"]}, True),
    ("c >= 5", {"c": ["5E0"]}, True),
    ("c == x AND d == Y", {"c": ["X"], "d": ["y"]}, True),
]


@pytest.mark.parametrize(("text", "signals", "expected"), ROWS)
def test_a_rule_means(text: str, signals: Signals, expected: bool) -> None:
    rule = compile_trait_rule(text)
    assert rule.matches(signals) is expected
    assert TraitMatcher([(7, rule)]).match(signals) == ([7] if expected else [])


@pytest.mark.parametrize(("text", "signals", "expected"), IGNORING_CASE)
def test_ignore_case_is_about_values_not_keys(text: str, signals: Signals, expected: bool) -> None:
    rule = compile_trait_rule(text, ignore_case=True)
    assert rule.matches(signals) is expected
    assert TraitMatcher([(7, rule)]).match(signals) == ([7] if expected else [])

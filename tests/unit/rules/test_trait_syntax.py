"""The trait rule language: what is accepted and printed; what is refused, where and with what hint."""

from __future__ import annotations

import pytest

from arke.domain.rules.source import MAX_DEPTH
from arke.domain.rules.trait import compile_trait_rule
from arke.domain.rules.trait_syntax import MAX_REGEX_CHARS, MAX_REGEXES, MAX_TRAIT_RULE_CHARS, MAX_VALUE_CHARS
from arke.errors import RuleError

GOOD = [
    # The documented samples (dossier 10.1).
    (
        '(c_make=="A") AND (c_model=="B") AND (c_search=="1")',
        'c_make == "A" AND c_model == "B" AND c_search == "1"',
    ),
    ('(a== "1" OR b=="1") AND (c=="new")', '(a == "1" OR b == "1") AND c == "new"'),
    ("(price >= 1.00 AND price <= 100.00)", "price >= 1.00 AND price <= 100.00"),
    ("1.00 <= price <= 100.00", "price >= 1.00 AND price <= 100.00"),
    ('c_category == "camera" AND c_price >= 500', 'c_category == "camera" AND c_price >= 500'),
    ('color == "blue"', 'color == "blue"'),
    ("productkey == 2093", 'productkey == "2093"'),
    ("h_accept-language startswith 'es'", 'h_accept-language startswith "es"'),
    ("price => 100", "price >= 100"),
    # Key names.
    ("price123 == 1", 'price123 == "1"'),
    ("123price == 1", '123price == "1"'),
    ("price-123 == 1", 'price-123 == "1"'),
    ("c_price123 == 1", 'c_price123 == "1"'),
    ("_ga == x", '_ga == "x"'),
    ("1e5 == x", '1e5 == "x"'),
    ("product.id == 1", 'product.id == "1"'),
    ("c_contextdata.a.media.genre == news", 'c_contextdata.a.media.genre == "news"'),
    ("c_utm:source=x", 'c_utm:source == "x"'),
    ("c_Prénom == Zoé", 'c_Prénom == "Zoé"'),
    ("größe < 5", "größe < 5"),
    ("颜色 contains 红", '颜色 contains "红"'),
    ("क्षेत्र == x", 'क्षेत्र == "x"'),
    ('"trait_A" < "3"', "trait_A < 3"),
    ("'trait_A' == 'trait_B'", 'trait_A == "trait_B"'),
    ('"a b" == "c d"', '"a b" == "c d"'),
    ('"a b"=="a b" AND NOT "123" != 4', '"a b" == "a b" AND NOT "123" != "4"'),
    ('1 <= "c price" <= 5', '"c price" >= 1 AND "c price" <= 5'),
    ('"and" == "or"', '"and" == "or"'),
    ('"contains" contains contains', 'contains contains "contains"'),
    ('"$os" == 1 OR "a/b?c=d&e" == 2', '"$os" == "1" OR "a/b?c=d&e" == "2"'),
    ("'say \"hi\"' == 1", r'"say \"hi\"" == "1"'),
    (r'"back\slash\\" == 1', r'"back\slash\\" == "1"'),
    ("(\"x\" == 1)AND('y'==2)", 'x == "1" AND y == "2"'),
    # Operators in any spelling that is accepted.
    ("a = b", 'a == "b"'),
    ("a=b", 'a == "b"'),
    ("a!=b", 'a != "b"'),
    ("a < 1", "a < 1"),
    ("a > -1.5", "a > -1.5"),
    ("a>=1e3", "a >= 1e3"),
    ("a <= '7'", "a <= 7"),
    ('a > " 7 "', "a > 7"),
    ("a Contains b", 'a contains "b"'),
    ("a MATCHESWORDS 'two words'", 'a matcheswords "two words"'),
    ("a StartsWith b", 'a startswith "b"'),
    ("a endsWith b", 'a endswith "b"'),
    (r'a MatchesRegex "\d+[a-z]?"', r'a matchesregex "\d+[a-z]?"'),
    ('a contains ""', 'a contains ""'),
    ('a == ""', 'a == ""'),
    # Values.
    ("url == http://x.example/a", 'url == "http://x.example/a"'),
    ("a == 50%", 'a == "50%"'),
    ("a == 'say \"hi\"'", r'a == "say \"hi\""'),
    (r"a == 'it\'s'", 'a == "it\'s"'),
    ('a == "it\'s"', 'a == "it\'s"'),
    (r'a == "x\y"', r'a == "x\y"'),
    (r'a == "x\\y"', r'a == "x\\y"'),
    (r'a == "x\\"', r'a == "x\\"'),
    (r"a == x\ ", r'a == "x\\"'),
    ('a == "AND"', 'a == "AND"'),
    ('a == "ü€ 漢"', 'a == "ü€ 漢"'),
    ('a == "(not a group)"', 'a == "(not a group)"'),
    ("a == orchid", 'a == "orchid"'),
    # Joiners, precedence and parentheses.
    ("a == 1 and b == 2 or c == 3", 'a == "1" AND b == "2" OR c == "3"'),
    ("a == 1 or b == 2 and c == 3", 'a == "1" OR b == "2" AND c == "3"'),
    ("(a == 1 or b == 2) and c == 3", '(a == "1" OR b == "2") AND c == "3"'),
    ("a == 1 AND (b == 2 AND (c == 3))", 'a == "1" AND b == "2" AND c == "3"'),
    ("a == 1 OR (b == 2 OR c == 3)", 'a == "1" OR b == "2" OR c == "3"'),
    ("a == 1 AND NOT b == 2", 'a == "1" AND NOT b == "2"'),
    ("not b == 2 and a == 1", 'NOT b == "2" AND a == "1"'),
    ("a == 1 AND NOT (b == 2 OR c == 3)", 'a == "1" AND NOT (b == "2" OR c == "3")'),
    ("a == 1 AND NOT (b == 2)", 'a == "1" AND NOT b == "2"'),
    ("NOT NOT a == 1", 'NOT NOT a == "1"'),
    ("NOT (NOT a == 1 OR b == 2)", 'NOT (NOT a == "1" OR b == "2")'),
    ("((((a == 1))))", 'a == "1"'),
    ("(a==1)AND(b==2)", 'a == "1" AND b == "2"'),
    # Ranges in mathematical order.
    ("1 < a", "a > 1"),
    ("10 >= a > 1", "a <= 10 AND a > 1"),
    ("b == x AND 1 <= a <= 2 AND c == y", 'b == "x" AND a >= 1 AND a <= 2 AND c == "y"'),
    ("NOT 1 <= a <= 2 AND b == x", 'NOT (a >= 1 AND a <= 2) AND b == "x"'),
    # White space.
    ("\n  a\t==\r\n 1 \n", 'a == "1"'),
    ("a\u00a0==\u00a01", 'a == "1"'),
]

BAD = [
    ("", 1, 1, "write a rule"),
    (" \n ", 1, 1, "write a rule"),
    ("()", 1, 1, "delete them"),
    ("a", 1, 2, 'a contains ""'),
    ("a ==", 1, 5, '== "value"'),
    ("a == AND b == 1", 1, 6, '"AND"'),
    ("state == or", 1, 10, '"or"'),
    ("a == 1 AND", 1, 11, "delete AND"),
    ("AND a == 1", 1, 1, "delete it"),
    ("a == 1 AND OR b == 2", 1, 12, "missing part"),
    ("a == 1 b == 2", 1, 8, "quotes"),
    ('a == "1" b == 2', 1, 10, "AND or OR"),
    ("a == digital camera", 1, 14, '"digital camera"'),
    ("a == 1 && b == 2", 1, 8, "write AND"),
    ("a == 1 & b == 2", 1, 8, "write AND"),
    ("a == 1 || b == 2", 1, 8, "write OR"),
    ("a == 1 | b == 2", 1, 8, "write OR"),
    ("a == 1 adn b == 2", 1, 8, "write AND"),
    ("a == 1 und b == 2", 1, 8, "write AND"),
    ("a == 1 NOT b == 2", 1, 8, "AND NOT"),
    ("a == 1, b == 2", 1, 7, "write OR"),
    ("a == 1,5", 1, 7, '"1,5"'),
    ("a == http://x/?b=1&c=2", 1, 17, '"http://x/?b=1&c=2"'),
    ("a == 1 == 2", 1, 8, "join two with AND"),
    ("!(a == 1)", 1, 1, "write NOT"),
    ("a === 1", 1, 3, "did you mean ==?"),
    ("a !== 1", 1, 3, "did you mean !=?"),
    ("a <> 1", 1, 3, "did you mean !=?"),
    ("a =< 1", 1, 3, "did you mean <=?"),
    ("a =~ b", 1, 3, "matchesregex"),
    ("price!123 == 1", 1, 6, "did you mean !=?"),
    ("a startwith b", 1, 3, "startswith"),
    ("a contians b", 1, 3, "contains"),
    ("a matchesregexp b", 1, 3, "matchesregex"),
    ("a starts_with b", 1, 3, "startswith"),
    ("a is b", 1, 3, "did you mean ==?"),
    ("a equals b", 1, 3, "did you mean ==?"),
    ("a in b", 1, 3, 'a == "a" OR'),
    ("a between 1", 1, 3, "a >= 1 AND a <= 100"),
    ("a not contains b", 1, 3, "NOT goes before the key"),
    ("a frobnicates b", 1, 3, "the operators are"),
    ('a "b"', 1, 3, "the operators are"),
    ("123 == 1", 1, 1, "at least one letter"),
    ("123", 1, 1, "at least one letter"),
    ("5 == a", 1, 1, "at least one letter"),
    ("5 < 6", 1, 1, "at least one letter"),
    ("1 <= a == 2", 1, 8, "1.00 <= a <= 100.00"),
    ("product/id == 1", 1, 1, '/ needs quotes around the key: "product/id"'),
    ("\u200bkey == 1", 1, 1, "U+200B"),
    ('"" == 1', 1, 1, "name of the key"),
    ("a == 1 AND '' == 1", 1, 12, "name of the key"),
    ('"a b"', 1, 6, '"a b" contains ""'),
    ('"a b" is 1', 1, 7, "did you mean ==?"),
    ('"a b" between 1', 1, 7, '"a b" >= 1 AND "a b" <= 100'),
    ('"a b" matcheswords " "', 1, 20, '"a b" contains ""'),
    ('a == 1\nAND "größe in cm" > klein', 2, 21, "digits"),
    ('"5" < price', 1, 7, "without: 5 < price"),
    ('1 <= "a b" == 2', 1, 12, '1.00 <= "a b" <= 100.00'),
    ('"a == 1', 1, 1, "closing"),
    ("“a b” == 1", 1, 1, '"a b"'),
    ("a == “blue”", 1, 6, '"blue"'),
    ('a == "blue', 1, 6, "closing"),
    ("a == 'blue", 1, 6, "closing"),
    ("a == Levi's", 1, 10, "closing '"),
    ('a == "two\nlines"', 1, 6, "closing"),
    ("(a == 1", 1, 1, 'add the ")"'),
    ("(a == 1 AND (b == 2)", 1, 1, 'add the ")"'),
    ("a == 1)", 1, 7, "delete it"),
    ("(a == 1 b", 1, 9, "quotes"),
    ("a > blue", 1, 5, "digits"),
    ("a > nan", 1, 5, "digits"),
    ("a > inf", 1, 5, "digits"),
    ("a > 1_000", 1, 5, "digits"),
    ("a > 1e999", 1, 5, "digits"),
    ("a > ٣", 1, 5, "digits"),
    ('a > ""', 1, 5, "digits"),
    ('a matchesregex "a("', 1, 16, "RE2"),
    ('a matchesregex "(?=a)b"', 1, 16, "look-ahead"),
    (r'a matchesregex "(a)\1"', 1, 16, "back-references"),
    (r'a matchesregex "\p{Alpha}"', 1, 16, "alpha"),
    ('a matchesregex "a*+"', 1, 16, "possessive"),
    ('a matchesregex "' + "x" * (MAX_REGEX_CHARS + 1) + '"', 1, 16, "split"),
    ('a matcheswords " "', 1, 16, "contains"),
    ("NOT a == 1", 1, 1, "AND it with"),
    ("a == 1 OR NOT b == 1", 1, 1, "AND it with"),
    ("NOT (a == 1 AND b == 1)", 1, 1, "AND it with"),
    ("a == 1\n  AND b === 2", 2, 9, "did you mean ==?"),
    ("a == 1\r\nAND\r\n\tb !! 2", 3, 4, "did you mean !=?"),
    ("a == 1 AND b == \ud800", 1, 17, "type the character again"),
]


@pytest.mark.parametrize(("text", "canonical"), GOOD)
def test_a_rule_is_printed_in_its_canonical_form(text: str, canonical: str) -> None:
    assert compile_trait_rule(text).canonical == canonical


@pytest.mark.parametrize("text", [row[0] for row in GOOD])
def test_the_canonical_form_is_its_own_canonical_form(text: str) -> None:
    canonical = compile_trait_rule(text).canonical
    assert compile_trait_rule(canonical).canonical == canonical


@pytest.mark.parametrize(("text", "line", "column", "hint"), BAD)
def test_a_bad_rule_tells_where_it_is_wrong_and_how_to_mend_it(
    text: str, line: int, column: int, hint: str
) -> None:
    with pytest.raises(RuleError) as caught:
        compile_trait_rule(text)
    assert (caught.value.line, caught.value.column) == (line, column), caught.value.message
    assert caught.value.hint is not None
    assert hint in caught.value.hint


def test_the_text_as_written_is_kept() -> None:
    assert compile_trait_rule(" a=1 ").text == " a=1 "


def test_nesting_is_allowed_up_to_its_bound_and_refused_beyond() -> None:
    compile_trait_rule("(" * MAX_DEPTH + "a == 1" + ")" * MAX_DEPTH)
    for bomb in (
        "(" * (MAX_DEPTH + 1) + "a == 1" + ")" * (MAX_DEPTH + 1),
        "(" * 60_000,
        "NOT " * 15_000 + "a == 1",
        "NOT (" * 12_000,
    ):
        with pytest.raises(RuleError, match="deep"):
            compile_trait_rule(bomb)


def test_rules_values_and_digits_beyond_their_bounds_are_refused() -> None:
    with pytest.raises(RuleError, match="65,536 are allowed"):
        compile_trait_rule("a == 1 OR " * 20_000 + "a == 1")
    with pytest.raises(RuleError, match="4,096"):
        compile_trait_rule(f'a == "{"x" * (MAX_VALUE_CHARS + 1)}"')
    with pytest.raises(RuleError, match="not one"):
        compile_trait_rule("a > " + "9" * 4_000)


def test_the_longest_rules_compile_and_match() -> None:
    count = MAX_TRAIT_RULE_CHARS // len("k1234 == 1 OR ")
    rule = compile_trait_rule(" OR ".join(f"k{i} == 1" for i in range(count)))
    assert rule.matches({f"k{count - 1}": ["1"]})
    assert not rule.matches({f"k{count}": ["1"]})


def test_a_rule_has_a_bounded_number_of_regular_expressions() -> None:
    text = " OR ".join(f'a matchesregex "{i}[^x]{{600}}"' for i in range(MAX_REGEXES))
    compile_trait_rule(text)
    with pytest.raises(RuleError, match="at most 100 regular expressions"):
        compile_trait_rule(f'{text} OR a matchesregex "x"')


def test_a_regular_expression_that_would_need_too_much_memory_is_refused() -> None:
    with pytest.raises(RuleError, match="too large"):
        compile_trait_rule(r'a matchesregex "(\pL{100}){9}"')

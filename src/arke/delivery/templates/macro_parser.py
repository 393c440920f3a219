r"""From the text of a macro template to its syntax tree, with every name resolved.

    template  = { text | tag }
    tag       = "<" path [ ":" "{" name "|" template "}" ] [ ";" "separator" "=" string ] ">"
              | "<if(" any ")>" template { "<elseif(" any ")>" template } [ "<else>" template ] "<endif>"
              | "<!" comment "!>" | "<\n>" (also \t, \r and a space)
    path      = name { "." ( name | number ) }
    any       = all { "||" all } ;  all = not { "&&" not } ;  not = "!" not | "(" any ")" | path

In text `\<`, `\}` and `\\` stand for the character after the backslash; any other backslash is itself, as
is `}` outside a list's body. This is the part of StringTemplate that Audience Manager documents (dossier
8).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NoReturn

from arke.delivery.templates.macro_nodes import (
    Block,
    Choice,
    Each,
    Insert,
    Join,
    Scope,
    Text,
    all_of,
    any_of,
    holds,
    negated,
    resolve,
)
from arke.delivery.templates.macros import LITERALS
from arke.delivery.templates.output import MAX_DEPTH, check_length
from arke.errors import RuleError

if TYPE_CHECKING:
    from arke.delivery.templates.macro_nodes import Condition, Node, Source
    from arke.delivery.templates.output import Escape

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
PATH = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\s*\.\s*(?:[A-Za-z_][A-Za-z0-9_]*|[0-9]+))*")
STRING = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
CONTROL = re.compile(r"(if|elseif)\s*\(|(else|endif)\s*>", re.IGNORECASE | re.ASCII)
WHITESPACE_TAG = re.compile(r"(?:\\[ntr ])+>")
BACKSLASHED = {"n": "\n", "t": "\t", "r": "\r", " ": " "}
CLOSE_HINT = "inside a list's body a literal brace is written <OPEN_BRACKET> or <CLOSE_BRACKET>"
TEXT_HINT = r"a literal < is written \<"


class MacroParser:
    """One pass over one template's text."""

    def __init__(self, text: str, escape: Escape) -> None:
        check_length(text)
        self._text = text
        self._at = 0
        self._escape = escape
        self._depth = 0

    def parse(self) -> Block:
        block, end = self._block(Scope(), in_list=False)
        if end is not None:
            self._fail(
                f"<{end}> without an <if(...)> before it", self._at, "take it out, or open it with <if(...)>"
            )
        return block

    def _block(self, scope: Scope, *, in_list: bool) -> tuple[Block, str | None]:
        """Text and tags up to what ends them: the end (None), `}` of a list's body, or a control word."""
        if self._depth > MAX_DEPTH:
            self._fail(
                f"nested more than {MAX_DEPTH} deep", self._at, "a body needs users and their lists only"
            )
        nodes: list[Node] = []
        while self._at < len(self._text):
            literal = self._literal(stop="<}" if in_list else "<")
            if literal:
                nodes.append(Text(literal))
            if self._at == len(self._text):
                break
            if self._text[self._at] == "}":
                return Block(tuple(nodes)), "}"
            control = CONTROL.match(self._text, self._at + 1)
            word = (control[1] or control[2]).lower() if control else None
            if word in {"else", "elseif", "endif"}:
                return Block(tuple(nodes)), word
            node = self._choice(scope) if word == "if" else self._tag(scope)
            if node is not None:
                nodes.append(node)
        return Block(tuple(nodes)), None

    def _literal(self, stop: str) -> str:
        chars: list[str] = []
        while self._at < len(self._text) and self._text[self._at] not in stop:
            if self._text[self._at] == "\\" and self._text[self._at + 1 : self._at + 2] in {"<", "}", "\\"}:
                self._at += 1
            chars.append(self._text[self._at])
            self._at += 1
        return "".join(chars)

    def _tag(self, scope: Scope) -> Node | None:
        start = self._at
        self._at += 1
        if self._accept("!"):
            end = self._text.find("!>", self._at)
            if end < 0:
                self._fail("the comment is not closed", start, "end it with !>")
            self._at = end + 2
            return None
        if spaces := WHITESPACE_TAG.match(self._text, self._at):
            self._at = spaces.end()
            return Text("".join(BACKSLASHED[char] for char in spaces[0][1:-1:2]))
        self._spaces()
        name_at, path = self._at, self._path()
        literal = LITERALS.get(path.upper())
        if literal is not None:
            self._expect(">", f"<{path}> is not closed")
            return Text(literal)
        source = self._resolve(scope, path, name_at)
        self._spaces()
        return self._value(scope, source, start)

    def _value(self, scope: Scope, source: Source, start: int) -> Node:
        body = self._body(scope, source) if self._accept(":") else None
        separator = self._separator()
        hint = 'it ends with >, or with ; separator="...">' if body is None else CLOSE_HINT
        self._expect(">", f"<{source.name} is not closed", hint)
        if body is not None:
            return Each(source, body, separator)
        if source.items is None:
            return Insert(source, self._escape)
        if source.items != "text":
            hint = f"write <{source.name}:{{x|...<x.field>...}}>"
            self._fail(f"<{source.name}> is a list of {source.items}s, not a text", start, hint)
        return Join(source, separator, self._escape)

    def _body(self, scope: Scope, source: Source) -> Block:
        start = self._at
        if source.items is None:
            self._fail(f"{source.name} is a single value, not a list", start, f"write <{source.name}>")
        self._expect("{", f"the body of {source.name} is missing", "write {x|...} after the colon")
        self._spaces()
        variable = NAME.match(self._text, self._at)
        if variable is None:
            self._fail("the name of the item is missing", self._at, "write {x|...<x.field>...}")
        self._at = variable.end()
        self._expect("|", f"no | after {variable[0]}", "write {x|...<x.field>...}")
        self._depth += 1
        body, end = self._block(scope.inside(variable[0], source.items), in_list=True)
        self._depth -= 1
        if end is None:
            self._fail(f"the body of {source.name} is not closed", start, "end it with }")
        if end != "}":
            self._fail(f"<{end}> without an <if(...)> inside this list's body", self._at)
        self._at += 1
        return body

    def _separator(self) -> str:
        if not self._accept(";"):
            return ""
        self._spaces()
        word = NAME.match(self._text, self._at)
        if word is None or word[0].lower() != "separator":
            self._fail('expected separator="..."', self._at, 'the only option is separator=","')
        self._at = word.end()
        self._expect("=", "separator has no value", 'write separator=","')
        self._spaces()
        string = STRING.match(self._text, self._at)
        if string is None:
            self._fail("the separator is not a string", self._at, 'write separator=","')
        self._at = string.end()
        return re.sub(r"\\(.)", lambda m: BACKSLASHED.get(m[1], m[1]), string[1], flags=re.DOTALL)

    def _choice(self, scope: Scope) -> Choice:
        start = self._at
        branches: list[tuple[Condition, Block]] = []
        otherwise = Block(())
        word: str | None = "if"
        self._depth += 1
        while word in {"if", "elseif"}:
            self._at = self._text.index("(", self._at) + 1
            condition = self._any(scope)
            self._expect(")", "the condition is not closed", "write <if(a && !b)>")
            self._expect(">", "the condition is not closed", "write <if(a && !b)>")
            block, word = self._block(scope, in_list=scope.in_list)
            branches.append((condition, block))
        if word == "else":
            self._at = self._text.index(">", self._at) + 1
            otherwise, word = self._block(scope, in_list=scope.in_list)
        if word != "endif":
            self._fail("<if(...)> is not closed", start, "end it with <endif>" if word != "}" else CLOSE_HINT)
        self._at = self._text.index(">", self._at) + 1
        self._depth -= 1
        return Choice(tuple(branches), otherwise)

    def _any(self, scope: Scope) -> Condition:
        terms = [self._all(scope)]
        while self._accept("||"):
            terms.append(self._all(scope))
        return any_of(terms)

    def _all(self, scope: Scope) -> Condition:
        terms = [self._not(scope)]
        while self._accept("&&"):
            terms.append(self._not(scope))
        return all_of(terms)

    def _not(self, scope: Scope) -> Condition:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self._fail(f"nested more than {MAX_DEPTH} deep", self._at)
        if self._accept("!"):
            condition = negated(self._not(scope))
        elif self._accept("("):
            condition = self._any(scope)
            self._expect(")", "the parenthesis is not closed")
        else:
            self._spaces()
            name_at, path = self._at, self._path()
            condition = holds(self._resolve(scope, path, name_at))
        self._depth -= 1
        return condition

    def _path(self) -> str:
        path = PATH.match(self._text, self._at)
        if path is None:
            self._fail("a macro's name is missing", self._at, TEXT_HINT)
        self._at = path.end()
        return re.sub(r"\s", "", path[0])

    def _resolve(self, scope: Scope, path: str, at: int) -> Source:
        try:
            return resolve(scope, path)
        except RuleError as error:
            self._fail(error.message, at, error.hint)

    def _spaces(self) -> None:
        while self._text[self._at : self._at + 1].isspace():
            self._at += 1

    def _accept(self, token: str) -> bool:
        """Step over spaces and the token if it comes next; whether it did."""
        before = self._at
        self._spaces()
        if not self._text.startswith(token, self._at):
            self._at = before
            return False
        self._at += len(token)
        return True

    def _expect(self, token: str, message: str, hint: str | None = None) -> None:
        if not self._accept(token):
            self._fail(message, self._at, hint)

    def _fail(self, message: str, at: int, hint: str | None = None) -> NoReturn:
        line = self._text.count("\n", 0, at) + 1
        column = at - self._text.rfind("\n", 0, at)
        raise RuleError(message, line=line, column=column, hint=hint)

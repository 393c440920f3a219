"""What of Jinja2 a body template may use, checked on the syntax tree before any code is made of it.

The sandbox of Jinja2 keeps a template from reaching Python objects; it does not keep it from using up
time and memory. So the language itself is cut down to what a body needs: output, `for`, `if`, `set`,
arithmetic on integers, a list of filters. There are no calls, so a template cannot reach a method, and
`set` does not carry from one turn of a loop to the next, so nothing grows in a loop. Everything that can
still be large is weighed: `instrument` puts hidden filters around loops, comparisons, slices, joined text and
ranges, and these charge the rendering's budget.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, cast

from jinja2 import nodes

from arke.delivery.templates.jinja_filters import FILTERS, MAX_INTEGER
from arke.delivery.templates.macros import suggest
from arke.delivery.templates.output import MAX_DEPTH
from arke.errors import RuleError

if TYPE_CHECKING:
    from collections.abc import Callable

VARIABLES = (
    "process_time",
    "generated_ts",
    "user_dpid",
    "client_id",
    "destination_id",
    "user_count",
    "users",
)
TESTS = frozenset({"defined", "undefined", "none", "odd", "even"})
RESERVED = frozenset(
    {"self", "super", "caller", "context", "environment", "loop", "range", "varargs", "kwargs"}
)
ALLOWED: tuple[type[nodes.Node], ...] = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const, nodes.List, nodes.Tuple,
    nodes.Dict, nodes.Pair, nodes.For, nodes.If, nodes.Assign, nodes.Getattr, nodes.Getitem, nodes.Slice,
    nodes.Filter, nodes.Test, nodes.CondExpr, nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not,
    nodes.Concat, nodes.Add, nodes.Sub, nodes.Mul, nodes.FloorDiv, nodes.Mod, nodes.Neg, nodes.Keyword,
    nodes.Call,
)  # fmt: skip
TAGS = {
    nodes.Macro: "{% macro %}", nodes.CallBlock: "{% call %}", nodes.FilterBlock: "{% filter %}",
    nodes.AssignBlock: "{% set %}...{% endset %}", nodes.Include: "{% include %}",
    nodes.Import: "{% import %}",
    nodes.FromImport: "{% from %}", nodes.Extends: "{% extends %}", nodes.Block: "{% block %}",
    nodes.With: "{% with %}", nodes.Scope: "{% with %}", nodes.ScopedEvalContextModifier: "{% autoescape %}",
    nodes.Pow: "**", nodes.Div: "/ (use //)", nodes.Pos: "unary +", nodes.NSRef: "set on an attribute",
}  # fmt: skip


def check(tree: nodes.Template) -> None:
    """Refuse what a body template may not use, with line and hint."""
    stored = {name.name for name in tree.find_all(nodes.Name) if name.ctx != "load"}
    _check(tree, stored, depth=0)


def _check(node: nodes.Node, stored: set[str], depth: int) -> None:
    if depth > MAX_DEPTH:
        _fail(node, f"nested more than {MAX_DEPTH} deep", "a body needs users and their lists only")
    if not isinstance(node, ALLOWED):
        what = TAGS.get(type(node), type(node).__name__.lower())
        _fail(node, f"{what} is not available in a body template", "use output, for, if, set and filters")
    further = CHECKS.get(type(node))
    if further is not None:
        further(node, stored)
    for child in node.iter_child_nodes():
        is_called_name = isinstance(node, nodes.Call) and child is node.node
        if not is_called_name:
            _check(child, stored, depth + 1)


def _check_name(node: nodes.Name, stored: set[str]) -> None:
    if node.ctx != "load":
        if node.name in RESERVED or node.name in VARIABLES or node.name.startswith("_"):
            _fail(node, f"the name {node.name} is taken", "choose another")
    elif node.name == "range":
        _fail(node, "range is used without brackets", "write range(3)")
    elif node.name not in stored and node.name not in VARIABLES and node.name != "loop":
        _fail(node, f"there is no variable {node.name}", suggest(node.name, [*VARIABLES, *sorted(stored)]))


def _check_call(node: nodes.Call, _: set[str]) -> None:
    name = node.node.name if isinstance(node.node, nodes.Name) else None
    if name != "range":
        _fail(node, "only range(...) can be called", "use a filter instead: value | upper")
    if node.kwargs or node.dyn_args or node.dyn_kwargs or not 1 <= len(node.args) <= 3:
        _fail(node, "range takes one to three numbers", "write range(3)")


def _check_filter(node: nodes.Filter, _: set[str]) -> None:
    if node.name not in FILTERS:
        _fail(node, f"there is no filter {node.name}", suggest(node.name, sorted(FILTERS)))
    if node.dyn_args or node.dyn_kwargs:
        _fail(node, f"{node.name} takes plain arguments only", f"write |{node.name}(a, b)")


def _check_test(node: nodes.Test, _: set[str]) -> None:
    if node.name not in TESTS:
        _fail(node, f"there is no test {node.name}", suggest(node.name, sorted(TESTS)))


def _check_loop(node: nodes.For, _: set[str]) -> None:
    if node.recursive:
        _fail(node, "a recursive loop is not available in a body template", "loop over the data as it is")


def _check_field(node: nodes.Getattr, _: set[str]) -> None:
    if node.attr.startswith("_"):
        _fail(node, f"there is no field {node.attr}", "fields of the message do not begin with _")


def _check_constant(node: nodes.Const, _: set[str]) -> None:
    if isinstance(node.value, int) and abs(node.value) > MAX_INTEGER:
        _fail(node, "the number is too large", "write it as text")


def _check_pair(node: nodes.Pair, _: set[str]) -> None:
    # Keys are hashed, and a tuple that holds a tuple twice, and so on, takes for ever to hash.
    if not (isinstance(node.key, nodes.Const) and isinstance(node.key.value, str)):
        _fail(node, "a key must be a plain text", 'write {"key": value}')


CHECKS: dict[type[nodes.Node], Callable[[Any, set[str]], None]] = {
    nodes.Name: _check_name,
    nodes.Call: _check_call,
    nodes.Filter: _check_filter,
    nodes.Test: _check_test,
    nodes.For: _check_loop,
    nodes.Getattr: _check_field,
    nodes.Const: _check_constant,
    nodes.Pair: _check_pair,
}


def instrument(node: nodes.Node) -> int:
    """Put the hidden, charging filters in; the weight of the node, a loop inside it counting as one."""
    weight = 1
    for child in list(node.iter_child_nodes()):
        inner = instrument(child)
        if isinstance(child, nodes.For):
            child.iter = _hidden("_loop", child.iter, nodes.Const(inner))
            inner = 1
        weight += inner
    _wrap_children(node)
    return weight


def _wrap_children(node: nodes.Node) -> None:
    """Replace the fields of a node whose values can be large by hidden filters over them."""
    for field, value in node.iter_fields():
        if isinstance(value, nodes.Node):
            setattr(node, field, _wrapped(value))
        elif isinstance(value, list):
            setattr(node, field, [_wrapped(v) if isinstance(v, nodes.Node) else v for v in value])
    if isinstance(node, nodes.Compare):
        node.expr = _hidden("_weighed", node.expr)
        for operand in node.ops:
            operand.expr = _hidden("_weighed", operand.expr)
    elif isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Slice):
        node.node = _hidden("_weighed", node.node)


def _wrapped(node: nodes.Node) -> nodes.Node:
    if isinstance(node, nodes.Concat):
        return _hidden("_concat", nodes.List(node.nodes, lineno=node.lineno))
    if isinstance(node, nodes.Call):
        return _hidden("_range", nodes.List(node.args, lineno=node.lineno))
    return node


def _hidden(name: str, value: nodes.Node, *args: nodes.Expr) -> nodes.Filter:
    return nodes.Filter(cast("nodes.Expr", value), name, list(args), [], None, None, lineno=value.lineno)


def _fail(node: nodes.Node, message: str, hint: str) -> NoReturn:
    raise RuleError(message, line=node.lineno or 1, hint=hint)

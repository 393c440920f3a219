"""A hostile template reaches nothing and uses up nothing: known escapes of Jinja2 sandboxes, and bombs.

The catalog is written by people who may configure destinations, not run code on the machine.
"""

from __future__ import annotations

import pytest

from arke.delivery.body import compile_template
from arke.delivery.templates.output import MAX_TEMPLATE_CHARS
from arke.errors import RuleError
from reference import ends_soon

ESCAPES = [
    "{{ ''.__class__ }}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ ''['__class__'] }}",
    "{{ ''['__cla' ~ 'ss__'] }}",
    "{{ users.__class__ }}",
    "{{ users['__class__'] }}",
    "{{ users[0]['__class__'] }}",
    "{{ users | attr('__class__') }}",
    "{{ users | attr('append') }}",
    "{{ users.append(1) }}",
    "{{ users.append }}",
    "{{ users[0].update({'uuid': 1}) }}",
    "{{ users[0].items() }}",
    "{{ users[0].items }}",
    "{{ users[0].clear }}",
    "{{ client_id.format }}",
    "{{ '{0.__class__}'.format(users) }}",
    "{{ '{0.__class__}' | format(users) }}",
    "{{ '%s' | format(users) }}",
    "{{ '%s' % client_id }}",
    "{{ ''.join(users) }}",
    "{{ client_id.encode() }}",
    "{{ self }}",
    "{{ self.__init__ }}",
    "{{ self._TemplateReference__context }}",
    "{{ context }}",
    "{{ environment }}",
    "{{ caller() }}",
    "{{ super() }}",
    "{{ varargs }}",
    "{{ config }}",
    "{{ request }}",
    "{{ _budget }}",
    "{% set _budget = 1 %}",
    "{% set x = _budget %}",
    "{% for _budget in users %}{% endfor %}",
    "{{ users | _loop(0) }}",
    "{{ users | _weighed }}",
    "{{ cycler('a') }}",
    "{{ cycler.__init__.__globals__ }}",
    "{{ joiner }}",
    "{{ namespace(a=1) }}",
    "{{ lipsum() }}",
    "{{ lipsum.__globals__['os'].popen('id').read() }}",
    "{{ dict(a=1) }}",
    "{{ range.__class__ }}",
    "{{ range }}",
    "{{ range(1).__class__ }}",
    "{{ range(*users) }}",
    "{{ (range)(1, 2, 3, 4) }}",
    "{% for u in users %}{{ loop.__class__ }}{% endfor %}",
    "{% for u in users %}{{ loop._iterable }}{% endfor %}",
    "{% for u in users %}{{ loop['_iterable'] }}{% endfor %}",
    "{% for u in users %}{{ loop.cycle(1, 2) }}{% endfor %}",
    "{% for u in users %}{{ loop.changed }}{% endfor %}",
    "{% for u in users recursive %}{{ loop(users) }}{% endfor %}",
    "{% for u in users %}{{ loop(users) }}{% endfor %}",
    "{% set loop = 1 %}",
    "{% set self = 1 %}{{ self }}",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "{% call users() %}{% endcall %}",
    "{% filter upper %}x{% endfilter %}",
    "{% set x %}x{% endset %}",
    "{% with x = 1 %}{% endwith %}",
    "{% block b %}{% endblock %}",
    "{% extends 'x' %}",
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}",
    "{% from 'os' import system %}",
    "{% autoescape true %}{% endautoescape %}",
    "{% set users.x = 1 %}",
    "{{ users | map('upper') | join }}",
    "{{ users | map(attribute='__class__') | tojson }}",
    "{{ users | join(attribute='__class__') }}",
    "{{ users | map(attribute='uuid.__class__') | tojson }}",
    "{{ users | selectattr('__class__') | tojson }}",
    "{{ users | groupby('__class__') }}",
    "{{ users | sort(attribute='__class__') }}",
    "{{ users | tojson(context=1) }}",
    "{{ users | tojson(**{'indent': 1}) }}",
    "{{ users | tojson(*users) }}",
    "{{ () .__class__ .__base__ }}",
    "{{ (1).__class__ }}",
    "{{ [].__class__ }}",
    "{{ {}.__class__ }}",
    "{{ true.__class__ }}",
    "{{ nope.__class__ }}",
    "{{ users[0].nope.__class__ }}",
    "{{ (users | first('x')).__class__ }}",
    "{{ users[users.__len__()] }}",
    "{{ ''|safe|attr('__html__') }}",
    "{{ 2 ** 3 }}",
    "{{ 1 / 2 }}",
    "{{ users is callable }}",
    "{{ users is filter('x') }}",
    "{{ {users: 1} }}",
]

DOUBLINGS = 40
BOMBS = {
    "endless range": "{% for n in range(9007199254740992) %}x{% endfor %}",
    "range in range in range": "{% for a in range(9999) %}{% for b in range(9999) %}"
    "{% for c in range(9999) %}{% endfor %}{% endfor %}{% endfor %}",
    "range without a loop": "{{ range(9007199254740992) | join }}",
    "search in a range": "{{ 1 if 'a' in range(9007199254740992) else 2 }}",
    "body of a loop": "{% for a in range(9999) %}" + "{{ 1 }}" * 3000 + "{% endfor %}",
    "filters in a loop": "{% for a in range(9999) %}{{ range(9999) | join }}{% endfor %}",
    "condition of a loop": "{% for a in range(9999) if range(9999) | join %}{% endfor %}",
    "output": "{% for a in range(9999) %}" + "x" * 1000 + "{% endfor %}",
    "power": "{{ 9 ** 9 ** 9 }}",
    "products": "{% set a = 9007199254740992 %}" + "{% set a = a * a %}" * DOUBLINGS + "{{ a }}",
    "repetition": "{{ 'x' * 999999999 }}",
    "padding": "{{ '%999999999d' % 1 }}",
    "centre": "{{ 'x' | center(999999999) }}",
    "doubled text": "{% set a = 'xxxxxxxx' %}" + "{% set a = a ~ a %}" * DOUBLINGS + "{{ a }}",
    "joined text": "{% set a = 'xxxxxxxx' %}" + "{% set a = [a, a] | join %}" * DOUBLINGS + "{{ a }}",
    "separators": "{% set a = 'xxxxxxxx' %}" + "{% set a = ['', '', ''] | join(a) %}" * DOUBLINGS + "{{ a }}",
    "replaced text": "{% set a = 'xxxxxxxx' %}" + "{% set a = a | replace('x', a) %}" * DOUBLINGS + "{{ a }}",
    "empty replaced": "{% set a = 'xxxxxxxx' %}" + "{% set a = a | replace('', a) %}" * DOUBLINGS + "{{ a }}",
    "quoted text": "{% set a = '\"' %}" + "{% set a = a | tojson %}" * DOUBLINGS + "{{ a }}",
    "encoded text": "{% set a = '%' %}" + "{% set a = a ~ a | urlencode %}" * DOUBLINGS + "{{ a }}",
    "lists of lists as JSON": "{% set a = [1] %}" + "{% set a = [a, a] %}" * DOUBLINGS + "{{ a | tojson }}",
    "lists of lists as text": "{% set a = [1] %}" + "{% set a = [a, a] %}" * DOUBLINGS + "{{ a }}",
    "lists of lists as string": "{% set a = [1] %}" + "{% set a = [a, a] %}" * DOUBLINGS + "{{ a | string }}",
    "lists of lists compared": "{% set a = [1] %}{% set b = [1] %}"
    + "{% set a = [a, a] %}{% set b = [b, b] %}" * DOUBLINGS
    + "{{ 1 if a == b else 2 }}",
    "lists of lists searched": "{% set a = [1] %}{% set b = [1] %}"
    + "{% set a = [a, a] %}{% set b = [b, b] %}" * DOUBLINGS
    + "{{ 1 if a in [b] else 2 }}",
    "lists of lists selected": "{% set a = [1] %}{% set b = [1] %}"
    + "{% set a = [a, a] %}{% set b = [b, b] %}" * DOUBLINGS
    + "{{ [{'k': a}] | selectattr('k', 'eq', b) | length }}",
    "tuples as keys": "{% set a = (1, 2) %}" + "{% set a = (a, a) %}" * DOUBLINGS + "{{ {a: 1} | tojson }}",
    "tuples as index": "{% set a = (1, 2) %}" + "{% set a = (a, a) %}" * DOUBLINGS + "{{ users[0][a] }}",
    "tuples in a dictionary": "{% set a = (1, 2) %}"
    + "{% set a = (a, a) %}" * DOUBLINGS
    + "{{ 1 if a in users[0] else 2 }}",
    "dictionaries": "{% set a = {} %}" + "{% set a = {'x': a, 'y': a} %}" * DOUBLINGS + "{{ a | tojson }}",
    "long slices": "{% set a = users | tojson %}{% for n in range(9999) %}{% for m in range(99) %}"
    "{{ '' if a[1:] }}{% endfor %}{% endfor %}",
    "deep list": "{% set a = [] %}" + "{% set a = [a] %}" * 3000 + "{{ a | tojson }}",
    "parentheses": "{{ " + "(" * 20000 + "1" + ")" * 20000 + " }}",
    "brackets": "{{ " + "[" * 20000 + "]" * 20000 + " | tojson }}",
    "nots": "{{ 1 if " + "not " * 15000 + "1 }}",
    "sums": "{{ 1" + "+1" * 20000 + " }}",
    "fields": "{{ users" + ".a" * 20000 + " }}",
    "filters": "{{ 'x'" + "|trim" * 10000 + " }}",
    "ifs": "{% if 1 %}" * 2000 + "{% endif %}" * 2000,
    "elifs": "{% if 0 %}" + "{% elif 0 %}" * 4000 + "{% endif %}{{ 1.5 }}",
    "loops in loops": "{% for a in users %}" * 30 + "{% endfor %}" * 30,
    "a number of many digits": "{{ " + "9" * 60000 + " }}",
    "a text of many digits": "{{ ('" + "9" * 60000 + "' | int) + users }}",
    "a long template": " " * (MAX_TEMPLATE_CHARS + 1),
}


@pytest.mark.parametrize("text", ESCAPES)
def test_no_way_out_of_the_sandbox(text: str) -> None:
    """Each is refused as a mistake of the template; none gives a body, and none fails any other way."""
    with pytest.raises(RuleError):
        compile_template(text, "jinja2")


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_soon(name: str) -> None:
    """Within seconds, where left alone they would take hours or all memory."""

    def refused() -> None:
        with pytest.raises(RuleError):
            compile_template(BOMBS[name], "jinja2")

    assert ends_soon(refused)


def test_what_jinja2_could_do_is_not_there_by_default() -> None:
    """Should Jinja2 gain a filter, a global or a tag, templates do not get it unasked."""
    from arke.delivery.templates.jinja import BodySandbox
    from arke.delivery.templates.jinja_filters import FILTERS, HIDDEN
    from arke.delivery.templates.jinja_rules import TESTS

    sandbox = BodySandbox("application/json")
    assert sandbox.globals == {}
    assert set(sandbox.filters) == set(FILTERS) | set(HIDDEN)
    assert set(sandbox.tests) == TESTS
    assert sandbox.loader is None
    assert not sandbox.extensions

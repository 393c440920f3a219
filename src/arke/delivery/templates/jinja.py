"""Body templates in Jinja2: a cut-down language (template_jinja_rules) over plain data, sandboxed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, Undefined, UndefinedError
from jinja2.runtime import LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment

from arke.delivery.templates.jinja_filters import BUDGET, FILTERS, HIDDEN, JsonText, ReadyText, whole_number
from arke.delivery.templates.jinja_rules import TESTS, check, instrument
from arke.delivery.templates.message import segment_number
from arke.delivery.templates.output import Budget, check_length, escape_for, is_json
from arke.domain.message_body import wire_time
from arke.errors import RuleError

if TYPE_CHECKING:
    from types import TracebackType

    from jinja2 import Template
    from jinja2.runtime import Context

    from arke.delivery.templates.message import TemplateMessage, TemplateUser
    from arke.delivery.templates.output import Escape
    from arke.domain.message import SegmentState

LOOP_FIELDS = frozenset({"index", "index0", "revindex", "revindex0", "first", "last", "length"})
FAILURES = (
    TemplateError,
    TypeError,
    ValueError,
    ArithmeticError,
    LookupError,
    AttributeError,
    RecursionError,
)
"""What a template's own mistakes raise while it renders; anything else is Arke's fault and passes."""


class BodySandbox(ImmutableSandboxedEnvironment):
    """Jinja2 without globals, without attributes of Python objects, with integer arithmetic only."""

    intercepted_binops = frozenset({"+", "-", "*", "//", "%"})

    def __init__(self, content_type: str) -> None:
        escape, as_is = (
            escape_for(content_type),
            (JsonText, ReadyText) if is_json(content_type) else (ReadyText,),
        )
        super().__init__(
            undefined=StrictUndefined,
            autoescape=False,
            optimized=False,  # constants are computed at rendering, where the budget is
            finalize=lambda value: _finalized(value, escape, as_is),
            keep_trailing_newline=True,
            cache_size=0,
        )
        self.globals.clear()
        self.filters = {**FILTERS, **HIDDEN}
        self.tests = {name: test for name, test in self.tests.items() if name in TESTS}

    def getattr(self, obj: object, attribute: str) -> object:
        """A field by the name that stands in the template, which an error may therefore repeat."""
        value = self.getitem(obj, attribute)
        return self.undefined(f"there is no field {attribute}") if isinstance(value, Undefined) else value

    def getitem(self, obj: object, argument: object) -> object:
        """A key of a dictionary, an index of a list or text, a field of `loop`; nothing else has fields."""
        if isinstance(obj, Undefined):
            str(obj)  # raises with what Jinja2 knows about it
        if isinstance(obj, dict):
            key = str(argument) if type(argument) is int else argument
            if isinstance(key, str) and key in obj:
                return obj[key]
        elif isinstance(obj, list | tuple | str) and type(argument) is int:
            if -len(obj) <= argument < len(obj):
                return obj[argument]
        elif isinstance(obj, LoopContext) and argument in LOOP_FIELDS:
            return getattr(obj, str(argument))
        return self.undefined("there is no such item")

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> int:
        numbers = whole_number(left, operator), whole_number(right, operator)
        return whole_number(super().call_binop(context, operator, *numbers), operator)


def _finalized(value: object, escape: Escape, as_is: tuple[type[str], ...]) -> str:
    if isinstance(value, as_is):
        return str(value)
    if isinstance(value, str):
        return escape(str(value))
    if type(value) is int or isinstance(value, Undefined):
        return str(value)  # empty for an inline if without else; any other undefined value raises
    raise RuleError(
        "only texts and whole numbers can be written", hint="write other values as JSON: {{ value | tojson }}"
    )


class JinjaBody:
    """A compiled Jinja2 template."""

    def __init__(self, text: str, content_type: str) -> None:
        check_length(text)
        environment = BodySandbox(content_type)
        try:
            tree = environment.parse(text)
            check(tree)
            self._weight = instrument(tree)
            tree.set_environment(environment)
            self._template: Template = environment.from_string(tree)
        except TemplateSyntaxError as error:
            raise RuleError(
                error.message or "not a template", line=error.lineno, hint=_syntax_hint(error)
            ) from error
        except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
            hint = "nest less, and write large numbers as text"
            raise RuleError("the template is beyond what Jinja2 can compile", hint=hint) from error

    def render(self, message: TemplateMessage) -> bytes:
        budget = Budget()
        budget.charge(self._weight)
        context = self._template.new_context({**variables(message), BUDGET: budget})
        try:
            for text in self._template.root_render_func(context):
                budget.write(text)
        except RuleError as error:
            line = self._line(error.__traceback__)
            raise RuleError(error.message, line=line, hint=error.hint) from None
        except FAILURES as error:
            self._fail(error)
        return budget.output()

    def _fail(self, error: Exception) -> NoReturn:
        """Python's own messages may quote a value, so personal data: only their kind is passed on."""
        line = self._line(error.__traceback__)
        if isinstance(error, UndefinedError):
            message = error.message or "a field or item that does not exist is used"
            hint = "docs/reference/templates.md lists the fields; `is defined` tests for one"
        else:
            message = f"a value is not of the kind the template needs ({type(error).__name__})"
            hint = "docs/reference/templates.md says what filters and operators take"
        raise RuleError(message, line=line, hint=hint) from None

    def _line(self, traceback: TracebackType | None) -> int:
        """The innermost line of the template an exception came through."""
        line = 1
        while traceback is not None:
            if traceback.tb_frame.f_code.co_filename == "<template>":
                line = self._template.get_corresponding_lineno(traceback.tb_lineno)
            traceback = traceback.tb_next
        return line


def _syntax_hint(error: TemplateSyntaxError) -> str:
    if "unknown tag" in (error.message or ""):
        return "use output, for, if, set and filters"
    return "check the brackets and that every {% for %} and {% if %} is closed"


def variables(message: TemplateMessage) -> dict[str, object]:
    """What a template sees: plain dictionaries, lists, texts and numbers, made anew for each rendering."""
    return {
        "process_time": wire_time(message.process_ts),
        "generated_ts": message.generation_time,
        "user_dpid": message.dpid,
        "client_id": message.client_id,
        "destination_id": message.destination_id,
        "user_count": len(message.users),
        "users": [_user(message, user) for user in message.users],
    }


def _user(message: TemplateMessage, user: TemplateUser) -> dict[str, object]:
    return {
        "uuid": user.entry.uuid,
        "partner_id": user.entry.partner_id,
        "regions": list(user.entry.regions),
        "segments": [_segment(segment) for segment in user.entry.segments],
        "partner_ids": {str(dpid): user.partner_ids[dpid] for dpid in sorted(user.partner_ids)},
        "user_agent": user.user_agent,
        "ip": user.ip,
        "seen_ts": message.seen_time(user),
        "random": message.random(user),
    }


def _segment(segment: SegmentState) -> dict[str, object]:
    return {
        "alias": segment.alias,
        "segment_id": segment_number(segment),
        "status": int(segment.active),
        "date_time": wire_time(segment.verified_ts),
        "verified_ts": segment.verified_ts,
    }

"""Every error Arke raises on purpose, in one tree.

ArkeError
├── InvalidInput            what somebody gave us is wrong: exit code 2, HTTP 400
│   ├── RuleError           a trait or segment rule; knows line and column inside the rule
│   ├── CatalogError        one or many problems in a catalog file, each with its place
│   ├── SettingsError       arke.toml, the environment or an option
│   ├── EventError          one event; knows its code, costs only itself
│   ├── ScriptError         a line of a simulate script
│   ├── NotFound            nothing has the id or number that was asked for: HTTP 404
│   └── DataExposed         others may use the data directory
├── Refused                 well formed, and not allowed
│   ├── Unauthorized        no token, a wrong one, or one without the scope: HTTP 401 / 403
│   ├── Overloaded          a bounded queue is full: HTTP 429 with Retry-After
│   ├── CatalogChanged      another catalog was applied since this one was planned: HTTP 409
│   ├── OtherInForce        another catalog is in force than the one that If-Match names: HTTP 412
│   └── EgressRefused       the address is one Arke must not talk to
├── Unavailable             the work cannot be done now: HTTP 503, exit code 1
│   ├── StoreUnavailable    disk full, I/O error; nothing was acknowledged
│   │   └── Fenced          the shard is another's by now, or not as this owner left it
│   ├── BatchRunning        a batch of this destination is under way; another one would follow it
│   ├── EngineUnreachable   no engine answers where one was expected
│   ├── ShardDown           a shard's process is gone and being restarted
│   ├── ShardMoved          who was asked does not own the shard: another worker does
│   ├── ShardFailed         a shard met an error that nobody foresaw
│   └── DataLocked          another process has this data directory open
├── LogGap                  messages of the log are missing: the shard stops rather than skip them
├── FileRefused             a data file that cannot be loaded as a whole; knows its reason
├── SecretUnresolved        a secret reference leads nowhere (the message names the reference, never a value)
└── StoreTooNew             the store was written by a newer Arke

`code` is stable: the API, the commands and the logs share it. Every class says which HTTP status and which exit
code it comes to, and `rebuild` makes an error again from what crossed a process boundary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping


FORBIDDEN = 403


class ArkeError(Exception):
    """Root of the tree. `status` is the HTTP status, `exit_code` that of a command. `carried` are the attributes
    that go with the message where an error crosses a process boundary; each has a default on its class.
    """

    code: ClassVar[str] = "error"
    status: int = 500
    exit_code: ClassVar[int] = 1
    carried: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        _BY_CODE.setdefault(cls.code, cls)

    def __init__(self, message: str) -> None:
        super().__init__(message)

    @property
    def message(self) -> str:
        return str(self)

    @property
    def to_strangers(self) -> str:
        """The message, as it is told at a door that is open to anybody."""
        return str(self)

    def details(self) -> dict[str, Any]:
        """What the code and the message do not say."""
        return {name: getattr(self, name) for name in self.carried}


_BY_CODE: dict[str, type[ArkeError]] = {ArkeError.code: ArkeError}


def codes_of(kinds: tuple[type[ArkeError], ...]) -> frozenset[str]:
    """The codes of these errors, and of all beneath them."""
    return frozenset().union(*({kind.code} | codes_of(tuple(kind.__subclasses__())) for kind in kinds))


def rebuild(code: str, message: str, details: Mapping[str, Any], status: int | None = None) -> ArkeError:
    """The error that another process raised. A code that is not known here (of a newer version, a door or a proxy)
    goes by its HTTP status, if there is one; else it is Unavailable.
    """
    kind = _BY_CODE.get(code) or _by_status(status)
    error = kind.__new__(kind, message)  # its constructor may make the message of other arguments
    for name in kind.carried:
        if name in details:
            setattr(error, name, details[name])
    return error


def _by_status(status: int | None) -> type[ArkeError]:
    if status == FORBIDDEN:
        return Unauthorized
    return next(
        (kind for kind in (InvalidInput, Unauthorized, Overloaded) if kind.status == status), Unavailable
    )


class InvalidInput(ArkeError):
    """What somebody gave us is wrong."""

    code = "invalid_input"
    status = 400
    exit_code = 2


class RuleError(InvalidInput):
    """A rule does not parse or must not be used.

    `line` and `column` count from 1 inside the rule's own text; `hint` says how to mend it.
    """

    code = "bad_rule"
    carried = ("line", "column", "hint")
    line: int = 1
    column: int = 1
    hint: str | None = None

    def __init__(self, message: str, *, line: int = 1, column: int = 1, hint: str | None = None) -> None:
        super().__init__(message)
        self.line = line
        self.column = column
        self.hint = hint


class CatalogError(InvalidInput):
    """A catalog that cannot be applied. `problems` are ready to print, one a line, each with its place."""

    code = "bad_catalog"
    carried = ("problems",)
    problems: list[str] = []  # noqa: RUF012 - never changed

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class SettingsError(InvalidInput):
    """A setting is unknown, of the wrong type, or out of bounds."""

    code = "bad_settings"


class EventError(InvalidInput):
    """One event is refused. `reason` is the stable code shown to whoever sent it. `id_codes` are those of its ids,
    if it was for them: for the door that refused it, and not carried further.
    """

    code = "bad_event"
    carried = ("reason",)
    reason: str = code
    id_codes: tuple[str, ...] = ()

    def __init__(self, reason: str, message: str, *, id_codes: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.reason = reason
        if id_codes:
            self.id_codes = id_codes


class ScriptError(InvalidInput):
    """A line of a simulate script is wrong."""

    code = "bad_script"


class NotFound(InvalidInput):
    """Nothing has the id, the number or the name that was asked for."""

    code = "not_found"
    status = 404


class Refused(ArkeError):
    """Well formed, and not allowed."""

    code = "refused"


class Unauthorized(Refused):
    """No token, a wrong one, or one without the scope (`forbidden` is then true)."""

    code = "unauthorized"
    status = 401
    exit_code = 2
    carried = ("status",)

    def __init__(self, message: str, *, forbidden: bool = False) -> None:
        super().__init__(message)
        if forbidden:
            self.status = FORBIDDEN

    @property
    def forbidden(self) -> bool:
        return self.status == FORBIDDEN


class Overloaded(Refused):
    """A bounded queue is full. Try again after `retry_after_s` seconds."""

    code = "overloaded"
    status = 429
    carried = ("retry_after_s",)
    retry_after_s: int = 1

    def __init__(self, message: str, *, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class CatalogChanged(Refused):
    """Another catalog was applied while this one was being planned: what its plan says may not be so any more."""

    code = "catalog_changed"
    status = 409


class OtherInForce(Refused):
    """Another catalog is in force than the one that this was to take the place of."""

    code = "other_in_force"
    status = 412


class EgressRefused(Refused):
    """The address is one Arke must not talk to."""

    code = "egress_refused"


class Unavailable(ArkeError):
    """The work cannot be done now."""

    code = "unavailable"
    status = 503


class StoreUnavailable(Unavailable):
    """Disk full or I/O error: nothing of the group was acknowledged. `by_settings`: it will not be any better
    before somebody sets something right.
    """

    code = "store_unavailable"
    by_settings: bool = False

    @property
    def to_strangers(self) -> str:
        """A store names files, servers and users."""
        return "nothing can be stored right now"


class Fenced(StoreUnavailable):
    """The shard has another owner, or is not as this one left it (an older state after a fail-over, or nobody knows
    what of a commit is stored). Whoever is to own it takes it, and begins again from what is stored.
    """

    code = "fenced"


class BatchRunning(Unavailable):
    """A batch of this destination is under way."""

    code = "batch_running"


class EngineUnreachable(Unavailable):
    """No engine answers where one was expected."""

    code = "engine_unreachable"


class ShardDown(Unavailable):
    """A shard's process is gone and being restarted. `unowned`: no worker of the cluster owns the shard."""

    code = "shard_down"
    unowned: bool = False


class ShardFailed(Unavailable):
    """A shard met an error that nobody foresaw; its log says which. The shard is there, and goes on."""

    code = "shard_failed"


class ShardMoved(Unavailable):
    """Whoever was asked does not own the shard, or no longer: another worker is to be asked. Nothing was done."""

    code = "moved"


class DataLocked(Unavailable):
    """Another process has this data directory open."""

    code = "data_locked"


class LogGap(ArkeError):
    """The log lacks messages that a shard has not taken. Going on would lose events: somebody has to decide."""

    code = "log_gap"


class FileRefused(ArkeError):
    """A data file cannot be loaded (on). `reason` is the stable code that its receipt shows."""

    code = "file_refused"
    carried = ("reason",)
    reason: str = code

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class SecretUnresolved(ArkeError):
    """A secret reference leads nowhere. The message names the reference, never a value."""

    code = "secret_unresolved"


class StoreTooNew(ArkeError):
    """The store was written by a newer Arke than this one."""

    code = "store_too_new"

"""Every error Arke raises on purpose, in one tree.

ArkeError
├── InvalidInput            what somebody gave us is wrong: exit code 2, HTTP 400
│   ├── RuleError           a trait or segment rule; knows line and column inside the rule
│   ├── CatalogError        one or many problems in a catalog file, each with its place
│   ├── SettingsError       arke.toml, the environment or an option
│   ├── EventError          one event; knows its code, costs only itself
│   ├── ScriptError         a line of a simulate script
│   └── DataExposed         others may use the data directory
├── Refused                 well formed, and not allowed
│   ├── Unauthorized        no token, a wrong one, or one without the scope: HTTP 401 / 403
│   ├── Overloaded          a bounded queue is full: HTTP 429 with Retry-After
│   └── EgressRefused       the address is one Arke must not talk to
├── Unavailable             the work cannot be done now: HTTP 503, exit code 1
│   ├── StoreUnavailable    disk full, I/O error; nothing was acknowledged
│   ├── BatchRunning        a batch of this destination is under way; another one would follow it
│   ├── EngineUnreachable   no engine answers where one was expected
│   └── ShardDown           a shard's process is gone and being restarted
├── FileRefused             a data file that cannot be loaded as a whole; knows its reason
├── SecretUnresolved        a secret reference leads nowhere (the message names the reference, never a value)
└── StoreTooNew             the store was written by a newer Arke

`code` is stable: the API, the commands and the logs share it.
"""

from __future__ import annotations

from typing import ClassVar


class ArkeError(Exception):
    """Root of the tree."""

    code: ClassVar[str] = "error"


class InvalidInput(ArkeError):
    """What somebody gave us is wrong."""

    code = "invalid_input"


class RuleError(InvalidInput):
    """A rule does not parse or must not be used.

    `line` and `column` count from 1 inside the rule's own text; `hint` says how to mend it.
    """

    code = "bad_rule"

    def __init__(self, message: str, *, line: int = 1, column: int = 1, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.line = line
        self.column = column
        self.hint = hint


class CatalogError(InvalidInput):
    """A catalog that cannot be applied. `problems` are ready to print, one a line, each with its place."""

    code = "bad_catalog"

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class SettingsError(InvalidInput):
    """A setting is unknown, of the wrong type, or out of bounds."""

    code = "bad_settings"


class EventError(InvalidInput):
    """One event is refused. `reason` is the stable code shown to whoever sent it."""

    code = "bad_event"

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class ScriptError(InvalidInput):
    """A line of a simulate script is wrong."""

    code = "bad_script"


class Refused(ArkeError):
    """Well formed, and not allowed."""

    code = "refused"


class Unauthorized(Refused):
    """No token, a wrong one, or one without the scope (`forbidden` is then true)."""

    code = "unauthorized"

    def __init__(self, message: str, *, forbidden: bool = False) -> None:
        super().__init__(message)
        self.forbidden = forbidden


class Overloaded(Refused):
    """A bounded queue is full. Try again after `retry_after_s` seconds."""

    code = "overloaded"

    def __init__(self, message: str, *, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class EgressRefused(Refused):
    """The address is one Arke must not talk to."""

    code = "egress_refused"


class Unavailable(ArkeError):
    """The work cannot be done now."""

    code = "unavailable"


class StoreUnavailable(Unavailable):
    """Disk full or I/O error: nothing of the group was acknowledged."""

    code = "store_unavailable"


class BatchRunning(Unavailable):
    """A batch of this destination is under way."""

    code = "batch_running"


class EngineUnreachable(Unavailable):
    """No engine answers where one was expected."""

    code = "engine_unreachable"


class ShardDown(Unavailable):
    """A shard's process is gone and being restarted."""

    code = "shard_down"


class FileRefused(ArkeError):
    """A data file cannot be loaded (on). `reason` is the stable code that its receipt shows."""

    code = "file_refused"

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class SecretUnresolved(ArkeError):
    """A secret reference leads nowhere. The message names the reference, never a value."""

    code = "secret_unresolved"


class StoreTooNew(ArkeError):
    """The store was written by a newer Arke than this one."""

    code = "store_too_new"

"""Bodies of requests to Segment's API: which calls they hold, and what is said of all of them. Pure."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec

from arke.errors import EventError
from arke.intake.halves import read_with_halves
from arke.intake.segment import KINDS, read_call, read_json

MAX_CALL_BYTES: Final = 32 * 1024
MAX_BATCH_BYTES: Final = 500 * 1024
MAX_CALLS: Final = 2_500
"""Segment's own bounds: bytes of a call, of a batch (unpacked), and calls of a batch."""

BATCH: Final = "batch"
ROUTES: Final[dict[str, str]] = {
    **{f"/v1/{kind}": kind for kind in KINDS},
    "/v1/batch": BATCH,
    # What browsers' libraries, and those of phones, say instead.
    **{f"/v1/{kind[0]}": kind for kind in (*KINDS, BATCH)},
    "/v1/import": BATCH,
}
"""What each address takes: calls of one type, or a batch of any."""


class Said(msgspec.Struct, frozen=True):
    """What a batch says of all its calls. A call's own word counts before it."""

    sent_at: Any = None
    context: Any = None
    integrations: Any = None


class _Batch(msgspec.Struct, rename="camel"):
    batch: list[msgspec.Raw]
    write_key: Any = None
    sent_at: Any = None
    context: msgspec.Raw = msgspec.Raw(b"null")
    integrations: msgspec.Raw = msgspec.Raw(b"null")


class Calls(NamedTuple):
    """The calls of a request, not read yet: of the type `kind`, or of the type that each says itself."""

    calls: list[bytes]
    write_key: str | None
    kind: str | None
    said: Said = Said()

    def read(self, at: int) -> dict[str, Any]:
        """One of the calls. Raises `EventError`."""
        body = self.calls[at]
        if len(body) > MAX_CALL_BYTES:
            raise EventError("line_too_long", f"the call is longer than {MAX_CALL_BYTES} bytes")
        call = read_call(body)
        if self.kind is not None:
            return {**call, "type": self.kind}
        return self._with_said(call)

    def _with_said(self, call: dict[str, Any]) -> dict[str, Any]:
        said = self.said
        if said.sent_at is not None and call.get("sentAt") is None:
            call["sentAt"] = said.sent_at
        for name, common in (("context", said.context), ("integrations", said.integrations)):
            own = call.get(name)
            if common is not None and (own is None or (isinstance(own, dict) and isinstance(common, dict))):
                call[name] = {**common, **own} if own else common
        return call


_batch: Final = msgspec.json.Decoder(_Batch).decode


def calls_in(body: bytes, takes: str) -> Calls:
    """The calls of a request to an address that `takes` a type of call, or batches. Raises `EventError` where the
    request as a whole cannot be read.
    """
    if takes != BATCH:
        return Calls([body], _text(read_call(body).get("writeKey")), takes)
    try:
        found = read_with_halves(_batch, body)
    except UnicodeDecodeError:
        raise EventError("bad_encoding", "the body is not UTF-8") from None
    except msgspec.ValidationError as problem:
        detail = str(problem)[:200].replace("`$.", "`").replace(" - at `$`", "")
        raise EventError("bad_field", f'a batch is {{"batch": [calls]}}: {detail}') from None
    except (ValueError, RecursionError) as problem:
        detail = "nested too deeply" if isinstance(problem, RecursionError) else str(problem)[:200]
        raise EventError("bad_json", f"not a JSON object: {detail}") from None
    if len(found.batch) > MAX_CALLS:
        raise EventError(
            "too_many_events", f"a batch may hold {MAX_CALLS} calls, this one has {len(found.batch)}"
        )
    said = Said(found.sent_at, _common("context", found.context), _common("integrations", found.integrations))
    return Calls([bytes(call) for call in found.batch], _text(found.write_key), None, said)


def _common(name: str, value: msgspec.Raw) -> Any:
    """What is said of all calls is a part of each. Raises `EventError` where it is longer than a call may be, or
    cannot be read.
    """
    if len(bytes(value)) > MAX_CALL_BYTES:
        raise EventError("line_too_long", f"`{name}` is longer than the {MAX_CALL_BYTES} bytes of a call")
    return read_json(msgspec.json.decode, bytes(value), f"`{name}`")


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None

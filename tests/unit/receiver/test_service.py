"""The reference server's answers, without sockets."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from arke.receiver import ReceiverConfig, SigningKey, service
from arke.receiver.http import Request, RequestLog
from arke.receiver.misbehaviour import MisbehaviourPlan
from arke.receiver.service import ReceiverService
from arke.receiver.state import AudienceState

if TYPE_CHECKING:
    import pytest


def test_after_a_hint_none_is_looked_for_five_times_as_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has no key takes a sixth of the server at most."""
    now_s = 100.0

    def hint(*_: Any) -> str:
        nonlocal now_s
        now_s += 2.0
        return "a hint"

    monkeypatch.setattr(service, "time", SimpleNamespace(monotonic=lambda: now_s, time=lambda: now_s))
    monkeypatch.setattr(service, "what_is_wrong", hint)
    state = AudienceState(None, synchronous="normal")
    log = RequestLog(keep=1, out=None)
    server = ReceiverService(
        ReceiverConfig(keys=(SigningKey(secret=b"k"),)),
        state=state,
        log=log,
        plan=MisbehaviourPlan(),
        tokens=None,
        change_plan=lambda _: None,
        on_message=None,
    )
    request = Request(
        method="POST", target="/", headers=(("X-Signature", "x"),), body=b"{}", peer="192.0.2.1"
    )
    told = []
    try:
        for at in (100.0, 102.1, 111.9, 112.0):
            now_s = at
            answer = server.reply(request).answer
            assert answer.status == 403
            told.append(b"a hint" in answer.body)
    finally:
        log.close()
        state.close()
    assert told == [True, False, False, True]

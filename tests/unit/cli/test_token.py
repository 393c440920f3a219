"""A token whose secret nobody has seen."""

from __future__ import annotations

import errno
import io
import os
from typing import Any, Final

import pytest

from arke.cli import token
from arke.errors import ArkeError, EngineUnreachable
from arke.operations.callers import NewToken

FULL: Final = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Full(io.StringIO):
    def flush(self) -> None:
        raise FULL


class Engine:
    """It makes tokens, and is gone when one is revoked."""

    def create_token(self, *_: object) -> NewToken:
        return NewToken("t17", "arke_secret", ["read"], None)

    def revoke_token(self, _: str) -> None:
        raise self.gone

    gone: ArkeError | OSError = EngineUnreachable("no engine answers")


@pytest.mark.parametrize("gone", [EngineUnreachable("no engine answers"), TimeoutError("too late")])
def test_a_token_that_could_not_be_revoked_either_is_named(
    gone: ArkeError | OSError, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def engine(*_: object, **__: Any) -> Engine:
        return Engine()

    monkeypatch.setattr(Engine, "gone", gone)
    monkeypatch.setattr(token, "client", engine)
    monkeypatch.setattr("sys.stdout", Full())
    with pytest.raises(OSError, match=FULL.strerror) as ended:
        token.create("read")
    assert ended.value is FULL
    assert capsys.readouterr().err == f"arke: token t17 is to be revoked, which failed now: {gone}\n"

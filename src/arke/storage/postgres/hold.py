"""What a shard's owner knows of where the shard stands, and how it finds out whether a commit is stored."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from arke.errors import Fenced, StoreUnavailable
from arke.storage.postgres import ownership

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.storage.postgres.connection import Session
    from arke.storage.postgres.ownership import TakenShard
    from arke.storage.postgres.standing import Standing

SETTLE_S: Final = 10.0
"""How long is tried to read back a commit whose answer was lost."""
LOOK_AGAIN_S: Final = 0.1


class Hold:
    """One owner's hold on a shard, changed in the thread of the session that writes. `standing` is where its last
    commit left the shard; `proved_at` is when ownership was last proved, on the monotonic clock, as of before the
    proof was asked for.
    """

    def __init__(self, taken: TakenShard, settle_s: float = SETTLE_S) -> None:
        self.shard = taken.shard
        self.standing = taken.standing
        self.proved_at = taken.proved_at
        self.settle_s = settle_s

    def proved(self, standing: Standing, asked_at: float) -> None:
        """The shard is ours, and stands there."""
        self.standing, self.proved_at = standing, asked_at

    def another(self) -> Fenced:
        """Why nothing is written any more."""
        epoch = self.standing.epoch
        return Fenced(f"shard {self.shard} has another owner, or is not as epoch {epoch} left it")


def read_back(session: Session, holds: Sequence[Hold], error: StoreUnavailable) -> list[Exception | None]:
    """Whether commits whose answers were lost are stored. None: it is; `error`: it is not; Fenced: the shard is
    another's, or nobody can say, and whoever believed that it is not stored would make it twice.
    """
    end = time.monotonic() + max(hold.settle_s for hold in holds)
    answers: list[Exception | None] = []
    for hold in holds:
        try:
            answers.append(None if _stored(session, hold, end) else error)
        except Fenced as fenced:
            answers.append(fenced)
        except StoreUnavailable:
            break
    unknown = [
        Fenced(f"shard {hold.shard}: nobody knows whether a commit is stored: {error}")
        for hold in holds[len(answers) :]
    ]
    return [*answers, *unknown]


def _stored(session: Session, hold: Hold, end: float) -> bool:
    """Asks until somebody answers. Raises Fenced, and StoreUnavailable where nobody did until `end`."""
    while True:
        try:
            return _asked(session, hold)
        except Fenced:
            raise
        except StoreUnavailable:
            if time.monotonic() >= end:
                raise
        time.sleep(LOOK_AGAIN_S)


def _asked(session: Session, hold: Hold) -> bool:
    asked_at, before = time.monotonic(), hold.standing
    found = session.do(lambda connection: ownership.settle(connection, hold.shard, before))
    if found is None:
        raise hold.another()
    check_confirmed(session)
    standing, stored = found
    hold.proved(standing, asked_at)
    return stored


def prove(session: Session, holds: Sequence[Hold]) -> list[Exception | None]:
    """Prove without a commit that shards are ours, in one statement: None, or Fenced. Raises StoreUnavailable."""
    asked_at = time.monotonic()
    epochs = [(hold.shard, hold.standing.epoch) for hold in holds]
    found = session.do(lambda connection: ownership.prove(connection, epochs))
    check_confirmed(session)
    answers: list[Exception | None] = []
    for hold in holds:
        before, now = hold.standing, found.get(hold.shard)
        if now is None or (now.epoch, now.commits) != (before.epoch, before.commits):
            answers.append(hold.another())
        else:
            hold.proved(before, asked_at)
            answers.append(None)
    return answers


def check_confirmed(session: Session) -> None:
    """Raises StoreUnavailable where the standby of a primary that waits for one says nothing."""
    if session.warned:
        raise StoreUnavailable(f"{session.server.name}: no standby confirms what is written")

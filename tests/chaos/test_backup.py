"""A backup made under load while engine and backup are killed, restored, and gone on from (QUALITY 18).

What was acknowledged before the backup is there. What destinations were told after it nobody knows any more,
about new ids least of all; and yet in the end each was last told exactly what the engine believes (QUALITY 11),
about every id that anybody has named since. No message id stands for two messages.
"""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import time
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from chaos import verdict
from chaos.storm import VISITORS, Storm
from chaos.visitors import DEVICES, Sent, Visitor
from e2e.catalogs import IN_MARKET, LENSES, STILL_LOOKING, TOLD, catalog, device
from e2e.engine_process import ARKE
from patience import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from pathlib import Path

ALIASES = {number: str(number) for number in (IN_MARKET, LENSES, STILL_LOOKING, TOLD)}
WELL, AT_NIGHT = 1, 2
LATE = VISITORS
"""The number of the visitor who comes after the backup: nothing of his devices is in it."""
EVENTS = 300


def test_a_backup_under_load_is_gone_on_from(tmp_path: Path) -> None:
    BackupStorm(tmp_path, seed=random.randrange(1 << 32)).rage(kills=3)


class BackupStorm(Storm):
    """Lives, is backed up, lives on, loses its disk, is restored, lives on."""

    OPTIONS: ClassVar = {WELL: {}, AT_NIGHT: {"realtime": False, "batch": {"every": "24h"}}}
    FAILING: ClassVar = ()

    def catalog(self) -> str:
        return catalog(self.destinations()).replace(
            '"rule": "1000T"', '"rule": "frequency([1000T,1001T,1002T] <= 60D) >= 1 AND 1000T"'
        )

    def begin(self) -> None:
        super().begin()
        self.backup = self.folder / "backup"
        self.late = self.visitor(LATE)

    def calm(self) -> None:
        """What the storm is about, between the last kill and the end."""
        wait_until(self.engine.ready, "the shards to be back")
        before = self.events_from(EVENTS)
        self.back_up_with_a_kill()
        self.manifest = json.loads(self.arke("backup", str(self.backup), "--json").stdout)
        assert self.manifest["live"]
        self.late.start()
        self.visitors.append(self.late)
        wait_until(lambda: self.late.acknowledged > EVENTS // 2, "ids that the backup knows nothing of")
        assert self.client.run_batch(AT_NIGHT, lambda _: None, resync=False).finished_at
        before += 1
        wait_until(lambda: self.acknowledged() > before + EVENTS, "events after the backup")
        self._open_to = None
        self.engine.kill()
        self.gap = (self.manifest["at"], time.time())
        shutil.move(self.engine.data, self.folder / "lost")
        said = self.arke("restore", str(self.backup)).stdout
        assert "restates" in said
        self._start()
        resumed = self.acknowledged()
        wait_until(lambda: self.acknowledged() > resumed + EVENTS, "events after the restore")
        for visitor in self.visitors:
            visitor.stop()
        wait_until(self.engine.ready, "the shards to be there")
        self.name_everybody_again()
        self.deliver_everything()
        wait_until(self.restated, "every destination to be restated")
        assert self.client.run_batch(AT_NIGHT, lambda _: None, resync=False).owed == 0
        self.deliver_everything()

    def events_from(self, count: int) -> int:
        wait_until(lambda: self.acknowledged() > count, "events before the backup")
        self.early = [one for visitor in self.visitors for one in visitor.sent if one.acknowledged]
        return self.acknowledged()

    def back_up_with_a_kill(self) -> None:
        """Backups that are killed, at whatever point they are, are no obstacle to the next."""
        for _ in range(3):
            process = subprocess.Popen(
                [ARKE, "backup", str(self.backup)],
                env={**self.engine.environ, "ARKE_DATA": str(self.engine.data)},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd=self.folder,
            )
            wait_until(partial(self.has_begun, process), "a backup to begin")
            time.sleep(self.random.uniform(0, 0.05))  # the moment of death is the test's input
            process.send_signal(signal.SIGKILL)
            process.wait(PATIENCE_S)
            if (self.backup / "backup.json").exists():
                shutil.rmtree(self.backup)

    def has_begun(self, process: subprocess.Popen[bytes]) -> bool:
        return (self.backup / "unfinished.json").exists() or process.poll() is not None

    def arke(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        done = self.engine.arke(*arguments)
        assert done.returncode == 0, done.stderr
        return done

    def name_everybody_again(self) -> None:
        """Who was told something and is never named again, nothing can name to a destination either."""
        for visitor in self.visitors:
            for number in visitor.devices:
                for one in self.last_words(visitor, number):
                    visitor.sent.append(one)
                    wait_until(partial(self._taken, one), "an event to be taken")
                    one.acknowledged = True

    def last_words(self, visitor: Visitor, number: int) -> list[Sent]:
        ts = self._base_ts + visitor.devices.start // DEVICES * 200_000 + 150_000 + number
        return [
            Sent(number, f"p{number}", "bag", ts),
            Sent(number, f"p{number}", told=self.random.choice((0, 1))),
        ]

    def restated(self) -> bool:
        found = {
            one.destination: [run for run in one.runs if run.trigger == "restore"]
            for one in self.client.batches()
        }
        return all(
            runs and runs[0].mode == "restate" and runs[0].finished_at is not None for runs in found.values()
        )

    def judge(self, kills: int) -> None:
        sent = [one for visitor in self.visitors for one in visitor.sent]
        uuids = {device(number) for visitor in self.visitors for number in visitor.devices}
        partners = {f"p{number}" for visitor in self.visitors for number in visitor.devices}
        kept = verdict.read(self.engine.data, uuids, partners)
        assert verdict.lost_events(kept, self.early) == []
        assert verdict.invented_realisations(kept, sent) == []
        assert (kept.owed, kept.moves) == (0, 0)
        assert kept.owners == {f"p{int(uuid)}": uuid for uuid in uuids}
        believed = verdict.beliefs(kept, ALIASES)
        for number, receiver in self.receivers.items():
            told = {partner: receiver.segments_of(partner) for partner in believed}
            wrong = [partner for partner in believed if told[partner] != believed[partner]]
            assert not wrong, verdict.story(number, kept, sent, receiver.messages(), wrong[0], believed)
            ledger = verdict.ledger_beliefs(kept, number)
            assert {partner: ledger.get(partner, set()) for partner in believed} == believed
            assert self.ids_that_lie(receiver.messages()) == []

    def ids_that_lie(self, records: list[Any]) -> list[str]:
        """Message ids under which different things were said: whoever goes by them would have missed the second."""
        bodies: dict[str, set[bytes]] = {}
        for record in records:
            bodies.setdefault(record.request.header("webhook-id"), set()).add(said_in(record.request.body))
        return [name for name, said in bodies.items() if len(said) > 1]


def said_in(body: bytes) -> bytes:
    """A message without its times."""

    def bare(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: bare(one) for key, one in value.items() if key not in ("ProcessTime", "DateTime")}
        return [bare(one) for one in value] if isinstance(value, list) else value

    return msgspec.json.encode(bare(msgspec.json.decode(body)))

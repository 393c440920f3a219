"""kill -9 at random moments while everything goes on at once: events, batches on command, files, catalog edits and
the deletions they have to survive (QUALITY 1, 11, 13, 16).

Three destinations: one hears in real time only, one by batches only, one by both, and that one fails now and then.
"""

from __future__ import annotations

import json
import random
from itertools import count, cycle
from typing import TYPE_CHECKING, ClassVar

import msgspec
import pytest

from arke.onboarding.receipt import Receipt
from chaos import verdict
from chaos.operators import BatchRunner, DataFile, Editor, Eraser, FileSender, Operator
from chaos.storm import VISITORS, Storm
from e2e.catalogs import DPID, IN_MARKET, LENSES, STILL_LOOKING, TOLD, catalog, device
from e2e.engine_process import EngineProcess
from patience import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from chaos.visitors import Visitor

WELL, FAILING, BATCH_ONLY = 1, 2, 3
DOOMED = "doomed-partner-"
"""How the partner ids of those begin who are deleted: nothing else in a file looks like it."""
FIRST_DOOMED = 10**30
"""Their devices' numbers: nor like these."""
ALWAYS = (IN_MARKET, LENSES, STILL_LOOKING, TOLD)
OWN = 501
ONBOARDED = {number: 2_000 + number for number in range(VISITORS)}
"""Each visitor's onboarded trait."""
LISTED = {number: 20_000 + number for number in range(VISITORS)}
"""The segment of each onboarded trait."""
EDITED, FIRST_ADDED = 30_000, 30_001
EDITS = ("1000T", "1001T AND NOT 1002T", "1002T", "1000T OR 1001T")
ADDED = 4
"""Segments that come with their mappings one by one, and then leave all at once."""
KILLS = 40
AT_LEAST = 5
"""Of everything that operators do, or the storm was none."""
LINES = 400
STRANGE = 0.02
"""The share of lines that name nobody."""
FIRST_FILE_AT = 1_777_600_000


def test_everything_at_once(tmp_path: Path) -> None:
    """Killed again and again: everything that was asked for is done, once, and everybody was told."""
    EverythingStorm(tmp_path, seed=random.randrange(1 << 32)).rage(kills=KILLS)


@pytest.mark.soak
def test_everything_for_long(tmp_path: Path) -> None:
    """The long run."""
    EverythingStorm(tmp_path, seed=random.randrange(1 << 32)).rage(kills=10 * KILLS)


class EverythingStorm(Storm):
    """Events of visitors, of whom one has all its devices deleted, and operators."""

    OPTIONS: ClassVar = {WELL: {"batch": False}, FAILING: {}, BATCH_ONLY: {"realtime": False}}
    FAILING: ClassVar = (FAILING,)

    def __init__(self, folder: Path, *, seed: int) -> None:
        super().__init__(folder, seed=seed)
        self._doomed = self.visitor(VISITORS, partners=DOOMED, first=FIRST_DOOMED)
        self._batches = [BatchRunner(lambda: self.client, number, seed) for number in (FAILING, BATCH_ONLY)]
        self._files = FileSender(lambda: self.client, self._data_files())
        self._editor = Editor(lambda: self.client, folder, (self.edition(n) for n in count(1)))
        self._eraser = Eraser(
            lambda: self.client, self._doomed.devices, lambda number: f"{DPID}:{DOOMED}{number}"
        )
        self._told: dict[int, dict[str, set[str]]] = {}
        self._receipts: dict[str, Receipt] = {}

    @property
    def operators(self) -> list[Operator]:
        return [*self._batches, self._files, self._editor, self._eraser]

    # --- the catalog and its edits ----------------------------------------------------------------------

    def catalog(self) -> str:
        return self.edition(0)

    def edition(self, number: int) -> str:
        """Each has another rule for one segment, and one segment more than the one before, or again none."""
        added = number % (ADDED + 1)
        rules = {EDITED: EDITS[number % len(EDITS)]}
        rules |= {LISTED[visitor]: f"{trait}T" for visitor, trait in ONBOARDED.items()}
        rules |= {FIRST_ADDED + place: EDITS[place] for place in range(added)}
        mapped = [*ALWAYS, *rules]
        # A window over every trait: all realisations are kept one by one, so that each can be looked up.
        rules[EDITED] += " AND frequency([1000T,1001T,1002T] <= 60D) >= 1"
        return self._catalog_with(rules, mapped)

    def _catalog_with(self, rules: dict[int, str], mapped: list[int]) -> str:
        whole = json.loads(
            catalog([{**one, "segments": [{"segment": n} for n in mapped]} for one in self.destinations()])
        )
        whole["traits"] += [
            {"id": trait, "kind": "onboarded", "data_source": OWN} for trait in ONBOARDED.values()
        ]
        whole["segments"] += [{"id": number, "rule": rule} for number, rule in rules.items()]
        return json.dumps(whole)

    # --- files ------------------------------------------------------------------------------------------

    def _data_files(self) -> Iterator[DataFile]:
        """Most name devices that stay, and lines that are nobody's; every third is about the doomed."""
        dice = random.Random(f"{self._seed}/files")
        for at, kind in zip(count(FIRST_FILE_AT), cycle(("sync", "sync", "doomed", "overwrite"))):
            suffix = "sync" if kind == "doomed" else kind
            path = self.folder / f"ftp_dpm_0_{OWN}_{at}.{suffix}"
            visitors = [self._doomed] if kind == "doomed" else self.visitors
            path.write_text("".join(self._line(dice, visitors) for _ in range(LINES)))
            yield DataFile(path, kind != "doomed")

    def _line(self, dice: random.Random, visitors: list[Visitor]) -> str:
        if dice.random() < STRANGE:
            return "nobody\td_sid=2000\n"
        uuid = device(dice.choice(dice.choice(visitors).devices))
        word = dice.choice(("d_sid", "d_sid", "d_unsid"))
        return f"{uuid}\t{word}={dice.choice(list(ONBOARDED.values()))}\n"

    # --- its course -------------------------------------------------------------------------------------

    def begin(self) -> None:
        super().begin()
        for one in (self._doomed, *self.operators):
            one.start()

    def calm(self) -> None:
        """What was asked for is waited for; then a last batch, and those who hear in real time see everybody."""
        self._doomed.stop()
        super().calm()
        for operator in self.operators:
            operator.stop()
        client = self.client
        client.apply(self.folder / "last.yaml", self.edition(self._editor.applied), dry_run=False)
        self._eraser.delete_everybody(client, self._doomed.devices)
        wait_until(self._all_loaded, "files to be loaded")
        wait_until(lambda: client.status().backfilled == 1.0, "the backfill")
        self.deliver_everything()
        wait_until(self._all_deleted, "deletions")
        wait_until(lambda: not self._traces(), "the files to be written anew")
        wait_until(self._no_batch_runs, "batches to end")
        for runner in self._batches:
            assert client.run_batch(runner.destination, lambda _: None, resync=False).owed == 0
            self._note_told(runner.destination)
        for visitor in self.visitors:
            self.engine.accept(*({"uuid": device(number)} for number in visitor.devices))
        self.deliver_everything()
        self._note_told(WELL)
        for runner in self._batches:
            verdict.check_runs(runner.runs(client), runner.begun)

    def stop(self) -> None:
        super().stop()
        for operator in self.operators:
            operator.abandon()

    def _all_loaded(self) -> bool:
        for file in self._files.sent:
            if file.path.name not in self._receipts:
                receipt = self._files.receipt(self.client, file)
                if receipt is None:
                    return False
                self._receipts[file.path.name] = receipt
        return True

    def _all_deleted(self) -> bool:
        """Privacy requests end when all were told; what failed meanwhile is owed, and sent again."""
        self.engine.delivered()
        before: int | None = None
        while page := self.client.privacy_list(before):
            if any(report.state != "done" for report in page):
                return False
            before = page[-1].number
        return True

    def _no_batch_runs(self) -> bool:
        return not any(one.running for one in self.client.batches())

    def _note_told(self, destination: int) -> None:
        receiver = self.receivers[destination]
        partners = {one.partner for visitor in self.visitors for one in visitor.sent}
        self._told[destination] = {partner: receiver.segments_of(partner) for partner in partners}

    # --- the verdict ------------------------------------------------------------------------------------

    def _done(self) -> list[int]:
        """How often each operator had its way: batches, files, edits."""
        return [*(len(runner.begun) for runner in self._batches), len(self._files.sent), self._editor.applied]

    def enough(self) -> bool:
        return min(self._done()) > AT_LEAST

    def judge(self, kills: int) -> None:
        sent = [one for visitor in self.visitors for one in visitor.sent]
        everybody = [device(n) for visitor in self.visitors for n in visitor.devices]
        kept = verdict.read(self.engine.data, everybody, (one.partner for one in sent))
        assert verdict.lost_events(kept, sent) == []
        assert verdict.invented_realisations(kept, sent) == []
        assert verdict.wrong_memberships(kept, sent) == []
        assert verdict.wrong_owners(kept, sent) == []
        assert (kept.owed, kept.moves) == (0, 0)
        self._judge_files(kept)
        self._judge_the_doomed()
        believed = verdict.beliefs(kept, self._aliases())
        for number, told in self._told.items():
            wrong = [partner for partner in believed if told[partner] != believed[partner]]
            messages = self.receivers[number].messages()
            assert not wrong, verdict.story(number, kept, sent, messages, wrong[0], believed)
            ledger = verdict.ledger_beliefs(kept, number)
            assert {partner: ledger.get(partner, set()) for partner in believed} == believed
            repeated = verdict.duplicates(messages)
            print(f"destination {number}: {len(messages)} messages, {repeated} repeated")
        assert self.enough(), self._done()

    def _aliases(self) -> dict[int, str]:
        whole = json.loads(self.edition(self._editor.applied))
        return {segment["id"]: str(segment["id"]) for segment in whole["segments"]}

    def _judge_files(self, kept: verdict.Kept) -> None:
        """Receipts add up; those of files that name only who stays, and the traits that these have left, are
        as if nobody had been killed.
        """
        for receipt in self._receipts.values():
            assert receipt.state == "done"
            assert receipt.received == LINES == receipt.stored + sum(receipt.errors.values())
        peace = EngineProcess(self._folder_of_peace(), environ={"WEBHOOK": "chaos-key"})
        peace.apply(self.catalog())
        files = [file.path for file in self._files.sent if file.kept]
        loaded = peace.arke("onboard", "--json", *(str(file) for file in files))
        receipts = [msgspec.json.decode(line, type=Receipt) for line in loaded.stdout.splitlines()]
        assert [receipt.file for receipt in receipts] == [file.name for file in files]
        for receipt in receipts:
            assert verdict.counters(self._receipts[receipt.file]) == verdict.counters(receipt)
        unkilled = verdict.onboarded(verdict.read(peace.data, kept.profiles, ()))
        assert verdict.onboarded(kept) == unkilled

    def _folder_of_peace(self) -> Path:
        folder = self.folder / "peace"
        folder.mkdir()
        return folder

    def _judge_the_doomed(self) -> None:
        """Gone from every file, and out of everything at every destination."""
        partners = {one.partner for one in self._doomed.sent}
        assert self._traces() == {}
        for number, receiver in self.receivers.items():
            still = {partner for partner in partners if receiver.segments_of(partner)}
            assert not still, f"destination {number} was never told that {sorted(still)} are gone"

    def _traces(self) -> dict[str, list[str]]:
        """Where the engine's files still name the doomed."""
        names = [DOOMED, *(device(number) for number in self._doomed.devices)]
        return verdict.left_behind([self.engine.data, self.engine.log_file], names)

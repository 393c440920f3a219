"""`arke demo` as somebody who has just cloned the repository runs it, with every sum checked."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from arke.delivery.channel import TIMEOUT_S
from arke.receiver import SigningKey, parse, verify
from patience import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from pathlib import Path

A_MINUTE_S = 60
STANDS_STILL_S = TIMEOUT_S + 0.5
KEYS = {
    "aurora": lambda secret: SigningKey(secret=secret),
    "borealis": lambda secret: SigningKey(secret=secret, header="X-Borealis-Signature", algorithm="sha256"),
}


def demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "arke", "demo", *arguments],
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE_S,
    )


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "kept"


@pytest.fixture(scope="module")
def summary(kept: Path) -> dict[str, Any]:
    done = demo("--for", "3s", "--visitors", "1000", "--json", "--keep", str(kept))
    assert done.returncode == 0, done.stdout[:4_000] + done.stderr
    assert done.stderr == ""
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_it_ends_by_itself_and_everything_adds_up(summary: dict[str, Any]) -> None:
    assert summary["ok"] is True
    assert summary["problems"] == []
    assert summary["visitors"] == 1_000


@pytest.mark.soak
def test_it_ends_within_a_minute(summary: dict[str, Any]) -> None:
    """On a machine that has nothing else to do."""
    assert summary["wall_s"] < A_MINUTE_S


def test_every_event_was_accepted_or_rejected(summary: dict[str, Any]) -> None:
    events = summary["events"]
    assert events["sent"] == events["accepted"] + events["rejected"]
    assert events["accepted"] == events["engine"] > 1_000
    assert events["rejected"] == sum(events["rejected_by_code"].values()) > 0
    assert {"bad_json", "all_ids_invalid", "code 102"} <= events["rejected_by_code"].keys()


def test_memberships_are_gained_and_lost(summary: dict[str, Any]) -> None:
    memberships = summary["memberships"]
    assert memberships["changes"] == memberships["gained"] + memberships["lost"]
    assert memberships["gained"] - memberships["lost"] == memberships["held"] > 0
    assert memberships["lost"] > 0


def test_what_the_engine_counts_is_what_the_destinations_count(summary: dict[str, Any]) -> None:
    """Each attempt that had an answer: on a machine that stands still for 3 s there are others."""
    assert [row["id"] for row in summary["destinations"]] == [423, 424, 425]
    for row in summary["destinations"]:
        assert row["messages"] == row["acknowledged"] + row["failed"]
        assert row["users"] == row["users_acknowledged"] + row["users_failed"]
        unclear, users_unclear = row["unanswered"], row["users_unanswered"]
        assert 0 <= row["messages"] + row["retries"] - row["receiver_requests"] <= unclear
        assert 0 <= row["receiver_accepted"] - row["acknowledged"] <= unclear
        assert 0 <= row["receiver_users"] - row["users_acknowledged"] <= users_unclear
        assert min(row["acknowledged"], row["users_acknowledged"]) > 0
        assert users_unclear >= unclear
        assert 0 < row["p50_ms"] <= row["p99_ms"]


def test_the_bad_destination_is_retried_once_then_owed_then_paid(summary: dict[str, Any]) -> None:
    aurora, borealis, corona = summary["destinations"]
    assert borealis["retries"] > 0
    assert borealis["failed"] > 0
    owed = sum(row["owed_before_replay"] for row in summary["destinations"])
    assert owed == summary["replayed_devices"] >= borealis["owed_before_replay"] > 0
    for row in (aurora, corona):
        assert 2 * row["failed"] <= row["unanswered"], "they refuse nothing"
        assert row["failed"] or not row["owed_before_replay"]
    assert [row["owed_after_replay"] for row in summary["destinations"]] == [0, 0, 0]


def test_engine_ledger_and_destinations_agree_on_every_line(summary: dict[str, Any]) -> None:
    books = summary["reconciliation"]
    assert books["differing"] == books["strays"] == 0
    assert books["examples"] == []
    assert books["lines"] > books["inside"] > 0
    assert books["devices"] == summary["devices"] >= summary["visitors"]


def test_three_real_messages_are_shown_and_their_signatures_hold(summary: dict[str, Any], kept: Path) -> None:
    one, several, left = summary["messages"]
    assert len(parse(one["body"].encode()).users) == 1
    assert len(parse(several["body"].encode()).users) > 1
    assert any(not active for _, _, active in parse(left["body"].encode()).entries())
    for shown in (one, several, left):
        assert not any("Bearer" in value for _, value in shown["headers"])
        assert _arrived(shown, kept)
        if shown["destination"] in KEYS:
            secret = (kept / shown["destination"] / "key").read_bytes()
            headers = [(name, value) for name, value in shown["headers"]]
            verify(shown["body"].encode(), headers, KEYS[shown["destination"]](secret))


def _arrived(shown: dict[str, Any], kept: Path) -> bool:
    """Whether the destination's own log holds exactly this body, accepted."""
    lines = (kept / shown["destination"] / "requests.ndjson").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    return any(record["body"] == shown["body"] and record["verdict"] == "accepted" for record in records)


def test_one_of_the_users_shown_is_explained(summary: dict[str, Any]) -> None:
    explained = summary["explanation"]
    assert explained["known"] is True
    assert explained["uuid"] in summary["messages"][-1]["body"]
    assert any(told for side in explained["destinations"] for told in side["ids"])


def test_what_is_kept_can_be_asked_afterwards(summary: dict[str, Any], kept: Path) -> None:
    asked = [sys.executable, "-m", "arke", "explain", "--data", str(kept / "data"), "--json"]
    done = subprocess.run(
        [*asked, summary["explanation"]["uuid"]], capture_output=True, text=True, timeout=2 * PATIENCE_S
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["ids"] == summary["explanation"]["ids"]


def test_it_adds_up_on_a_machine_that_stands_still_for_longer_than_a_deadline(tmp_path: Path) -> None:
    """Attempts that had no answer may have arrived or not, and that is all that is unclear."""
    kept = tmp_path / "kept"
    command = [sys.executable, "-m", "arke", "demo", "--for", "5s", "--visitors", "1500", "--json"]
    arrived = [kept / name / "requests.ndjson" for name in ("aurora", "borealis", "corona")]
    with subprocess.Popen(
        [*command, "--keep", str(kept)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        wait_until(
            lambda: process.poll() is not None or all(log.exists() and log.stat().st_size for log in arrived),
            "messages at every destination",
        )
        process.send_signal(signal.SIGSTOP)
        time.sleep(STANDS_STILL_S)  # it is how long it stands still that is tested
        process.send_signal(signal.SIGCONT)
        said, errors = process.communicate(timeout=2 * PATIENCE_S)
    assert process.returncode == 0, said[:4_000] + errors
    summary = json.loads(said)
    assert (summary["ok"], summary["problems"]) == (True, [])


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep out")
    done = demo("--keep", str(tmp_path))
    assert done.returncode == 2
    assert "not empty" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_length_that_is_none_is_refused() -> None:
    done = demo("--for", "soon")
    assert done.returncode == 2
    assert "30s" in done.stderr


def test_ctrl_c_ends_the_traffic_early_and_the_summary_still_adds_up(tmp_path: Path) -> None:
    """Also shows the plain output: addresses first, messages and the verdict last, nothing left behind."""
    command = [sys.executable, "-m", "arke", "demo", "--for", "10m", "--visitors", "20000"]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"TMPDIR": str(tmp_path), "PATH": ""},
    ) as process:
        assert process.stdout is not None
        heard = []
        for line in process.stdout:
            heard.append(line)
            if " events sent, " in line:
                break
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=PATIENCE_S)
    text = "".join(heard) + rest
    assert process.returncode == 0, text + errors
    assert errors == ""
    assert "visitors' events" in text
    assert "It adds up." in text
    assert list(tmp_path.iterdir()) == []

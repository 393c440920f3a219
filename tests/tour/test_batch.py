"""The batch: what has changed since the last one, at its time of day or when somebody asks (SPEC section 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tour.stage import ACME, COOKIES, DEVICE, GAID, OTHER, clocks, destination, segment, tellings, trait

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tour.stage import Request, Stage

COOKIE = (COOKIES, "a")


def batches(requests: Sequence[Request]) -> list[Request]:
    return [request for request in requests if request.kind == "batch"]


def held(*numbers: int) -> dict[str, int]:
    """Memberships as an event tells them: these held, the others of 10 to 12 not."""
    return {str(number): int(number in numbers) for number in (10, 11, 12)}


def external(stage: Stage, *mapped: int, **options: Any) -> str:
    """A catalog of three external segments, mapped to a destination that takes batches alone."""
    return stage.catalog(
        destination(*(mapped or (10, 11, 12)), **{"realtime": False, **options}),
        segments=[segment(10), segment(11), segment(12)],
    )


class TestWhatIsTold:
    """Net changes since the last run, per partner id and alias."""

    def test_the_first_tells_all_that_holds(self, stage: Stage) -> None:
        """Nothing has gone before it, so it is a full one: also what was told in real time."""
        external(stage, realtime=True)
        stage.see("05-01 00:00:00", DEVICE, ids=[COOKIE], memberships=held(10, 11))
        stage.see("05-01 00:00:00", OTHER, ids=[(COOKIES, "b")], memberships=held(12))
        stage.batch("05-01 00:01:00")
        (request,) = batches(stage.play())
        assert request.clock == "05-01 00:01:00.000"
        assert request.users == {"a": {"10": "1", "11": "1"}, "b": {"12": "1"}}

    def test_a_gain_and_a_loss_since_the_last(self, stage: Stage) -> None:
        external(stage)
        stage.see("05-01 00:00:00", ids=[COOKIE], memberships=held(10, 11))
        stage.batch("05-01 00:01:00")
        stage.see("05-01 00:02:00", memberships=held(11, 12))
        stage.batch("05-01 00:03:00")
        assert tellings(stage.play())[1:] == [("05-01 00:03:00.000", {"12": "1", "10": "0"})]

    def test_gained_and_lost_in_between_is_nothing(self, stage: Stage) -> None:
        external(stage)
        stage.see("05-01 00:00:00", ids=[COOKIE], memberships=held(10))
        stage.batch("05-01 00:01:00")
        stage.see("05-01 00:02:00", memberships=held(10, 11))
        stage.see("05-01 00:03:00", memberships=held(10))
        stage.batch("05-01 00:04:00")
        assert clocks(stage.play()) == ["05-01 00:01:00.000"]

    def test_lost_and_gained_again_in_between_is_nothing(self, stage: Stage) -> None:
        external(stage)
        stage.see("05-01 00:00:00", ids=[COOKIE], memberships=held(10))
        stage.batch("05-01 00:01:00")
        stage.see("05-01 00:02:00", memberships=held())
        stage.see("05-01 00:03:00", memberships=held(10))
        stage.batch("05-01 00:04:00")
        assert clocks(stage.play()) == ["05-01 00:01:00.000"]

    def test_what_real_time_sent_is_told_again(self, stage: Stage) -> None:
        """A batch is complete in itself: gained and lost in real time, it carries the net change all the same."""
        external(stage, realtime=True)
        stage.batch("05-01 00:00:00")
        stage.see("05-01 00:01:00", ids=[COOKIE], memberships=held(10, 11))
        stage.batch("05-01 00:02:00")
        stage.see("05-01 00:03:00", memberships=held(10))
        stage.batch("05-01 00:04:00")
        requests = stage.play()
        assert [request.kind for request in requests] == ["realtime", "batch", "realtime", "batch"]
        assert requests[1].told == {"10": "1", "11": "1"}
        assert requests[3].told == {"11": "0"}

    def test_every_partner_id_hears_for_itself(self, stage: Stage) -> None:
        """An id that came later has never been told: it hears all, the other one only what has changed."""
        external(stage, user_dpids=[COOKIES, GAID])
        stage.see("05-01 00:00:00", ids=[COOKIE], memberships=held(10))
        stage.batch("05-01 00:01:00")
        stage.see("05-01 00:02:00", ids=[(GAID, "38400000-8cf0-11bd-b23e-10b96e40000d")])
        stage.batch("05-01 00:03:00")
        stage.see("05-01 00:04:00", memberships=held(10, 11))
        stage.batch("05-01 00:05:00")
        requests = stage.play()
        assert clocks(requests) == ["05-01 00:01:00.000", "05-01 00:03:00.000", *["05-01 00:05:00.000"] * 2]
        assert requests[1].users == {"38400000-8cf0-11bd-b23e-10b96e40000d": {"10": "1"}}
        assert [request.told for request in requests[2:]] == [{"11": "1"}] * 2
        assert [request.message["User_DPID"] for request in requests[2:]] == [str(COOKIES), str(GAID)]

    def test_what_is_owed_goes_with_it(self, stage: Stage) -> None:
        """Real time failed twice: the batch tells it, and nothing is owed any more."""
        external(stage, realtime=True)
        stage.batch("05-01 00:00:00")
        stage.respond("05-01 00:00:01", 500, 2)
        stage.see("05-01 00:01:00", ids=[COOKIE], memberships=held(10))
        stage.batch("05-01 00:02:00")
        requests = stage.play()
        assert [(one.kind, one.status) for one in requests] == [
            ("realtime", 500),
            ("realtime", 500),
            ("batch", 200),
        ]
        assert requests[2].told == {"10": "1"}
        assert stage.summary.owed == 0

    def test_a_batch_that_fails_is_owed_and_told_by_the_next(self, stage: Stage) -> None:
        external(stage)
        stage.respond("05-01 00:00:00", 500, 2)
        stage.see("05-01 00:00:00", ids=[COOKIE], memberships=held(10))
        stage.batch("05-01 00:01:00")
        stage.see("05-01 00:02:00", OTHER, ids=[(COOKIES, "b")], memberships=held(11))
        stage.batch("05-01 00:03:00")
        requests = stage.play()
        assert [(one.attempt, one.status) for one in requests] == [(1, 500), (2, 500), (1, 200)]
        assert requests[2].users == {"a": {"10": "1"}, "b": {"11": "1"}}
        assert stage.summary.owed == 0

    def test_a_mapping_that_is_new_is_told_of_everybody(self, stage: Stage) -> None:
        """Nobody's membership changed, so the journal is silent: a batch after the edit looks at everybody."""
        external(stage, 10)
        stage.see("05-01 00:00:00", ids=[COOKIE], memberships=held(10, 11))
        stage.batch("05-01 00:01:00")
        stage.apply("05-01 00:02:00", external(stage, 10, 11))
        stage.batch("05-01 00:03:00")
        stage.apply("05-01 00:04:00", external(stage, 11))
        stage.batch("05-01 00:05:00")
        assert [told for _, told in tellings(stage.play())] == [{"10": "1"}, {"11": "1"}, {"10": "0"}]

    def test_a_mapping_date_that_passes_is_told_without_anybody_seen(self, stage: Stage) -> None:
        stage.catalog(
            destination({"segment": 10, "end": "2026-05-02"}, {"segment": 11}, realtime=False),
            segments=[segment(10), segment(11)],
        )
        stage.see("05-01 23:00:00", ids=[COOKIE], memberships={"10": 1, "11": 1})
        stage.batch("05-01 23:30:00")
        stage.batch("05-02 00:00:00")
        assert [told for _, told in tellings(stage.play())] == [{"10": "1", "11": "1"}, {"10": "0"}]

    def test_no_zero_for_who_cannot_take_one(self, stage: Stage) -> None:
        """The loss is not said, and a regain after a batch that left it out is news again."""
        external(stage, supports_unsegment=False)
        stage.see("05-01 00:00:00", ids=[COOKIE], memberships=held(10, 11))
        stage.batch("05-01 00:01:00")
        stage.see("05-01 00:02:00", memberships=held(11))
        stage.batch("05-01 00:03:00")
        stage.see("05-01 00:04:00", memberships=held(10, 11))
        stage.batch("05-01 00:05:00")
        assert tellings(stage.play()) == [
            ("05-01 00:01:00.000", {"10": "1", "11": "1"}),
            ("05-01 00:05:00.000", {"10": "1"}),
        ]

    def test_a_silent_unmapping_says_nothing(self, stage: Stage) -> None:
        external(stage, 10, 11, on_unmap="silent")
        stage.see("05-01 00:00:00", ids=[COOKIE], memberships=held(10, 11))
        stage.batch("05-01 00:01:00")
        stage.apply("05-01 00:02:00", external(stage, 11, on_unmap="silent"))
        stage.batch("05-01 00:03:00")
        stage.apply("05-01 00:04:00", external(stage, 10, 11, on_unmap="silent"))
        stage.batch("05-01 00:05:00")
        assert [told for _, told in tellings(stage.play())] == [{"10": "1", "11": "1"}, {"10": "1"}]

    def test_a_paused_segment_waits(self, stage: Stage) -> None:
        """Neither its gains nor its losses are told until it goes on."""

        def catalog(*, paused: bool) -> str:
            return stage.catalog(
                destination(10, realtime=False), segments=[segment(10, paused=paused), segment(11)]
            )

        catalog(paused=False)
        stage.see("05-01 00:00:00", ids=[COOKIE], memberships={"10": 1})
        stage.batch("05-01 00:01:00")
        stage.apply("05-01 00:02:00", catalog(paused=True))
        stage.see("05-01 00:03:00", memberships={"10": 0})
        stage.batch("05-01 00:04:00")
        stage.apply("05-01 00:05:00", catalog(paused=False))
        stage.batch("05-01 00:06:00")
        assert tellings(stage.play())[1:] == [("05-01 00:06:00.000", {"10": "0"})]

    def test_rules_count_as_those_told(self, stage: Stage) -> None:
        """Memberships by rule, changed by events; nothing is special about external ones."""
        stage.catalog(
            destination(10, realtime=False),
            traits=[trait(1), trait(2)],
            segments=[segment(10, "1T AND NOT 2T")],
        )
        stage.see("05-01 00:00:00", DEVICE, 1, ids=[COOKIE])
        stage.batch("05-01 00:01:00")
        stage.see("05-01 00:02:00", DEVICE, 2)
        stage.batch("05-01 00:03:00")
        assert [told for _, told in tellings(stage.play())] == [{"10": "1"}, {"10": "0"}]

    def test_messages_are_filled(self, stage: Stage) -> None:
        """Linger is for real time: a batch waits for ten users, and sends the rest at its end."""
        external(stage)
        for number in range(23):
            stage.see("05-01 00:00:00", f"{number:038d}", ids=[(COOKIES, f"c{number}")], memberships=held(10))
        stage.batch("05-01 00:01:00")
        requests = stage.play()
        assert [len(request.users) for request in requests] == [10, 10, 3]
        assert {request.clock for request in requests} == {"05-01 00:01:00.000"}


class TestWhenItRuns:
    """Per destination, every 24 h or more, at a time of day."""

    def test_at_its_time_of_day(self, stage: Stage) -> None:
        external(stage, batch={"every": "24h", "at": "02:00"})
        stage.see("05-01 12:00:00", ids=[COOKIE], memberships=held(10))
        stage.see("05-02 12:00:00", memberships=held(10, 11))
        stage.see("05-04 12:00:00", memberships=held(11))
        assert tellings(stage.play(schedule=True)) == [
            ("05-02 02:00:00.000", {"10": "1"}),
            ("05-03 02:00:00.000", {"11": "1"}),
        ]

    def test_time_does_not_run_on_to_the_next_slot(self, stage: Stage) -> None:
        external(stage)
        stage.see("05-01 12:00:00", ids=[COOKIE], memberships=held(10))
        assert stage.play(schedule=True) == []

    @pytest.mark.parametrize(
        ("every", "expected"),
        [
            ("24h", ["01", "02", "03", "04", "05"]),
            ("36h", ["01", "03", "05"]),
            ("48h", ["01", "03", "05"]),
            ("72h", ["01", "04"]),
        ],
    )
    def test_as_often_as_it_says(self, stage: Stage, every: str, expected: list[str]) -> None:
        """The next slot is the first time of day that is not earlier than the period after the last one."""
        external(stage, batch={"every": every, "at": "02:00"})
        for day in range(1, 6):  # somebody new every day, so that every run has something to tell
            new = [(COOKIES, f"day-{day}")]
            stage.see(f"05-{day:02d} 01:00:00", f"{day:038d}", ids=new, memberships=held(10))
        stage.advance("05-05 03:00:00")
        requests = stage.play(schedule=True)
        assert clocks(requests) == [f"05-{day} 02:00:00.000" for day in expected]

    def test_a_destination_has_its_own(self, stage: Stage) -> None:
        stage.catalog(
            destination(10, realtime=False, batch={"every": "24h", "at": "03:30"}),
            destination(10, number=424, realtime=False, batch={"every": "24h", "at": "01:15"}),
            destination(10, number=425, batch=False),
            segments=[segment(10)],
        )
        stage.see("05-01 00:00:00", ids=[COOKIE], memberships={"10": 1})
        stage.advance("05-01 12:00:00")
        requests = batches(stage.play(schedule=True))
        assert [(one.destination, one.clock) for one in requests] == [
            (424, "05-01 01:15:00.000"),
            (ACME, "05-01 03:30:00.000"),
        ]

    def test_one_that_is_switched_on_later_counts_from_then(self, stage: Stage) -> None:
        external(stage, enabled=False)
        stage.see("05-01 00:00:00", ids=[COOKIE], memberships=held(10))
        stage.apply("05-04 12:00:00", external(stage))
        stage.advance("05-05 12:00:00")
        assert clocks(stage.play(schedule=True)) == ["05-05 02:00:00.000"]

    def test_on_command_without_a_schedule(self, stage: Stage) -> None:
        """`batch: false` has no slots; a person may run one all the same."""
        external(stage, realtime=True, batch=False)
        stage.see("05-01 00:00:00", ids=[COOKIE], memberships=held(10))
        stage.batch("05-03 00:00:00")
        stage.advance("05-06 00:00:00")
        requests = stage.play(schedule=True)
        assert [(one.kind, one.clock) for one in requests] == [
            ("realtime", "05-01 00:00:00.100"),
            ("batch", "05-03 00:00:00.000"),
        ]

    def test_an_endpoint_that_is_down_holds_it_up_and_nothing_is_lost(self, stage: Stage) -> None:
        """The circuit opens, probes, and when the endpoint answers again the run goes on from its place."""
        external(stage)
        stage.respond("05-01 00:00:00", 500, 14)
        for number in range(100):
            stage.see("05-01 00:00:00", f"{number:038d}", ids=[(COOKIES, f"c{number}")], memberships=held(10))
        stage.batch("05-01 00:01:00")
        stage.advance("05-01 01:00:00")
        stage.batch("05-01 02:00:00")
        requests = stage.play()
        told: dict[str, int] = {}
        for request in requests:
            for user in request.users if request.status == 200 else ():
                told[user] = told.get(user, 0) + 1
        assert told == dict.fromkeys((f"c{number}" for number in range(100)), 1)
        assert stage.summary.owed == 0

    def test_a_destination_that_is_not_there(self, stage: Stage) -> None:
        external(stage)
        stage.batch("05-01 00:00:00", 999)
        assert stage.play() == []
        assert "no destination 999" in stage.summary.complaints[0]

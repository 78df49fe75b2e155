"""Loops by a clock that stands still: what is sent when, what counts, and what a stall does to it."""

from dataclasses import replace

import numpy as np
import pytest
from support.load import VERDICT, HandClock, OneByOne

from assay.engine.errors import SetupError
from assay.engine.load import loop as loops
from assay.engine.load.arrivals import poisson
from assay.engine.load.loop import LOST, LOST_SECONDS, PATIENCE, Loop, Lost, Stopped
from assay.engine.load.meter import Meter
from assay.engine.load.result import Round
from assay.engine.load.samples import Samples
from assay.engine.load.summary import CLIENT, Asked, summary
from assay.engine.load.target import PAUSE, Answer, Answered, Failure
from assay.engine.load.usage import Processes
from assay.engine.outcome import Reason, Rejection


def evenly(rate: float, seconds: float) -> list[float]:
    return [number / rate for number in range(round(rate * seconds))]


def test_an_open_loop_counts_a_stall_for_all_that_arrive_in_it() -> None:
    """A server stands still for 2 s of 10: a client that waited for its answer would see one slow image. Here
    the 200 that arrive meanwhile feel it, each by what is left of it."""
    clock = HandClock()
    target = OneByOne(clock, 0.001, stall=(103.0, 105.0))
    samples = Loop(target, clock).open(evenly(100, 10), 0.0, 10.0)
    taken = np.sort(samples.latencies)
    assert len(taken) == 1000
    slow = taken[taken > 0.0015]
    assert 200 <= len(slow) <= 225
    assert taken[-1] == pytest.approx(2.0, abs=0.02)
    assert np.median(slow) == pytest.approx(1.1, abs=0.1)
    assert (samples.lateness == 0).all()


def test_a_closed_loop_keeps_its_images_under_way_and_no_more() -> None:
    clock = HandClock()
    target = OneByOne(clock, 0.01)
    samples = Loop(target, clock).closed(8, 1.0, 10.0)
    assert target.most == 8
    assert samples.ended - samples.began == pytest.approx(10.0)
    assert samples.verdicts_between(samples.began, samples.ended) == pytest.approx(1000, abs=2)
    assert samples.latencies == pytest.approx(np.full(len(samples.latencies), 0.08))


def test_a_place_of_a_closed_loop_that_is_refused_rests() -> None:
    """The server has room for one image of four, and tells the others to come again in half a second."""
    clock = HandClock()

    class Full(OneByOne):
        def send(self, number: int, answered: Answered) -> None:
            if self.under_way:
                answered(Rejection("", Reason.OVERLOADED, "no room", {PAUSE: 0.5}))
            else:
                super().send(number, answered)

    said = said_of(Loop(Full(clock, 0.1), clock).closed(4, 0.0, 10.0), Asked(0.0, 10.0, outstanding=4))
    assert said.outcomes.verdicts == pytest.approx(100, abs=3)
    assert said.outcomes.rejections["overloaded"] == pytest.approx(60, abs=20)


def test_warm_up_is_sent_and_does_not_count() -> None:
    clock = HandClock()
    opened: list[tuple[bool, float]] = []
    target = OneByOne(clock, 0.001)
    loop = Loop(target, clock, window=lambda open: opened.append((open, clock.now())))
    samples = loop.open(evenly(10, 5), 2.0, 3.0)
    assert len(target.numbers) == 50
    assert samples.counted.sum() == len(samples.latencies) == 30
    assert samples.stages == pytest.approx({"queue": 30 * 0.25, "decode": 30 * 0.5})
    assert opened[0] == (True, pytest.approx(102.0))
    assert opened[1] == (False, pytest.approx(105.0, abs=0.01))


def test_no_image_has_the_number_of_another_and_late_answers_count_for_their_own_round() -> None:
    clock = HandClock()
    target = OneByOne(clock, 1.0, stall=(100.0, 200.0))  # the first round is given up before it is answered
    loop = Loop(target, clock)
    first = loop.open(evenly(2, 5), 0.0, 5.0)
    assert first.unanswered == 10
    assert np.isnan(np.array(first.answered)).all()
    second = loop.open(evenly(2, 50), 0.0, 50.0)
    assert not np.isnan(np.array(first.answered)).any()
    assert len(set(target.numbers)) == len(target.numbers) == 110
    assert second.counted.sum() == 100


def test_a_client_that_is_late_stops_and_says_so() -> None:
    clock = HandClock()

    class Slow(OneByOne):
        def send(self, number: int, answered: Answered) -> None:
            clock.time += 0.02  # sending alone takes longer than the time between two images
            super().send(number, answered)

    samples = Loop(Slow(clock, 0.001), clock).open(evenly(100, 10), 0.0, 10.0)
    assert samples.fell_behind == "client"
    said = said_of(samples, Asked(0.0, 10.0, rate=100.0))
    assert said.problem
    assert said.problem.startswith(f"{CLIENT}: it sent 50 images/s, and 100 were asked for")
    assert said.latency is None


def test_a_client_whose_tail_is_its_own_lateness_says_so() -> None:
    clock = HandClock()

    class Hiccup(OneByOne):
        def send(self, number: int, answered: Answered) -> None:
            clock.time += 0.4 if number == 500 else 0.0
            super().send(number, answered)

    samples = Loop(Hiccup(clock, 0.001), clock).open(evenly(100, 10), 0.0, 10.0)
    assert samples.fell_behind is None
    said = said_of(samples, Asked(0.0, 10.0, rate=100.0))
    assert said.latency is None
    assert CLIENT in (said.problem or "")
    assert said.client_lateness == pytest.approx(0.31, abs=0.03)


def test_a_server_that_falls_behind_is_sent_no_more_than_it_holds() -> None:
    clock = HandClock()
    target = OneByOne(clock, 1.0, holds=20)
    samples = Loop(target, clock).open(evenly(100, 10), 0.0, 10.0)
    assert samples.fell_behind == "server"
    assert target.most == 20
    said = said_of(samples, Asked(0.0, 10.0, rate=100.0))
    assert "20 images were unanswered after 0.2 s" in (said.problem or "")
    assert said.latency  # what was measured is no lie
    assert said.outcomes.verdicts == 20


def test_a_server_that_refuses_for_a_while_is_not_lost() -> None:
    clock = HandClock()
    full = Failure("UNAVAILABLE", "refused")
    target = OneByOne(clock, 0.001, answer=lambda number: full if 100 < number < 400 else VERDICT)
    said = said_of(Loop(target, clock).open(evenly(200, 5), 0.0, 5.0), Asked(0.0, 5.0, rate=200.0))
    assert said.outcomes.errors == {"UNAVAILABLE": 299}
    assert said.outcomes.verdicts == 701


def test_a_server_that_cannot_keep_up_is_told_of_with_its_latencies() -> None:
    clock = HandClock()
    samples = Loop(OneByOne(clock, 0.02), clock).open(evenly(100, 10), 0.0, 10.0)
    said = said_of(samples, Asked(0.0, 10.0, rate=100.0))
    assert (said.problem or "").startswith(
        "the server could not keep up: it answered 50 images/s; the longer"
    )
    assert said.latency
    assert said.latency.max == pytest.approx(10.0, abs=0.1)


def test_a_server_that_falls_behind_in_the_warm_up_is_told_of_too() -> None:
    clock = HandClock()
    samples = Loop(OneByOne(clock, 1.0, holds=20), clock).open(evenly(100, 10), 5.0, 5.0)
    said = said_of(samples, Asked(5.0, 5.0, rate=100.0))
    assert "20 images were unanswered after 0.2 s" in (said.problem or "")
    assert (said.sent, said.latency, said.images_per_second) == (0, None, 0.0)


def test_what_is_not_answered_in_time_is_given_up_and_counted() -> None:
    clock = HandClock()
    samples = Loop(OneByOne(clock, PATIENCE / 2), clock).open([0.0, 0.1, 0.2, 0.3], 0.0, 1.0)
    said = said_of(samples, Asked(0.0, 1.0, rate=4.0))
    assert (said.outcomes.verdicts, said.outcomes.unanswered) == (2, 2)
    assert said.images_per_second == 0.0  # none came within the second


def test_outcomes_by_kind_and_latency_of_verdicts_alone() -> None:
    clock = HandClock()
    kinds: list[Answer] = [
        VERDICT,
        Rejection("", Reason.OVERLOADED, "no room"),
        Failure("UNAVAILABLE", "gone"),
    ]
    target = OneByOne(clock, 0.001, answer=lambda number: kinds[number % 3])
    said = said_of(Loop(target, clock).open(evenly(30, 10), 0.0, 10.0), Asked(0.0, 10.0, rate=30.0))
    assert said.outcomes.verdicts == 100
    assert said.outcomes.rejections == {"overloaded": 100}
    assert said.outcomes.errors == {"UNAVAILABLE": 100}
    assert said.images_per_second == pytest.approx(10.0, abs=0.2)
    assert said.latency
    assert said.latency.images == 100
    assert said.stages == {"queue": 0.25, "decode": 0.5}


def test_where_nothing_answers_at_first_it_says_why() -> None:
    clock = HandClock()
    gone = OneByOne(clock, 0.001, answer=lambda number: Failure("UNAVAILABLE", "nobody listens there"))
    with pytest.raises(SetupError, match="nobody listens there"):
        Loop(gone, clock).closed(8, 1.0, 10.0)
    with pytest.raises(SetupError, match="a stub: no answer came within 60 s"):
        Loop(OneByOne(clock, 1000.0), clock).closed(8, 1.0, 10.0)


@pytest.mark.parametrize("way", ["closed", "open"])
def test_a_server_that_is_lost_ends_the_round_with_what_is_known(way: str) -> None:
    clock = HandClock()
    gone = Failure("UNAVAILABLE", "it is gone")
    target = OneByOne(clock, 0.001, answer=lambda number: VERDICT if number < 500 else gone)
    loop = Loop(target, clock)
    with pytest.raises(Lost, match="a stub: it is gone") as lost:
        loop.closed(8, 0.0, 10.0) if way == "closed" else loop.open(evenly(100, 60), 0.0, 60.0)
    assert lost.value.samples.failures["UNAVAILABLE"] >= LOST
    assert clock.now() - lost.value.samples.sent[499] == pytest.approx(LOST_SECONDS, abs=0.3)
    assert len(lost.value.samples.latencies) > 480


def test_ctrl_c_gives_what_is_known() -> None:
    clock = HandClock()

    def interrupt(number: int) -> Answer:
        if number == 300:
            raise KeyboardInterrupt
        return VERDICT

    with pytest.raises(Stopped) as stopped:
        Loop(OneByOne(clock, 0.001, answer=interrupt), clock).open(evenly(100, 10), 0.0, 10.0)
    samples = stopped.value.samples
    assert len(samples.latencies) == 299
    said = said_of(samples, Asked(0.0, 10.0, rate=100.0))
    assert said.seconds == pytest.approx(3.0, abs=0.05)
    assert said.images_per_second == pytest.approx(100, rel=0.02)


def test_moments_show_when_the_stall_was() -> None:
    clock = HandClock()
    samples = Loop(OneByOne(clock, 0.001, stall=(103.0, 105.0)), clock).open(evenly(100, 10), 0.0, 10.0)
    moments = said_of(samples, Asked(0.0, 10.0, rate=100.0)).moments
    assert sum(moment.images for moment in moments) == 1000
    assert [round(moment.second, 1) for moment in moments if (moment.longest or 0) > 1.6] == [
        3.1, 3.2, 3.3, 3.4, 3.5
    ]  # fmt: skip


def test_moments_are_of_verdicts_and_hold_a_few_images_each() -> None:
    clock = HandClock()
    refused = Rejection("", Reason.OVERLOADED, "no room")
    target = OneByOne(clock, 0.01, answer=lambda number: VERDICT if number <= 20 else refused)
    moments = said_of(Loop(target, clock).open(evenly(4, 10), 0.0, 10.0), Asked(0.0, 10.0, rate=4.0)).moments
    assert [moment.images for moment in moments] == [4] * 10
    assert [moment.longest is not None for moment in moments] == [True] * 5 + [False] * 5


def test_whoever_watches_is_told_while_nothing_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = HandClock()
    monkeypatch.setattr(loops, "PATIENCE", 5.0)
    seen: list[float] = []
    loop = Loop(OneByOne(clock, 100.0), clock, watch=lambda seconds, answered: seen.append(seconds))
    loop.open([0.0, 0.1], 0.0, 1.0)
    assert len(seen) == pytest.approx(30, abs=2)


def test_cached_verdicts_are_counted() -> None:
    clock = HandClock()
    known = replace(VERDICT, seconds={"cached": 0.0001})
    target = OneByOne(clock, 0.001, answer=lambda number: known if number % 2 else VERDICT)
    said = said_of(Loop(target, clock).open(poisson(20, 10).tolist(), 0.0, 10.0), Asked(0.0, 10.0, rate=20.0))
    assert said.cached == 100


def said_of(samples: Samples, asked: Asked) -> Round:
    return summary(asked, samples, Meter(Processes({}), clock=HandClock()), alone=False)

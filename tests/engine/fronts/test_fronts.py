"""Processes that hold the places of fronts: started, replaced, drained, and given up."""

import json
import os
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
from support.fronts import HandCore

from assay.engine import telemetry
from assay.engine.bundle import Bundle
from assay.engine.doors.inference.statistics import Counted, Statistics
from assay.engine.errors import AssayError, SetupError
from assay.engine.fronts import fronts_of, place
from assay.engine.fronts.counts import Growth, Sums
from assay.engine.fronts.fronts import Fronts
from assay.engine.fronts.process import FrontProcess, Plan


class Core(HandCore):
    def on_fault(self, callback: Callable[[Any], None]) -> None:
        self.told = callback


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


@pytest.fixture
def make(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Fronts]:
    monkeypatch.setattr(FrontProcess, "program", "support.fake_front")
    monkeypatch.setattr(place, "PAUSE", 0.0)
    monkeypatch.setenv("PYTHONPATH", os.path.dirname(os.path.dirname(os.path.dirname(__file__))))

    def made(does: str) -> Fronts:
        monkeypatch.setenv("ASSAY_FAKE_FRONT", does)
        core = Core({bundle.name: bundle})
        return Fronts(core, Plan([], core.settings, None, traces=False), 2)

    return made


def gauge(metric: Any) -> float:
    return float(metric._value.get())


def test_each_place_has_a_process_and_is_given_another(make: Callable[[str], Fronts]) -> None:
    fronts = make("serves")
    before = gauge(telemetry.FRONT_RESTARTS)
    fronts.start()
    first, second = fronts.pids
    assert gauge(telemetry.FRONTS) == 2
    os.kill(first, signal.SIGKILL)
    until(lambda: gauge(telemetry.FRONT_RESTARTS) == before + 1 and gauge(telemetry.FRONTS) == 2)
    assert second in fronts.pids
    assert first not in fronts.pids
    unanswered = telemetry.KAFKA_UNANSWERED.labels("fake")
    counted = gauge(unanswered)
    fronts.drain(30.0)
    fronts.stop()
    assert gauge(unanswered) == counted + 2  # what was counted last arrives
    assert gauge(telemetry.FRONTS) == 0
    assert fronts.pids == []


def test_one_in_the_place_of_another_knows_it(make: Callable[[str], Fronts]) -> None:
    begun, resumed = (telemetry.KAFKA_UNANSWERED.labels(each) for each in ("begun", "resumed"))
    before = gauge(begun), gauge(resumed)
    fronts = make("serves")
    fronts.start()
    assert (gauge(begun), gauge(resumed)) == (before[0] + 2, before[1])
    os.kill(fronts.pids[0], signal.SIGKILL)
    until(lambda: gauge(resumed) == before[1] + 1)
    fronts.stop()
    assert gauge(begun) == before[0] + 2


def test_they_serve_as_long_as_one_of_them_does(make: Callable[[str], Fronts]) -> None:
    fronts = make("serves")
    assert not fronts.serving()
    fronts.start()
    assert fronts.serving()
    first, second = fronts.places
    first.drain(0.0)  # is not replaced
    os.kill(fronts.pids[0], signal.SIGKILL)
    first.wait_drained(60.0)
    assert fronts.serving()
    second.drain(0.0)
    os.kill(fronts.pids[0], signal.SIGKILL)
    second.wait_drained(60.0)
    assert not fronts.serving()
    fronts.stop()


def test_nobody_is_replaced_while_it_drains(make: Callable[[str], Fronts]) -> None:
    fronts = make("mute")
    fronts.start()
    before = gauge(telemetry.FRONT_RESTARTS)
    pids = fronts.pids
    for each in fronts.places:
        each.drain(30.0)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    fronts.drain(30.0)  # returns: those that are gone have nothing to drain
    assert fronts.pids == []
    assert gauge(telemetry.FRONT_RESTARTS) == before
    fronts.stop()


def test_one_that_never_says_that_it_is_drained_is_not_waited_for(
    make: Callable[[str], Fronts], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assay.engine.fronts.fronts.LAST", 0.0)
    fronts = make("mute")
    fronts.start()
    fronts.drain(0.05)
    fronts.stop()
    assert fronts.pids == []


def test_the_first_ones_end_the_start_with_their_sentence(make: Callable[[str], Fronts]) -> None:
    fronts = make("refuses")
    with pytest.raises(SetupError, match="the door is locked"):
        fronts.start()
    assert fronts.pids == []


def test_those_that_never_get_ready_are_given_up(make: Callable[[str], Fronts]) -> None:
    fronts = make("broken")
    with pytest.raises(SetupError, match=r"do not start, 3 times in a row: front .* ended with code 3"):
        fronts.start()


def test_later_ones_that_never_get_ready_end_the_server(
    make: Callable[[str], Fronts], monkeypatch: pytest.MonkeyPatch
) -> None:
    fronts = make("serves")
    told: list[AssayError] = []
    fronts.on_failure(told.append)
    fronts.start()
    monkeypatch.setenv("ASSAY_FAKE_FRONT", "refuses")
    os.kill(fronts.pids[0], signal.SIGKILL)
    until(lambda: told)
    assert "do not start, 3 times in a row: the door is locked" in str(told[0])
    fronts.stop()


def test_stopping_what_was_never_started_is_harmless(make: Callable[[str], Fronts]) -> None:
    fronts = make("serves")
    fronts.stop()
    fronts.stop()


@pytest.mark.parametrize(
    ("chosen", "devices", "cores", "count"),
    [(None, 0, 64, 1), (None, 1, 2, 1), (None, 1, 16, 2), (None, 4, 16, 4), (3, 0, 2, 3), (1, 8, 64, 1)],
)
def test_how_many(chosen: int | None, devices: int, cores: int, count: int) -> None:
    assert fronts_of(chosen, devices, cores) == count


def test_counters_grow_by_what_each_front_tells_and_gauges_go_with_it() -> None:
    growth, sums = Growth(), Sums()
    growth.since()
    telemetry.KAFKA_UNANSWERED.labels("grown").inc(2)
    grown = growth.since()
    assert grown["grown"] == [["unanswered", "grown", 2.0]]
    assert growth.since() == {}
    sums.add(0, grown)
    assert gauge(telemetry.KAFKA_UNANSWERED.labels("grown")) == 4  # one process here is both
    sums.add(0, {"gauges": {"held": 5.0, "lag": [["in", "0", 7.0]]}})
    sums.add(1, {"gauges": {"held": 6.0, "lag": [["in", "1", 8.0]]}})
    assert gauge(telemetry.KAFKA_HELD) == 11
    sums.forget(0)
    sums.forget(0)
    assert gauge(telemetry.KAFKA_HELD) == 6
    lag = {sample.labels["partition"]: sample.value for sample in telemetry.KAFKA_LAG.collect()[0].samples}
    assert lag == {"1": 8.0}
    sums.forget(1)
    assert gauge(telemetry.KAFKA_HELD) == 0


def test_statistics_of_models_are_those_of_all(bundle: Bundle) -> None:
    counts = [Counted(), Counted(), Counted()]
    sums = Sums()
    for number, counted in enumerate(counts):
        counted.of(bundle).answered([], number + 1.0)
        counted.of(bundle).failed(0.5)
        sums.add(number, {"models": json.loads(json.dumps(counted.said()))})
    sums.forget(2)  # what a front counted that is gone stays
    for number in (0, 1):
        counts[number].hear(json.loads(json.dumps(sums.elsewhere(number))))
        total = counts[number].total(bundle)
        assert (total.requests, total.success.count, total.fail.count) == (3, 3, 3)
        assert total.success.ns == 6_000_000_000
    assert Statistics.heard(total.said()) == total
    assert counts[0].of(bundle).requests == 1

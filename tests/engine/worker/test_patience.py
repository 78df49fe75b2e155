import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import Future

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.engine.admission import Header
from assay.engine.item import Item
from assay.engine.settings import MIB, Settings
from assay.engine.ticket import Ticket
from assay.engine.worker.patience import LOOK, Over, Patience, patience, processor_time, wait


def ticket(held: int) -> Ticket:
    return Ticket(Item("1", b""), "a", Header("jpeg", 8, 8), held, 0.0, Future())


class Worker:
    """Silent for the given processor time used by each look, then it answers."""

    def __init__(self, used: Iterable[float]) -> None:
        self.used = list(used)
        self.looks = 0

    def ready(self, seconds: float) -> bool:
        assert seconds == LOOK
        self.looks += 1
        return self.looks > len(self.used)

    def spent(self) -> float:
        return self.used[self.looks - 1]


def test_who_answers_in_time_is_waited_for() -> None:
    worker = Worker([1, 2, 3, 4, 5])
    assert wait(worker.ready, worker.spent, Patience(5.0, 60.0)) is None


def test_an_answer_that_is_there_counts_however_late_it_is_looked_at() -> None:
    worker = Worker([])
    assert wait(worker.ready, lambda: 1e9, Patience(5.0, 60.0)) is None


def test_processor_time_ends_it_as_soon_as_it_is_seen() -> None:
    worker = Worker([1, 4.9, 5.1, 9])
    assert wait(worker.ready, worker.spent, Patience(5.0, 60.0)) is Over.PROCESSOR
    assert worker.looks == 3


def test_a_worker_that_gets_no_processor_is_given_the_time_by_the_clock() -> None:
    worker = Worker([0.01] * 1000)
    assert wait(worker.ready, worker.spent, Patience(5.0, 60.0)) is Over.CLOCK
    assert worker.looks == 60 / LOOK + 1


def test_where_processor_time_says_nothing_only_the_clock_counts() -> None:
    worker = Worker([1e6] * 1000)
    assert wait(worker.ready, worker.spent, Patience(None, 2.0)) is Over.CLOCK


@given(st.lists(st.integers(0, 1 << 32), min_size=1, max_size=64), st.floats(0, 10))
def test_a_batch_may_take_what_its_images_may_and_more_on_a_slow_machine(
    held: list[int], pace: float
) -> None:
    settings = Settings(workers=1)
    whole = patience([ticket(one) for one in held], settings, pace)
    alone = [patience([ticket(one)], settings, pace) for one in held]
    slower = patience([ticket(one) for one in held], settings, pace + 1)
    assert whole.processor is not None
    assert slower.processor is not None
    assert (
        max(one.processor or 0 for one in alone)
        <= whole.processor
        <= sum(one.processor or 0 for one in alone)
    )
    assert whole.processor < slower.processor
    assert whole.clock >= 10 * whole.processor


def test_a_small_image_has_a_few_seconds_and_a_large_one_more() -> None:
    settings = Settings(workers=1)
    small, large = (patience([ticket(size)], settings, 0.05) for size in (MIB, 1000 * MIB))
    assert small.processor == pytest.approx(5.5, abs=0.1)
    assert large.processor == pytest.approx(26.5, abs=0.1)


def test_a_gpu_has_the_clock_alone() -> None:
    assert patience([ticket(MIB)], Settings(devices=(0,)), 0.0) == Patience(None, pytest.approx(60, abs=0.1))


def test_processor_time_is_what_another_process_used() -> None:
    """A process that spins uses more and more, one that is stopped nothing, one that is gone none."""
    spin = "print(flush=True)\nwhile True: pass"
    with subprocess.Popen([sys.executable, "-c", spin], stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        first = processor_time(process.pid)
        while processor_time(process.pid) < first + 0.05:
            pass
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        stopped = processor_time(process.pid)
        assert processor_time(process.pid) == stopped
        process.kill()
    assert processor_time(process.pid) == 0

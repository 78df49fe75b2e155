"""What the queue holds is bounded by the time that it will take, told by a clock that the worker moves.

The worker is null: it answers a batch when it is let, and each image takes an eighth of a second.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import ClassVar

import pytest
from support.images import good

from assay.engine.bundle import Bundle
from assay.engine.core import Core
from assay.engine.item import Item, Priority
from assay.engine.outcome import Label, Outcome, Reason, Rejection, Verdict
from assay.engine.settings import Settings
from assay.engine.ticket import Ticket

DATA = good()["jpeg 4:2:0"].data
PACE = 0.125
MOST = 9  # the last one that is let in has 8 before it: one second


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class NullWorker:
    description = "null"
    pid = None
    clock: ClassVar[Clock]
    free: ClassVar[threading.Event]
    sent: ClassVar[list[list[str]]]

    def __init__(self, bundles: object, settings: object) -> None:
        self._batches: deque[int] = deque()

    def check(self) -> None: ...

    def send(self, tickets: Sequence[Ticket]) -> None:
        self.sent.append([ticket.item.id for ticket in tickets])
        self._batches.append(len(tickets))

    def receive(self) -> list[Outcome]:
        assert self.free.wait(10)
        count = self._batches.popleft()
        self.clock.now += PACE * count
        return [Verdict("", Label.AUTHENTIC, 0.5, {}, "brightness", "1")] * count

    def interrupt(self) -> None:
        self.free.set()

    def kill(self) -> None: ...


@pytest.fixture
def core(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> Iterator[Core]:
    """Its pace is known, its worker is held and holds one image."""
    NullWorker.clock, NullWorker.free, NullWorker.sent = Clock(), threading.Event(), []
    NullWorker.free.set()
    monkeypatch.setattr("assay.engine.inline.InlineWorker", NullWorker)
    monkeypatch.setattr("assay.engine.core.core.monotonic", NullWorker.clock)
    monkeypatch.setattr("assay.engine.core.runner.monotonic", NullWorker.clock)
    core = Core([bundle], Settings(workers=0, queue_seconds=1))
    core.submit(items(1))[0].result(10)
    NullWorker.free.clear()
    core.submit(items(1))
    until(lambda: len(NullWorker.sent) == 2)
    yield core
    core.stop(0.0)


def items(count: int, priority: Priority = Priority.INTERACTIVE, deadline: float | None = None) -> list[Item]:
    return [Item(str(n), DATA, None, deadline, priority) for n in range(count)]


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.001)


def reasons(futures: Sequence[Future[Outcome]]) -> list[str]:
    outcomes = [future.result(10) for future in futures]
    return [one.reason.value if isinstance(one, Rejection) else "scored" for one in outcomes]


def test_calls_are_refused_by_the_time_that_they_would_wait(core: Core) -> None:
    assert core.pause() is None
    futures = core.submit(items(30))
    refused = futures[-1].result(0)
    assert isinstance(refused, Rejection)
    assert refused.about == {"seconds": MOST * PACE, "limit": 1}
    assert "1.1 s" in refused.detail
    assert core.pause() == MOST * PACE
    assert core.submit(items(1))[0].done()
    NullWorker.free.set()
    assert reasons(futures) == ["scored"] * MOST + ["overloaded"] * (30 - MOST)
    until(lambda: core.pause() is None)


def test_what_is_on_its_way_counts_before_it_is_there(core: Core) -> None:
    assert [core.pause(coming) is None for coming in (0, 8, 9)] == [True, True, False]


def test_an_accepted_call_is_answered_in_the_time_that_was_promised(core: Core) -> None:
    for _ in range(200):
        futures = [future for future in core.submit(items(5)) if not future.done()]
        NullWorker.free.set()
        for future in futures:
            outcome = future.result(10)
            assert isinstance(outcome, Verdict)
            assert outcome.seconds["queue"] <= 1 + PACE  # what the worker holds comes before the queue
        NullWorker.free.clear()


def test_streams_leave_calls_half_of_the_queue_and_are_not_refused(core: Core) -> None:
    streamed = core.offer(items(30))
    assert len(streamed) == 5
    assert core.offer(items(1)) == []
    called = core.submit(items(30))
    assert sum(not future.done() for future in called) == MOST - 5
    NullWorker.free.set()
    assert reasons(streamed) == ["scored"] * 5


def test_the_backlog_waits_and_holds_no_call_up(core: Core) -> None:
    backlog = core.offer(items(500, Priority.BACKLOG))
    assert len(backlog) == 500
    assert len(core.submit(items(500, Priority.BACKLOG), wait=True)) == 500
    assert core.pause() is None
    called = core.submit(items(MOST))
    NullWorker.free.set()
    assert reasons(called) == ["scored"] * MOST
    assert reasons(backlog) == ["scored"] * 500
    order = [id for batch in NullWorker.sent for id in batch][2:]
    assert order[:MOST] == [str(n) for n in range(MOST)]


def test_cancelled_calls_leave_at_once_and_never_reach_a_worker(core: Core) -> None:
    before = core._budget.used
    futures = core.submit(items(MOST))
    assert core.pause() is not None
    assert [future.cancel() for future in futures] == [True] * MOST
    assert core._budget.used == before
    assert len(core._fleets) == 0
    assert core.pause() is None
    last = core.submit([Item("last", DATA, priority=Priority.INTERACTIVE)])
    NullWorker.free.set()
    assert reasons(last) == ["scored"]
    assert NullWorker.sent[2:] == [["last"]]


def test_cancelled_records_of_a_backlog_leave_at_once(core: Core) -> None:
    futures = core.offer(items(2000, Priority.BACKLOG))
    for future in futures[::2]:
        assert future.cancel()
    assert len(core._fleets) == 1000
    NullWorker.free.set()
    assert reasons(futures[1::2]) == ["scored"] * 1000
    until(lambda: core._budget.used == 0)


def test_a_call_past_its_deadline_is_answered_while_every_worker_is_busy(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = core._budget.used
    monkeypatch.setattr("assay.engine.core.core.monotonic", time.monotonic)
    late = core.submit(items(3, deadline=time.monotonic() + 0.2))
    assert reasons(late) == [Reason.DEADLINE.value] * 3
    until(lambda: core._budget.used == before)
    assert len(core._fleets) == 0
    NullWorker.free.set()
    assert reasons(core.submit(items(1))) == ["scored"]
    assert sum(map(len, NullWorker.sent)) == 3


def test_a_verdict_tells_how_long_its_worker_held_it(core: Core) -> None:
    """The worker takes four at once, and one ahead each time that it is busy."""
    futures = core.submit(items(6))
    NullWorker.free.set()
    outcomes = [future.result(10) for future in futures]
    stages = [one.seconds for one in outcomes if isinstance(one, Verdict)]
    assert stages == [
        *[{"queue": PACE, "held": 0}] * 4,
        {"queue": PACE, "held": 4 * PACE},
        {"queue": 5 * PACE, "held": PACE},
    ]

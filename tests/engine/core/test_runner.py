"""The thread that keeps a worker alive, with workers that follow a script: nothing here depends on time."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future

import pytest

from assay.engine.admission import Header
from assay.engine.core.queue import BatchLimits, Queue
from assay.engine.core.runner import Runner
from assay.engine.item import Item
from assay.engine.outcome import Outcome, Reason, Rejection
from assay.engine.ticket import Ticket
from assay.engine.worker.process import WorkerLost, WorkerSlow

DONE = Rejection("", Reason.EMPTY, "scored")
Act = Callable[[list[str]], None]


class Scripted:
    """Answers a batch once `act` has let it pass."""

    description = "a script"
    pid = None

    def __init__(self, act: Act, log: list[list[str]]) -> None:
        self._act = act
        self._log = log
        self._batches: deque[list[str]] = deque()

    def check(self) -> None: ...

    def send(self, tickets: Sequence[Ticket]) -> None:
        self._batches.append([ticket.item.id for ticket in tickets])

    def receive(self) -> list[Outcome]:
        ids = self._batches.popleft()
        self._log.append(ids)
        self._act(ids)
        return [DONE] * len(ids)

    def interrupt(self) -> None: ...

    def kill(self) -> None: ...


class Owner:
    def __init__(self) -> None:
        self.outcomes: dict[str, Outcome] = {}
        self.cause: Exception | None = None

    def settle(self, ticket: Ticket, outcome: Outcome) -> None:
        assert ticket.item.id not in self.outcomes
        self.outcomes[ticket.item.id] = outcome

    def drop(self, ticket: Ticket) -> None:
        raise AssertionError("nothing was cancelled")

    def ended(self, runner: Runner, cause: Exception | None) -> None:
        self.cause = cause


def play(ids: str, act: Act, slots: int = 2) -> tuple[dict[str, Outcome], list[list[str]]]:
    """Score one image for each letter, four at a time -> their outcomes, and the batches that were tried."""
    queue = Queue(BatchLimits(images=4, encoded=1000, bytes=10_000))
    header = Header("tiff", 64, 48)
    queue.put(Ticket(Item(one, b"1"), "a", header, 1, float(n), Future()) for n, one in enumerate(ids))
    queue.close()
    owner, log = Owner(), list[list[str]]()
    Runner(lambda: Scripted(act, log), queue, owner, "a runner", slots).run()
    assert owner.cause is None
    assert sorted(owner.outcomes) == sorted(ids)
    return owner.outcomes, log


def slow(ids: list[str]) -> None:
    if "X" in ids:
        raise WorkerSlow("worker 1 was slow", 5.5, ids.index("X"))


def rejected(outcomes: Mapping[str, Outcome]) -> dict[str, Rejection]:
    found = {}
    for id, outcome in outcomes.items():
        assert isinstance(outcome, Rejection)
        if outcome.reason is not Reason.EMPTY:
            found[id] = outcome
    return found


@pytest.mark.parametrize("place", range(4))
def test_one_that_takes_too_long_is_tried_alone_behind_its_neighbours(place: int) -> None:
    batch = [*"abc"[:place], "X", *"abc"[place:]]
    outcomes, log = play("".join(batch) + "efgh", slow)
    assert log == [batch, ["a"], ["b"], ["c"], ["X"], ["e", "f", "g", "h"]]
    refused = rejected(outcomes)
    assert list(refused) == ["X"]
    assert refused["X"].reason is Reason.UNDECODABLE
    assert "took more than 5.5 s" in refused["X"].detail
    assert refused["X"].about == {"format": "tiff", "width": 64, "height": 48, "seconds": 5.5}


def test_one_that_was_alone_from_the_start_is_not_tried_again() -> None:
    outcomes, log = play("X", slow)
    assert log == [["X"]]
    assert rejected(outcomes)["X"].reason is Reason.UNDECODABLE


def test_one_that_is_in_time_when_alone_is_scored() -> None:
    def crowded(ids: list[str]) -> None:
        if len(ids) > 1:
            slow(ids)

    outcomes, _ = play("abXc", crowded)
    assert not rejected(outcomes)


def test_two_slow_ones_of_a_batch_are_each_refused_for_themselves() -> None:
    def first_of_two(ids: list[str]) -> None:
        if bad := set(ids) & {"X", "Y"}:
            raise WorkerSlow("worker 1 was slow", 5.0, min(map(ids.index, bad)))

    outcomes, log = play("aXYb", first_of_two)
    assert rejected(outcomes).keys() == {"X", "Y"}
    assert log[1:] == [["a"], ["Y"], ["b"], ["X"]]


def test_one_whose_worker_is_lost_in_another_way_is_given_two_of_them() -> None:
    def silent(ids: list[str]) -> None:
        if "X" in ids:
            raise WorkerLost("worker 1 did not answer")

    outcomes, log = play("aXbc", silent)
    assert log.count(["X"]) == 2
    assert rejected(outcomes)["X"].reason is Reason.INTERNAL


@pytest.mark.parametrize("slow_first", [True, False])
def test_slow_once_and_lost_once_in_either_order(slow_first: bool) -> None:
    kinds = [WorkerSlow("slow", 5.0, 0), WorkerLost("lost")]
    script = iter(kinds if slow_first else kinds[::-1])

    def act(ids: list[str]) -> None:
        raise next(script)

    outcomes, log = play("X", act)
    assert rejected(outcomes)["X"].reason is Reason.UNDECODABLE
    assert len(log) == (1 if slow_first else 2)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_worker_holds_so_many_batches_and_no_more(number: int) -> None:
    held: list[int] = []

    class Counted(Scripted):
        def receive(self) -> list[Outcome]:
            held.append(len(self._batches))
            return super().receive()

    queue = Queue(BatchLimits(images=2, encoded=1000, bytes=10_000))
    header = Header("tiff", 64, 48)
    queue.put(
        Ticket(Item(one, b"1"), "a", header, 1, float(n), Future()) for n, one in enumerate("abcdefghij")
    )
    queue.close()
    owner = Owner()
    Runner(lambda: Counted(lambda ids: None, []), queue, owner, "a runner", number).run()
    assert len(owner.outcomes) == 10
    assert held == [*[number] * (6 - number), *range(number - 1, 0, -1)]


@pytest.mark.parametrize("place", range(12))
def test_one_that_ends_workers_is_found_among_three_batches(place: int) -> None:
    """Which ends a worker while an earlier batch is scored, because the worker has begun with its own."""
    ids = "abcdefghijkl"
    bad = ids[place]
    waiting: list[str] = list(ids)

    def act(batch: list[str]) -> None:
        ahead = waiting[: waiting.index(batch[0]) + 12] if len(batch) > 1 else batch
        if bad in ahead:
            raise WorkerLost("worker 1 was ended by signal 11")
        for one in batch:
            waiting.remove(one)

    outcomes, _ = play(ids, act, 3)
    assert list(rejected(outcomes)) == [bad]
    assert rejected(outcomes)[bad].reason is Reason.INTERNAL

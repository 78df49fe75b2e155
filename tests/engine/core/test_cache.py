"""What was asked for before is not computed again; nobody notices but by the time it takes.

The worker is scripted: it holds its batches until it is let, and tells which images it was given.
"""

import pickle
import random
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import nullcontext
from dataclasses import replace
from time import monotonic
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.images import good

from assay.engine.admission import Header
from assay.engine.bundle import Bundle
from assay.engine.core import Core, cache
from assay.engine.core.cache import ENTRY, Cache
from assay.engine.errors import EngineFault
from assay.engine.item import Item, Priority
from assay.engine.outcome import Label, Outcome, Reason, Rejection, Verdict
from assay.engine.settings import MIB, Settings
from assay.engine.telemetry.metrics import OUTCOMES
from assay.engine.ticket import Ticket
from assay.engine.worker.process import WorkerLost

JPEG = good()["jpeg 4:2:0"].data
HOUR = monotonic() + 3600
TRANSIENT = {Reason.DEADLINE, Reason.OVERLOADED, Reason.INTERNAL, Reason.UNKNOWN_BUNDLE}


class Scripted:
    description = "scripted"
    pid = None
    free: ClassVar[threading.Event]
    given: ClassVar[list[str]]
    answer: ClassVar[Callable[[Ticket], Outcome]]

    def __init__(self, bundles: object, settings: object) -> None:
        self._batches: deque[Sequence[Ticket]] = deque()

    def check(self) -> None: ...

    def send(self, tickets: Sequence[Ticket]) -> None:
        self.given.extend(ticket.item.id for ticket in tickets)
        self._batches.append(tickets)

    def receive(self) -> list[Outcome]:
        assert self.free.wait(60)
        return [Scripted.answer(ticket) for ticket in self._batches.popleft()]

    def interrupt(self) -> None:
        self.free.set()

    def kill(self) -> None: ...


@pytest.fixture(params=[pytest.param(MIB, id="in the caller"), pytest.param(0, id="in a thread")])
def core(bundle: Bundle, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Core]:
    monkeypatch.setattr(cache, "LARGE", request.param)
    monkeypatch.setattr("assay.engine.inline.InlineWorker", Scripted)
    monkeypatch.setattr(Scripted, "free", threading.Event(), raising=False)
    monkeypatch.setattr(Scripted, "given", [], raising=False)
    monkeypatch.setattr(Scripted, "answer", staticmethod(verdict_of(bundle)), raising=False)
    core = Core([bundle], Settings(workers=0, batch=1), cache=MIB)
    yield core
    Scripted.free.set()
    core.stop()


def verdict_of(bundle: Bundle) -> Callable[[Ticket], Outcome]:
    def verdict(ticket: Ticket) -> Outcome:
        boxes = {"boxes": [[0, 1, 2.5]]}
        return Verdict(
            "", Label.AUTHENTIC, 0.25, {"x": 1.0}, bundle.name, bundle.version, boxes, {"view": 1.0}
        )

    return verdict


def image(number: int) -> bytes:
    """An image of its own for each number."""
    return JPEG + bytes([number])


def ask(core: Core, name: str, number: int, **wishes: object) -> Future[Outcome]:
    (future,) = core.submit([Item(name, image(number), **wishes)])  # type: ignore[arg-type]
    assert core._cache
    core._cache._hashing.submit(lambda: None).result(60)  # what is hashed by a thread was entered
    return future


def occupy(core: Core) -> Future[Outcome]:
    """Give the worker an image, so that what comes next waits in the queue."""
    future = ask(core, "busy", 255)
    end = monotonic() + 30
    while not Scripted.given:
        assert monotonic() < end
        threading.Event().wait(0.001)
    return future


def test_what_comes_again_is_answered_without_a_worker(core: Core) -> None:
    Scripted.free.set()
    first = ask(core, "a", 1).result(60)
    Scripted.free.clear()
    again = ask(core, "b", 1).result(60)
    assert Scripted.given == ["a"]
    assert isinstance(first, Verdict)
    assert isinstance(again, Verdict)
    assert (first.id, again.id) == ("a", "b")
    assert again.seconds.keys() == {"cached"}
    assert first.seconds.keys() == {"queue", "held", "view"}
    assert {**again.to_dict(), "id": "a", "seconds": {}} == {**first.to_dict(), "seconds": {}}
    assert core._budget.used == 0


def test_what_a_caller_does_to_an_outcome_stays_with_that_caller(core: Core) -> None:
    Scripted.free.set()
    for name in "abc":
        outcome = ask(core, name, 1).result(60)
        assert isinstance(outcome, Verdict)
        assert outcome.evidence == {"boxes": [[0, 1, 2.5]]}
        if name == "b":
            outcome.evidence["boxes"].clear()


def test_the_same_image_waiting_several_times_is_computed_once(core: Core) -> None:
    busy = occupy(core)
    futures = [ask(core, name, 1) for name in "abc"]
    before = OUTCOMES.labels("brightness", "authentic")._value.get()
    Scripted.free.set()
    outcomes = [future.result(60) for future in futures]
    assert [outcome.id for outcome in outcomes] == ["a", "b", "c"]
    stages = [set(outcome.seconds) for outcome in outcomes if isinstance(outcome, Verdict)]
    assert stages == [{"queue", "held", "view"}, {"shared"}, {"shared"}]
    assert busy.result(60).id == "busy"
    core.stop()
    assert Scripted.given == ["busy", "a"]
    assert OUTCOMES.labels("brightness", "authentic")._value.get() - before == 4
    assert core._budget.used == 0


@pytest.mark.parametrize("leaving", ["a", "b", "c"])
def test_one_that_is_cancelled_takes_nobody_with_it(core: Core, leaving: str) -> None:
    occupy(core)
    futures = {name: ask(core, name, 1) for name in "abc"}
    assert futures.pop(leaving).cancel()
    Scripted.free.set()
    assert [future.result(60).id for future in futures.values()] == list(futures)
    core.stop()
    assert Scripted.given[1:] == ["a"]  # one computation, and it kept its place
    assert core._budget.used == 0


@pytest.mark.parametrize("leaving", ["a", "b"])
def test_a_deadline_of_one_takes_nobody_with_it(core: Core, leaving: str) -> None:
    occupy(core)
    futures = {name: ask(core, name, 1, deadline=HOUR + (name != leaving) * 60) for name in "ab"}
    core._deadlines.expire(HOUR + 1)
    late = futures.pop(leaving).result(60)
    assert isinstance(late, Rejection)
    assert (late.id, late.reason) == (leaving, Reason.DEADLINE)
    Scripted.free.set()
    (other,) = futures
    assert isinstance(futures[other].result(60), Verdict)
    core.stop()
    assert core._budget.used == 0


def test_what_nobody_waits_for_any_more_is_not_computed(core: Core) -> None:
    occupy(core)
    futures = [ask(core, "a", 1, deadline=HOUR), ask(core, "b", 1), ask(core, "c", 1, deadline=HOUR)]
    assert futures[1].cancel()
    core._deadlines.expire(HOUR + 1)
    assert len(core._fleets) == 0
    again = ask(core, "d", 1)
    Scripted.free.set()
    assert again.result(60).id == "d"
    core.stop()
    assert Scripted.given[1:] == ["d"]
    assert core._budget.used == 0


def test_what_a_worker_has_already_is_kept_though_its_caller_left(core: Core) -> None:
    first = occupy(core)
    assert first.cancel()
    late = ask(core, "late", 255)
    Scripted.free.set()
    assert late.result(60).id == "late"
    core.stop()
    assert Scripted.given == ["busy"]
    assert core._budget.used == 0


def test_who_is_urgent_does_not_wait_behind_the_backlog(core: Core) -> None:
    occupy(core)
    patient = ask(core, "patient", 1)
    urgent = ask(core, "urgent", 1, priority=Priority.INTERACTIVE)
    joining = ask(core, "joining", 1)
    Scripted.free.set()
    outcomes = [future.result(60) for future in (patient, urgent, joining)]
    assert [outcome.id for outcome in outcomes] == ["patient", "urgent", "joining"]
    core.stop()
    assert Scripted.given[1:] == ["urgent", "patient"]


@pytest.mark.parametrize("reason", [*Reason])
def test_only_what_follows_from_the_image_is_kept(core: Core, reason: Reason) -> None:
    Scripted.answer = staticmethod(lambda ticket: Rejection("", reason, "a sentence", {"bytes": 1}))
    Scripted.free.set()
    outcomes = [ask(core, name, 1).result(60) for name in "ab"]
    assert outcomes == [Rejection(name, reason, "a sentence", {"bytes": 1}) for name in "ab"]
    assert Scripted.given == (["a", "b"] if reason in TRANSIENT else ["a"])


def test_a_verdict_of_another_version_is_not_kept(core: Core) -> None:
    Scripted.answer = staticmethod(
        lambda ticket: Verdict("", Label.AUTHENTIC, 0.5, {"x": 0.0}, "brightness", "before")
    )
    Scripted.free.set()
    assert [ask(core, name, 1).result(60).id for name in "ab"] == ["a", "b"]
    assert Scripted.given == ["a", "b"]


def test_a_deadline_that_has_passed_is_late_though_the_outcome_is_known(core: Core) -> None:
    Scripted.free.set()
    ask(core, "a", 1).result(60)
    late = ask(core, "b", 1, deadline=monotonic() - 1).result(60)
    assert isinstance(late, Rejection)
    assert late.reason is Reason.DEADLINE


def test_all_who_wait_learn_that_the_engine_is_lost(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    occupy(core)
    futures = [ask(core, name, 1) for name in "ab"]

    def lost(*args: object) -> Outcome:
        raise WorkerLost("gone")

    Scripted.answer = staticmethod(lost)
    monkeypatch.setattr(Scripted, "__init__", lost)
    Scripted.free.set()
    for future in futures:
        with pytest.raises(EngineFault, match="gone"):
            future.result(60)
    assert core._budget.used == 0


def test_by_default_nothing_is_kept_or_shared(inline: Core) -> None:
    outcomes = [future.result(60) for _ in "ab" for future in inline.submit([Item("a", JPEG)] * 2)]
    for outcome in outcomes:
        assert isinstance(outcome, Verdict)
        assert not {"cached", "shared"} & outcome.seconds.keys()


def test_whatever_callers_do_each_has_one_outcome_and_nothing_is_left(core: Core) -> None:
    """Threads that ask for few images, and leave, and are late, in an order that nobody knows."""
    Scripted.free.set()
    futures: list[tuple[str, Future[Outcome]]] = []

    def caller(seed: int) -> None:
        draw = random.Random(seed)
        for number in range(60):
            name = f"{seed}/{number}"
            deadline = monotonic() + draw.choice([0.0005, 60.0])
            item = Item(name, image(draw.randrange(5)), None, deadline, draw.choice(list(Priority)))
            (future,) = core.submit([item])
            futures.append((name, future))
            if draw.random() < 0.3:
                future.cancel()
            if draw.random() < 0.1 and core._cache:
                with core._cache._lock:  # as if all were forgotten
                    core._cache._kept.clear()
                    core._cache._bytes = 0

    callers = [threading.Thread(target=caller, args=(seed,)) for seed in range(8)]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join()
    for name, future in futures:
        if not future.cancelled():
            assert future.result(60).id == name
    core.stop()
    assert core._budget.used == 0
    assert core._cache
    assert not core._cache._of
    assert not core._cache._under_way


class Answering:
    """Computes whatever it is asked at once; an outcome is as large as its image says."""

    def __init__(self, limit: int) -> None:
        self.cache = Cache(limit, self)
        self.computed: list[bytes] = []

    @staticmethod
    def outcome(data: bytes) -> Rejection:
        return Rejection("", Reason.TRUNCATED, "x" * data[1] * 10)

    def put(self, tickets: Sequence[Ticket], fleet: Any) -> None:
        for ticket in tickets:
            self.computed.append(ticket.item.data)
            ticket.future.set_result(self.outcome(ticket.item.data))

    def watch(self, ticket: Ticket) -> None: ...

    @staticmethod
    def held(fleet: Any) -> Any:
        return nullcontext(fleet)

    def answer(self, ticket: Ticket, outcome: Outcome) -> None:
        ticket.future.set_result(outcome)

    def drop(self, ticket: Ticket) -> None: ...


@given(limit=st.integers(1, 6 * ENTRY), asked=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 255))))
def test_it_holds_what_was_asked_for_last_and_no_more_than_its_bytes(
    bundle: Bundle, limit: int, asked: list[tuple[int, int]]
) -> None:
    owner = Answering(limit)
    fleet: Any = SimpleNamespace(bundles={bundle.name: bundle})
    held: OrderedDict[bytes, int] = OrderedDict()
    computed: list[bytes] = []
    for data in map(bytes, asked):
        ticket = Ticket(Item("i", data), bundle.name, Header("jpeg", 8, 8), 1, 0.0, Future())
        owner.cache.enter([ticket], fleet)
        assert ticket.future.result(0) == replace(owner.outcome(data), id="i")
        size = ENTRY + len(pickle.dumps(owner.outcome(data), pickle.HIGHEST_PROTOCOL))
        if data not in held:
            computed.append(data)
        if size <= limit:
            held[data] = size
            held.move_to_end(data)
        while sum(held.values()) > limit:
            held.popitem(last=False)
        assert owner.computed == computed
        assert owner.cache._bytes == sum(held.values())
    owner.cache.close()

"""New bundles take over while images come: workers that a test lets go on, in both orders."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import ClassVar

import pytest
from support.bundles import plain_bundle
from support.images import good

from assay.engine.bundle import Bundle
from assay.engine.core import Core, cache
from assay.engine.core.room import check_room
from assay.engine.errors import BundleError, EngineFault, SetupError
from assay.engine.item import Item
from assay.engine.outcome import Label, Outcome, Reason, Verdict
from assay.engine.settings import MIB, Settings
from assay.engine.ticket import Ticket
from assay.engine.worker.process import WorkerLost

DATA = good()["jpeg 4:2:0"].data


class Held:
    """Answers when the gate of its version is open; the versions of `lost` end their workers instead."""

    description = "held"
    pid = None
    gates: ClassVar[dict[str, threading.Event]]
    started: ClassVar[list[str]]
    ended: ClassVar[list[str]]
    lost: ClassVar[set[str]]
    broken: ClassVar[dict[str, Exception]]

    def __init__(self, bundles: Sequence[Bundle], settings: object) -> None:
        self._bundles = {bundle.name: bundle for bundle in bundles}
        self._version = bundles[0].version
        self._batches: deque[Sequence[Ticket]] = deque()
        if self._version in self.broken:
            raise self.broken[self._version]
        self.started.append(self._version)

    def check(self) -> None: ...

    def send(self, tickets: Sequence[Ticket]) -> None:
        self._batches.append(tickets)

    def receive(self) -> list[Outcome]:
        assert self.gates[self._version].wait(60)
        if self._version in self.lost:
            self.broken[self._version] = WorkerLost("it is gone")
            raise WorkerLost("it is gone")
        tickets = self._batches.popleft()
        served = self._bundles[tickets[0].bundle]
        return [Verdict("", Label.AUTHENTIC, 0.5, {}, served.name, served.version) for _ in tickets]

    def interrupt(self) -> None:
        self.gates[self._version].set()

    def kill(self) -> None:
        self.ended.append(self._version)


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.001)


@pytest.fixture
def versions(tmp_path: Path) -> list[Bundle]:
    return [
        Bundle.load(plain_bundle(tmp_path / version, version=version)) for version in ("1.0", "2.0", "3.0")
    ]


@pytest.fixture(params=["computed", "cached", "cached, hashed in a thread"])
def core(
    versions: list[Bundle], monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Core]:
    monkeypatch.setattr(cache, "LARGE", 0 if "thread" in request.param else MIB)
    Held.gates = {bundle.version: threading.Event() for bundle in versions}
    Held.started, Held.ended, Held.lost, Held.broken = [], [], set(), {}
    monkeypatch.setattr("assay.engine.inline.InlineWorker", Held)
    core = Core(versions[:1], Settings(workers=0), cache=0 if request.param == "computed" else MIB)
    yield core
    for gate in Held.gates.values():
        gate.set()
    core.stop(0.0)


def send(core: Core, count: int = 20, bundle: str | None = None) -> list[Future[Outcome]]:
    return core.submit([Item(str(number), DATA, bundle) for number in range(count)])


def judged_by(futures: Sequence[Future[Outcome]]) -> set[str]:
    outcomes = [future.result(60) for future in futures]
    assert [outcome.id for outcome in outcomes] == [str(number) for number in range(len(outcomes))]
    return {outcome.version if isinstance(outcome, Verdict) else outcome.reason.value for outcome in outcomes}


@pytest.mark.parametrize("first", ["1.0", "2.0"])
def test_each_image_is_answered_by_the_version_that_it_came_for(
    core: Core, versions: list[Bundle], first: str
) -> None:
    before = send(core)
    core.swap(versions[1:2])
    assert core.bundles["brightness"].version == "2.0"
    after = send(core)
    for version in sorted(Held.gates, key=lambda version: version != first):
        Held.gates[version].set()
        assert judged_by({"1.0": before, "2.0": after}.get(version, [])) <= {version}
    until(lambda: Held.ended == ["1.0"])
    assert core._budget.used == 0


def test_what_a_former_version_said_is_not_given_again(core: Core, versions: list[Bundle]) -> None:
    for gate in Held.gates.values():
        gate.set()
    assert judged_by(send(core, 3)) == {"1.0"}
    core.swap(versions[1:2])
    assert judged_by(send(core, 3)) == {"2.0"}
    core.swap(versions[:1])
    assert judged_by(send(core, 3)) == {"1.0"}


def test_who_looks_at_verdicts_sees_each_that_was_computed_once(core: Core) -> None:
    seen: list[str] = []
    core.on_verdict.append(lambda ticket, verdict: seen.append(ticket.item.id))
    futures = send(core, 3)
    if core._cache:
        core._cache._hashing.submit(lambda: None).result(60)  # what is hashed by a thread was entered
    Held.gates["1.0"].set()
    judged_by(futures)
    judged_by(send(core, 3))
    core.stop()  # who looks is told after the caller
    assert len(seen) == (1 if core._cache else 6)


def test_an_image_that_is_still_hashed_is_answered_by_the_version_that_it_came_for(
    core: Core, versions: list[Bundle]
) -> None:
    """The former bundles' queue is closed only when nobody puts anything in any more."""
    hashing = threading.Event()
    if core._cache:
        core._cache._hashing.submit(hashing.wait)
    future = send(core, 1)
    swap = threading.Thread(target=core.swap, args=[versions[1:2]])
    swap.start()
    until(lambda: core.bundles["brightness"].version == "2.0")
    hashing.set()
    swap.join(60)
    assert not swap.is_alive()
    for gate in Held.gates.values():
        gate.set()
    assert judged_by(future) == {"1.0"}


@pytest.mark.parametrize("cause", [BundleError("no"), SetupError("no"), WorkerLost("no"), RuntimeError("no")])
def test_what_does_not_start_changes_nothing_and_says_why(
    core: Core, versions: list[Bundle], cause: Exception
) -> None:
    Held.broken["2.0"] = cause
    before = send(core)
    with pytest.raises((BundleError, SetupError), match="no"):
        core.swap(versions[1:2])
    assert core.bundles["brightness"].version == "1.0"
    assert core.serving
    after = send(core)
    Held.gates["1.0"].set()
    assert judged_by(before) == judged_by(after) == {"1.0"}


def test_a_bundle_that_no_detector_runs_is_refused_before_a_worker_is_started(
    core: Core, versions: list[Bundle], tmp_path: Path
) -> None:
    other = Bundle.load(plain_bundle(tmp_path / "other", kind="divination"))
    with pytest.raises(BundleError, match="divination"):
        core.swap([other])
    with pytest.raises(SetupError, match="at least one"):
        core.swap([])
    with pytest.raises(SetupError, match="each name once"):
        core.swap(versions)
    assert Held.started == ["1.0"]


@pytest.mark.parametrize("kept", [True, False])
def test_what_the_former_workers_lose_is_passed_on_or_refused(
    core: Core, versions: list[Bundle], kept: bool, tmp_path: Path
) -> None:
    other = Bundle.load(plain_bundle(tmp_path / "other", name="other", version="2.0"))
    before = send(core)
    core.swap(versions[1:2] if kept else [other])
    Held.lost.add("1.0")
    Held.gates["1.0"].set()
    Held.gates["2.0"].set()
    assert judged_by(before) == ({"2.0"} if kept else {Reason.INTERNAL.value})
    assert judged_by(send(core)) == {"2.0"}
    assert core.serving
    until(lambda: core._budget.used == 0)


def test_the_loss_of_those_that_took_over_is_the_loss_of_the_engine(
    core: Core, versions: list[Bundle]
) -> None:
    core.swap(versions[1:2])
    Held.lost.add("2.0")
    Held.gates["2.0"].set()
    (future,) = send(core, 1)
    with pytest.raises(EngineFault, match="no worker is left"):
        future.result(60)
    with pytest.raises(EngineFault, match="no worker is left"):
        core.swap(versions[2:])


def test_a_third_waits_until_the_first_has_gone(core: Core, versions: list[Bundle]) -> None:
    before = send(core)
    core.swap(versions[1:2])
    third = threading.Thread(target=core.swap, args=(versions[2:],))
    third.start()
    between = send(core)
    assert Held.started == ["1.0", "2.0"]
    Held.gates["1.0"].set()
    third.join(60)
    assert Held.ended[0] == "1.0"
    assert core.bundles["brightness"].version == "3.0"
    after = send(core)
    Held.gates["3.0"].set()
    Held.gates["2.0"].set()
    assert [judged_by(futures) for futures in (before, between, after)] == [{"1.0"}, {"2.0"}, {"3.0"}]


def test_a_stop_during_a_swap_ends_all(core: Core, versions: list[Bundle]) -> None:
    asked, answer = threading.Event(), threading.Event()
    raised: list[Exception] = []

    class Slow(Exception):
        pass

    def start_whole(fleet: object) -> None:
        asked.set()
        assert answer.wait(60)

    def swap() -> None:
        try:
            core.swap(versions[1:2])
        except EngineFault as fault:
            raised.append(fault)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("assay.engine.core.fleet.Fleet.start_whole", start_whole)
        thread = threading.Thread(target=swap)
        thread.start()
        assert asked.wait(60)
        core.stop(0.0)
        answer.set()
        thread.join(60)
    assert len(raised) == 1
    assert core.bundles["brightness"].version == "1.0"


@pytest.mark.parametrize("cancelled_first", [True, False])
def test_cancelling_frees_a_place_in_either_queue(
    core: Core, versions: list[Bundle], cancelled_first: bool
) -> None:
    before = send(core, 20)
    if cancelled_first:
        waiting = [future for future in before if future.cancel()]
    core.swap(versions[1:2])
    if not cancelled_first:
        waiting = [future for future in before if future.cancel()]
    assert waiting
    for gate in Held.gates.values():
        gate.set()
    left = [future.result(60) for future in before if not future.cancelled()]
    assert all(isinstance(outcome, Verdict) and outcome.version == "1.0" for outcome in left)
    until(lambda: core._budget.used == 0)


def test_a_stream_through_many_changes_loses_and_doubles_nothing(core: Core, versions: list[Bundle]) -> None:
    for gate in Held.gates.values():
        gate.set()
    answers: dict[str, list[Outcome]] = {}
    stop = threading.Event()

    def stream(name: str) -> None:
        number = 0
        while not stop.is_set():
            items = [Item(f"{name}/{number + n}", DATA) for n in range(5)]
            number += 5
            for item, future in zip(items, core.submit(items, wait=True), strict=True):
                answers.setdefault(item.id, []).append(future.result(60))

    threads = [threading.Thread(target=stream, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for number in range(1, 13):
        core.swap([versions[number % 3]])
    stop.set()
    for thread in threads:
        thread.join(60)
    until(lambda: core._budget.used == 0)
    assert answers
    for id, outcomes in answers.items():
        (outcome,) = outcomes
        assert isinstance(outcome, Verdict)
        assert outcome.id == id


def test_without_memory_for_two_sets_of_workers_it_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "smaps_rollup").write_text(
        "x [rollup]\nRss: 9 kB\nPrivate_Clean: 1024 kB\nPrivate_Dirty: 2048 kB\n"
    )
    monkeypatch.setattr("assay.engine.core.room.PROC", tmp_path)
    monkeypatch.setattr("assay.engine.core.room.CGROUP", tmp_path)
    check_room([7], 1000)  # nothing is known of what is free
    (tmp_path / "meminfo").write_text("MemTotal: 99999 kB\nMemAvailable: 12288 kB\n")
    check_room([7, 8], 4)
    with pytest.raises(SetupError, match=r"5 more workers take 15 MiB.*12 MiB are free"):
        check_room([7, 8], 5)
    (tmp_path / "memory.max").write_text("10485760\n")
    (tmp_path / "memory.current").write_text("8388608\n")
    (tmp_path / "memory.stat").write_text("anon 1\ninactive_file 1048576\n")
    check_room([7], 1)
    with pytest.raises(SetupError, match="3 MiB are free"):
        check_room([7], 2)
    (tmp_path / "memory.max").write_text("max\n")
    check_room([7], 4)


def test_real_workers_are_replaced_under_a_stream(tmp_path: Path, bundle: Bundle) -> None:
    new = Bundle.load(plain_bundle(tmp_path / "new", version="2.0.0"))
    core = Core([bundle], Settings(workers=1))
    try:
        former = core.pids()
        futures = send(core, 200)
        core.swap([new])
        futures += core.submit([Item(str(number), DATA) for number in range(200, 220)])
        assert judged_by(futures) == {"1.0.0", "2.0.0"}
        until(lambda: len(core.pids()) == 1)
        assert core.pids() != former
        broken = Bundle.load(plain_bundle(tmp_path / "broken", version="3.0.0"))
        (tmp_path / "broken" / "classify.onnx").write_bytes(b"no graph")
        with pytest.raises(BundleError, match="is not the file that the manifest names"):
            core.swap([broken])
        assert judged_by(send(core)) == {"2.0.0"}
    finally:
        core.stop()

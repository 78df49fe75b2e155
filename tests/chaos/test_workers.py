"""Workers that die, hang or cannot come back: what they held is neither lost nor wrongly blamed."""

import contextlib
import os
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import simplejpeg
from onnx import helper
from support.bundles import brightness_graph, plain_bundle
from support.images import encode

from assay.engine.admission import Header
from assay.engine.admission import admit as real_admit
from assay.engine.bundle import Bundle
from assay.engine.core import Core
from assay.engine.errors import BundleError, EngineFault
from assay.engine.item import Item
from assay.engine.outcome import Reason, Rejection, Verdict
from assay.engine.settings import Settings
from assay.engine.worker import patience

pytestmark = pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")


def plain(value: int) -> bytes:
    data: bytes = simplejpeg.encode_jpeg(np.full((48, 64, 3), value, np.uint8), quality=95)
    return data


GOOD, BLACK = plain(180), plain(0)


@pytest.fixture
def core(tmp_path: Path) -> Iterator[Core]:
    core = Core([Bundle.load(plain_bundle(tmp_path / "bundle"))], Settings(workers=2))
    yield core
    core.stop(0.0)


@pytest.fixture
def poisonous(tmp_path: Path) -> Iterator[Core]:
    """A core whose network has no finite answer for a black image: its worker ends."""
    model = brightness_graph(gain=1.0)
    one = onnx.numpy_helper.from_array(np.ones(1, np.float32), "one")
    model.graph.initializer.append(one)
    model.graph.node[-1].output[0] = "mean_of_all"
    model.graph.node.append(helper.make_node("Add", ["mean_of_all", "one"], ["from_zero"]))
    model.graph.node.append(helper.make_node("Log", ["from_zero"], ["logit"]))
    core = Core([Bundle.load(plain_bundle(tmp_path / "poisonous", graph=model))], Settings(workers=2))
    yield core
    core.stop(0.0)


def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def test_killed_workers_are_replaced_and_every_item_is_answered_once(core: Core) -> None:
    answers: list[str] = []
    stop = threading.Event()

    def kill() -> None:
        killed = 0
        while not stop.wait(0.3) and killed < 6:
            for pid in core.pids()[: 1 + killed % 2]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                killed += 1

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        futures = core.submit([Item(str(number), GOOD) for number in range(6000)], wait=True)
        for future in futures:
            future.add_done_callback(lambda done: answers.append(done.result().id))
        outcomes = [future.result(120) for future in futures]
    finally:
        stop.set()
        killer.join()
    assert sorted(answers, key=int) == [str(number) for number in range(6000)]
    # a kill that meets an image alone twice is indistinguishable from a poisonous image
    assert sum(isinstance(outcome, Rejection) for outcome in outcomes) <= 1
    assert core._budget.used == 0


def test_a_poisonous_image_is_refused_as_internal_and_its_neighbours_are_scored(poisonous: Core) -> None:
    data = [GOOD] * 40
    data[13] = BLACK
    futures = poisonous.submit([Item(str(number), one) for number, one in enumerate(data)])
    outcomes = [future.result(120) for future in futures]
    refused = [outcome for outcome in outcomes if not isinstance(outcome, Verdict)]
    assert [outcome.id for outcome in refused] == ["13"]
    assert isinstance(refused[0], Rejection)
    assert refused[0].reason is Reason.INTERNAL
    assert "the logit is -inf" in refused[0].detail
    assert isinstance(poisonous.submit([Item("after", GOOD)])[0].result(60), Verdict)


def test_a_hung_worker_is_replaced(tmp_path: Path) -> None:
    bundle = Bundle.load(plain_bundle(tmp_path / "bundle"))
    core = Core([bundle], Settings(workers=1, worker_timeout=0.2))
    try:
        (first,) = core.pids()
        os.kill(first, signal.SIGSTOP)
        outcome = core.submit([Item("1", GOOD)])[0].result(60)
        assert isinstance(outcome, Verdict)
        assert core.pids() != [first]
    finally:
        core.stop(0.0)


def test_an_image_that_takes_too_long_to_decode_is_refused_and_its_neighbours_are_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "PACES", 0)
    monkeypatch.setattr(patience, "SECONDS_PER_BYTE", 0.0)
    monkeypatch.setattr(patience, "LOOK", 0.01)
    slow = encode(np.zeros((8000, 8000, 3), np.uint8), "PNG")
    core = Core([Bundle.load(plain_bundle(tmp_path / "bundle"))], Settings(workers=1, worker_timeout=0.1))
    try:
        futures = core.submit([Item("0", GOOD), Item("1", slow), Item("2", GOOD), Item("3", GOOD)])
        outcomes = [future.result(60) for future in futures]
    finally:
        core.stop(0.0)
    refused = [outcome for outcome in outcomes if isinstance(outcome, Rejection)]
    assert [(outcome.id, outcome.reason) for outcome in refused] == [("1", Reason.UNDECODABLE)]
    assert "took more than 0.1 s of processor time" in refused[0].detail


def test_an_image_that_takes_more_memory_than_was_reserved_is_refused_and_costs_no_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    greedy = encode(np.zeros((5000, 4000, 3), np.uint8), "JPEG", progressive=True, subsampling=0)

    def admit(data: bytes, *limits: Any) -> Header:
        return replace(real_admit(data, *limits), multiscan=False, held=0)  # so that too little is reserved

    monkeypatch.setattr("assay.engine.core.core.admit", admit)
    core = Core([Bundle.load(plain_bundle(tmp_path / "bundle"))], Settings(workers=1))
    try:
        (pid,) = core.pids()
        soft, _ = resource.prlimit(pid, resource.RLIMIT_DATA)
        assert 0 < soft < core.settings.memory + (2 << 30)
        futures = core.submit([Item("0", GOOD), Item("1", greedy), Item("2", GOOD), Item("3", GOOD)])
        outcomes = [future.result(60) for future in futures]
        assert core.pids() == [pid]
    finally:
        core.stop(0.0)
    refused = [outcome for outcome in outcomes if isinstance(outcome, Rejection)]
    assert [(outcome.id, outcome.reason) for outcome in refused] == [("1", Reason.UNDECODABLE)]
    assert "takes more memory than" in refused[0].detail


def test_a_worker_that_cannot_come_back_is_a_fault_of_the_engine_not_of_an_image(core: Core) -> None:
    faults: list[EngineFault] = []
    core.on_fault(faults.append)
    (next(iter(core.bundles.values())).path / "classify.onnx").write_bytes(b"gone")
    for pid in core.pids():
        os.kill(pid, signal.SIGSTOP)
    futures = core.submit([Item(str(number), GOOD) for number in range(50)])
    for pid in core.pids():
        os.kill(pid, signal.SIGKILL)
    for future in futures:
        with pytest.raises(EngineFault, match="no worker is left"):
            future.result(60)
    until(lambda: len(faults) == 1)
    assert not core.serving
    assert core._budget.used == 0
    with pytest.raises(EngineFault):
        core.submit([Item("late", GOOD)])


def test_one_lost_device_leaves_the_others_working(core: Core) -> None:
    graph = next(iter(core.bundles.values())).path / "classify.onnx"
    contents = graph.read_bytes()
    graph.write_bytes(b"gone")
    os.kill(core.pids()[0], signal.SIGKILL)
    for _ in range(100):  # until the dead worker's runner has taken one, and noticed
        outcomes = [future.result(60) for future in core.submit([Item(str(n), GOOD) for n in range(20)])]
        assert all(isinstance(outcome, Verdict) for outcome in outcomes)
        if len(core.pids()) == 1:
            break
    graph.write_bytes(contents)
    assert core.serving
    assert len(core.pids()) == 1


def test_a_graph_that_no_runtime_reads_is_a_broken_bundle(tmp_path: Path) -> None:
    folder = plain_bundle(tmp_path / "bundle", graph=b"this is no network")
    with pytest.raises(BundleError, match="OpenVINO cannot run it"):
        Core([Bundle.load(folder)], Settings(workers=1))


def test_workers_end_with_their_front(tmp_path: Path) -> None:
    folder = plain_bundle(tmp_path / "bundle")
    read, write = os.pipe()
    front = os.fork()
    if front == 0:  # a front that is killed without a chance to tidy up
        core = Core([Bundle.load(folder)], Settings(workers=2))
        os.write(write, " ".join(map(str, core.pids())).encode())
        os.kill(os.getpid(), signal.SIGKILL)
    os.close(write)
    with os.fdopen(read) as pipe:
        pids = [int(pid) for pid in pipe.read().split()]
    os.waitpid(front, 0)
    assert len(pids) == 2
    until(lambda: not any(alive(pid) for pid in pids))


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False

"""The scorer on a device: the device and the executor are stand-ins, the rest is real."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.images import encode, photograph

from assay.engine.admission import admit
from assay.engine.bundle import Bundle, GraphSpec
from assay.engine.decode import make_decoder
from assay.engine.executors.openvino import OpenVinoGraph
from assay.engine.executors.runtime import Runtime
from assay.engine.outcome import Rejection, Verdict
from assay.engine.settings import Limits, Settings
from assay.engine.worker import scorer as scorer_module
from assay.engine.worker.scorer import Job, Scorer
from assay.kernels.arrays import Array


class StubGpu:
    """Knows which stream is current, and that computing waits for what was decoded."""

    name = "a stand-in"

    def __init__(self) -> None:
        self.current: str | None = None
        self.waited: list[Any] = []
        self.events = 0
        self.released = 0

    @contextmanager
    def _stream(self, name: str) -> Iterator[None]:
        assert self.current is None
        self.current = name
        yield
        self.current = None

    def decoding(self) -> Any:
        return self._stream("decode")

    def decoded(self) -> int:
        self.events += 1
        return self.events

    def computing(self, after: int) -> Any:
        self.waited.append(after)
        return self._stream("compute")

    def release(self) -> None:
        self.released += 1


class SmallDevice:
    """An executor with room for three images."""

    gpu: StubGpu

    def __init__(self, file: Path, spec: GraphSpec, precision: str) -> None:
        self._graph = OpenVinoGraph(file, spec, precision)

    def __call__(self, *arrays: Array) -> tuple[Array, ...]:
        assert self.gpu.current == "compute"
        if len(arrays[0]) > 3:
            raise MemoryError("the device is full")
        return self._graph(*arrays)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> StubGpu:
    stub = StubGpu()
    monkeypatch.setattr(SmallDevice, "gpu", stub, raising=False)
    monkeypatch.setattr(scorer_module, "Gpu", lambda: stub)
    monkeypatch.setattr(scorer_module, "make_decoder", lambda name, gpu, threads: make_decoder())
    monkeypatch.setattr(scorer_module, "choose", lambda settings: Runtime("a stub", SmallDevice))
    return stub


def job(data: bytes) -> Job:
    return Job(data, admit(data, Limits(), 1))


def test_batches_that_the_device_has_no_room_for_are_halved(
    gpu: StubGpu, bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    scorer = Scorer([bundle], Settings(devices=(0,)))
    values = range(10, 250, 20)
    jobs = [job(encode(np.full((40, 40, 3), value, np.uint8))) for value in values]
    cut = jobs[3].data[: len(jobs[3].data) // 2]
    jobs[3] = Job(cut, jobs[3].header)
    outcomes = scorer.score(bundle.name, jobs)
    assert isinstance(outcomes[3], Rejection)
    verdicts = [outcome for outcome in outcomes if isinstance(outcome, Verdict)]
    assert len(verdicts) == len(jobs) - 1
    logits = [verdict.scores["plain"] for verdict in verdicts]
    expected = [8 * (value / 127.5 - 1) for place, value in enumerate(values) if place != 3]
    np.testing.assert_allclose(logits, expected, atol=0.05)  # each image has its own
    assert gpu.released == 2  # 11, 5, 2
    assert "no memory for 11 images at once, now 5: the device is full" in caplog.text


def test_computing_waits_for_the_batch_that_it_computes(gpu: StubGpu, bundle: Bundle) -> None:
    scorer = Scorer([bundle], Settings(devices=(0,)))
    data = encode(photograph())
    first, second = scorer.decode([job(data)]), scorer.decode([job(data)])
    [one], [two] = scorer.infer(bundle.name, first), scorer.infer(bundle.name, second)
    assert gpu.waited == [1, 2]
    assert isinstance(one, Verdict)
    assert isinstance(two, Verdict)
    assert set(one.seconds) == {"decode", "view", "classify", "device"}
    assert "on a stand-in" in scorer.description
    assert "with a stub: classify in fp32" in scorer.description


def test_a_decoder_is_followed_from_image_to_image(bundle: Bundle) -> None:
    data = encode(photograph())
    notes: list[int | None] = []
    scorer = Scorer([bundle], Settings(), confined=True)
    scorer.decode([job(data), job(data[: len(data) // 2] + data), job(data)], notes.append)
    assert notes[-4:] == [0, 1, 2, None]


def test_a_batch_without_a_good_image_needs_no_graph(gpu: StubGpu, bundle: Bundle) -> None:
    data = encode(photograph())
    bad = Job(data[: len(data) // 2], job(data).header)
    outcomes = Scorer([bundle], Settings(devices=(0,))).score(bundle.name, [bad, bad])
    assert all(isinstance(outcome, Rejection) for outcome in outcomes)

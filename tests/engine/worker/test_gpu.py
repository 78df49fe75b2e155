"""Several GPUs under one front: workers are real or stand-ins, GPUs there are none."""

import threading
from collections.abc import Sequence

import pytest
from support.images import encode, photograph

from assay.engine.bundle import Bundle
from assay.engine.core import Core
from assay.engine.core import fleet as fleet_module
from assay.engine.errors import EngineFault, SetupError
from assay.engine.inline import InlineWorker
from assay.engine.item import Item
from assay.engine.outcome import Outcome, Verdict
from assay.engine.settings import Settings
from assay.engine.ticket import Ticket
from assay.engine.worker.gpu import environment
from assay.engine.worker.process import WorkerLost


def there_is_a_gpu() -> bool:
    cupy = pytest.importorskip("cupy")
    return bool(cupy.is_available())


@pytest.mark.parametrize(
    ("device", "visible", "expected"),
    [(0, None, "0"), (3, None, "3"), (1, "4,6", "6"), (0, "GPU-8f3a, GPU-11", "GPU-8f3a"), (0, "7,", "7")],
)
def test_a_worker_sees_its_gpu_alone(device: int, visible: str | None, expected: str) -> None:
    current = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    assert environment(device, current) == {
        "CUDA_VISIBLE_DEVICES": expected,
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
    }


@pytest.mark.parametrize(("device", "visible"), [(2, "4,6"), (0, "")])
def test_a_gpu_that_is_hidden_is_refused(device: int, visible: str) -> None:
    with pytest.raises(SetupError, match=f"there is no GPU {device}"):
        environment(device, {"CUDA_VISIBLE_DEVICES": visible})


def test_without_a_gpu_the_engine_ends_with_a_sentence(bundle: Bundle) -> None:
    if there_is_a_gpu():
        pytest.skip("there is a GPU")
    with pytest.raises(EngineFault, match=r"no worker is left: the GPU cannot be used.*driver"):
        Core([bundle], Settings(devices=(0,)))


class Fleet:
    """Stands in for worker processes: each scores on the CPU, counts its batches and can lose its device."""

    def __init__(self) -> None:
        self.lost: set[int] = set()
        self.batches: dict[int, int] = {}
        self.started: list[int] = []
        self.busy = threading.Event()

    def start(self, bundles: Sequence[Bundle], settings: Settings, device: int) -> "FleetWorker":
        self.started.append(device)
        if device in self.lost:
            raise WorkerLost("CUDARuntimeError: cudaErrorDevicesUnavailable")
        return FleetWorker(self, device, bundles, settings)


class FleetWorker(InlineWorker):
    def __init__(self, fleet: Fleet, device: int, bundles: Sequence[Bundle], settings: Settings) -> None:
        super().__init__(bundles, settings.model_copy(update={"devices": ()}))
        self._fleet, self._device = fleet, device
        self.description = f"a stand-in for GPU {device}"

    def send(self, tickets: Sequence[Ticket]) -> None:
        self._fleet.batches[self._device] = self._fleet.batches.get(self._device, 0) + 1
        super().send(tickets)

    def receive(self) -> list[Outcome]:
        if self._device in self._fleet.lost:
            raise WorkerLost("CUDARuntimeError: cudaErrorUnknown")
        return super().receive()


@pytest.fixture
def fleet(monkeypatch: pytest.MonkeyPatch) -> Fleet:
    fleet = Fleet()
    monkeypatch.setattr(fleet_module, "WorkerProcess", fleet.start)
    return fleet


def items(count: int) -> list[Item]:
    data = encode(photograph(48, 64))
    return [Item(id=str(number), data=data) for number in range(count)]


def test_each_gpu_has_a_worker(fleet: Fleet, bundle: Bundle, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    core = Core([bundle], Settings(devices=(0, 2), workers=7, batch=2))
    try:
        assert sorted(fleet.started) == [0, 2]
        assert all(isinstance(future.result(30), Verdict) for future in core.submit(items(40)))
        assert sum(fleet.batches.values()) >= 20
    finally:
        core.stop()
    assert "a stand-in for GPU 0" in caplog.text
    assert "a stand-in for GPU 2" in caplog.text


def test_a_gpu_that_cannot_start_is_named_and_the_others_serve(
    fleet: Fleet, bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    fleet.lost.add(1)
    core = Core([bundle], Settings(devices=(0, 1)))
    try:
        assert "GPU 1 was given up: CUDARuntimeError" in caplog.text
        assert all(isinstance(future.result(30), Verdict) for future in core.submit(items(3)))
    finally:
        core.stop()


def test_a_lost_gpu_is_given_up_and_its_images_go_to_the_others(
    fleet: Fleet, bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    core = Core([bundle], Settings(devices=(0, 1), batch=2))
    try:
        fleet.lost.add(1)
        outcomes = [future.result(30) for future in core.submit(items(40))]
        assert all(
            isinstance(outcome, Verdict) for outcome in outcomes
        )  # lost with the device, blamed on none
        assert [outcome.id for outcome in outcomes] == [str(number) for number in range(40)]
        assert core.serving
    finally:
        core.stop()
    if fleet.batches.get(1):
        assert "GPU 1 was given up" in caplog.text
        assert fleet.started.count(1) == 2  # one replacement, which failed its start


def test_without_a_gpu_left_the_engine_is_at_fault_and_no_image_is(fleet: Fleet, bundle: Bundle) -> None:
    core = Core([bundle], Settings(devices=(0, 1), batch=2))
    faults: list[EngineFault] = []
    core.on_fault(faults.append)
    fleet.lost |= {0, 1}
    futures = core.submit(items(10))
    for future in futures:
        with pytest.raises(EngineFault, match="no worker is left"):
            future.result(30)
    assert not core.serving
    assert len(faults) == 1
    core.stop()


def test_one_gpu_that_does_not_start_leaves_the_other(fleet: Fleet, bundle: Bundle) -> None:
    fleet.lost.add(0)
    core = Core([bundle], Settings(devices=(0, 1)))
    try:
        assert isinstance(core.submit(items(1))[0].result(30), Verdict)
    finally:
        core.stop()

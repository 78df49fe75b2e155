"""GPU metrics, with a stand-in for NVIDIA's management library."""

import sys
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from assay.engine import telemetry
from assay.engine.outcome import Label, Reason, Rejection, Verdict
from assay.engine.telemetry.nvml import GAUGES, GpuCollector, gpu_metrics


class NVMLError(Exception):
    pass


class StubNvml:
    """Two GPUs; `silent` are functions that they do not support."""

    NVML_CLOCK_SM, NVML_CLOCK_MEM = 1, 2

    def __init__(self) -> None:
        self.silent: set[str] = set()
        self.joules = {"0": 5000.0, "1": 1.0, "GPU-b": 100.0}

    def nvmlInit(self) -> None:  # noqa: N802 -- the library's name
        self._check("nvmlInit")

    def nvmlDeviceGetHandleByIndex(self, index: int) -> str:  # noqa: N802
        if index > 1:
            raise NVMLError("Invalid Argument")
        return str(index)

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:  # noqa: N802
        assert uuid == "GPU-b"
        return uuid

    def _check(self, name: str) -> None:
        if name in self.silent:
            raise NVMLError("Not Supported")

    def __getattr__(self, name: str) -> Any:
        def ask(gpu: str, *arguments: int) -> Any:
            self._check(name)
            values: dict[str, Any] = {
                "nvmlDeviceGetUtilizationRates": SimpleNamespace(gpu=87, memory=12),
                "nvmlDeviceGetMemoryInfo": SimpleNamespace(used=3 << 30, total=80 << 30, free=77 << 30),
                "nvmlDeviceGetPowerUsage": 350_500,
                "nvmlDeviceGetDecoderUtilization": [4, 20000],
                "nvmlDeviceGetJpgUtilization": [95, 20000],
                "nvmlDeviceGetTotalEnergyConsumption": int(self.joules[gpu] * 1000),
            }
            if name == "nvmlDeviceGetClockInfo":
                return {self.NVML_CLOCK_SM: 1980, self.NVML_CLOCK_MEM: 2619}[arguments[0]]
            return values[name]

        return ask


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> StubNvml:
    stub = StubNvml()
    monkeypatch.setitem(sys.modules, "pynvml", stub)  # type: ignore[arg-type]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return stub


def shown(collector: GpuCollector) -> dict[str, float]:
    """Samples as Prometheus reads them."""
    registry = CollectorRegistry()
    registry.register(collector)
    lines = generate_latest(registry).decode().splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[0] != "#")}


def test_a_gpu_is_shown_in_base_units(nvml: StubNvml) -> None:
    assert shown(GpuCollector([0], lambda: 0.0)) == {
        'assay_gpu_utilisation_ratio{gpu="0"}': 0.87,
        'assay_gpu_memory_used_bytes{gpu="0"}': 3 << 30,
        'assay_gpu_memory_bytes{gpu="0"}': 80 << 30,
        'assay_gpu_power_watts{gpu="0"}': 350.5,
        'assay_gpu_sm_clock_hertz{gpu="0"}': 1.98e9,
        'assay_gpu_memory_clock_hertz{gpu="0"}': 2.619e9,
        'assay_gpu_video_decoder_utilisation_ratio{gpu="0"}': 0.04,
        'assay_gpu_jpeg_decoder_utilisation_ratio{gpu="0"}': 0.95,
        'assay_gpu_energy_joules_total{gpu="0"}': 5000,
    }


def test_energy_per_verdict_counts_from_the_start(nvml: StubNvml, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,GPU-b")
    verdicts = [200.0]
    collector = GpuCollector([0, 1], lambda: verdicts[0])
    verdicts[0] += 50
    nvml.joules = {"0": 5030.0, "GPU-b": 120.0}
    found = shown(collector)
    assert found["assay_gpu_energy_per_verdict_joules"] == 1.0
    assert found['assay_gpu_energy_joules_total{gpu="1"}'] == 120


@pytest.mark.parametrize("silent", ["nvmlDeviceGetJpgUtilization", "nvmlDeviceGetTotalEnergyConsumption"])
def test_what_a_gpu_does_not_tell_is_left_out(nvml: StubNvml, silent: str) -> None:
    nvml.silent.add(silent)
    verdicts = [0.0]
    collector = GpuCollector([0], lambda: verdicts[0])
    verdicts[0] = 5.0
    found = shown(collector)
    assert ("jpeg" not in str(found)) == (silent == "nvmlDeviceGetJpgUtilization")
    assert ("energy" not in str(found)) == (silent == "nvmlDeviceGetTotalEnergyConsumption")
    assert found['assay_gpu_power_watts{gpu="0"}'] == 350.5


def test_a_gpu_that_fails_later_is_left_out_then(nvml: StubNvml) -> None:
    collector = GpuCollector([0], lambda: 1.0)
    nvml.silent |= {"nvmlDeviceGetUtilizationRates", "nvmlDeviceGetTotalEnergyConsumption"}
    assert "utilisation_ratio" not in str([name for name in shown(collector) if "decoder" not in name])


@pytest.mark.parametrize("missing", ["package", "driver", "GPU"])
def test_without_gpus_there_are_no_metrics_and_no_errors(
    nvml: StubNvml, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    if missing == "package":
        monkeypatch.setitem(sys.modules, "pynvml", None)
    if missing == "driver":
        nvml.silent.add("nvmlInit")
    assert shown(GpuCollector([7], lambda: 0.0)) == {}


def test_without_a_driver_the_real_library_shows_nothing() -> None:
    pynvml = pytest.importorskip("pynvml")
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        assert shown(GpuCollector([0], lambda: 0.0)) == {}
    else:
        assert shown(GpuCollector([0], lambda: 0.0)).keys() >= {'assay_gpu_memory_bytes{gpu="0"}'}


def test_every_function_is_one_that_the_library_has() -> None:
    """A name that is misspelt would look like a GPU that does not tell."""
    pynvml = pytest.importorskip("pynvml")
    asked: set[str] = set()

    class Listening:
        def __getattr__(self, name: str) -> Any:
            asked.add(name)
            return getattr(pynvml, name)

    for _, read in GAUGES.values():
        with pytest.raises(pynvml.NVMLError):
            read(Listening(), None)
    assert len(asked) >= 7


def test_they_are_among_the_processs_metrics_while_it_serves(nvml: StubNvml) -> None:
    with gpu_metrics((0, 1)):
        assert b'assay_gpu_power_watts{gpu="1"} 350.5' in generate_latest()
    assert b"assay_gpu" not in generate_latest()
    with gpu_metrics(()):
        assert b"assay_gpu" not in generate_latest()


def test_verdicts_are_counted_and_rejections_are_not() -> None:
    before = telemetry.verdicts()
    verdict = Verdict(
        id="",
        label=Label.SYNTHETIC,
        probability=1.0,
        scores={},
        bundle="b",
        version="1",
        evidence={},
        seconds={},
    )
    telemetry.count(verdict, "b")
    telemetry.count(verdict, "c")
    telemetry.count(Rejection("", Reason.EMPTY, "empty"), "b")
    assert telemetry.verdicts() == before + 2

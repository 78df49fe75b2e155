"""What the GPUs do, as Prometheus metrics, asked of NVIDIA's management library at each scrape.

What a GPU or its driver does not tell is left out, and without a GPU, a driver or the package nvidia-ml-py
nothing is shown: metrics are never a reason to stop serving.

Energy per verdict is what the GPUs drew since the engine started, idle time included, by the verdicts given.
"""

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from prometheus_client import REGISTRY
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from assay.engine.telemetry.metrics import verdicts
from assay.engine.worker.gpu import environment

log = logging.getLogger(__name__)

Read = Callable[[Any, Any], float]

GAUGES: Mapping[str, tuple[str, Read]] = {
    "assay_gpu_utilisation_ratio": (
        "Share of the time in which a kernel ran",
        lambda nvml, gpu: nvml.nvmlDeviceGetUtilizationRates(gpu).gpu / 100,
    ),
    "assay_gpu_memory_used_bytes": (
        "Device memory in use, by all processes",
        lambda nvml, gpu: nvml.nvmlDeviceGetMemoryInfo(gpu).used,
    ),
    "assay_gpu_memory_bytes": (
        "Device memory",
        lambda nvml, gpu: nvml.nvmlDeviceGetMemoryInfo(gpu).total,
    ),
    "assay_gpu_power_watts": (
        "Power that the GPU draws",
        lambda nvml, gpu: nvml.nvmlDeviceGetPowerUsage(gpu) / 1000,
    ),
    "assay_gpu_sm_clock_hertz": (
        "Clock of the multiprocessors",
        lambda nvml, gpu: nvml.nvmlDeviceGetClockInfo(gpu, nvml.NVML_CLOCK_SM) * 1e6,
    ),
    "assay_gpu_memory_clock_hertz": (
        "Clock of the memory",
        lambda nvml, gpu: nvml.nvmlDeviceGetClockInfo(gpu, nvml.NVML_CLOCK_MEM) * 1e6,
    ),
    "assay_gpu_video_decoder_utilisation_ratio": (
        "Share of the time in which the video decoder worked",
        lambda nvml, gpu: nvml.nvmlDeviceGetDecoderUtilization(gpu)[0] / 100,
    ),
    "assay_gpu_jpeg_decoder_utilisation_ratio": (
        "Share of the time in which the JPEG decoder worked",
        lambda nvml, gpu: nvml.nvmlDeviceGetJpgUtilization(gpu)[0] / 100,
    ),
}
ENERGY = "assay_gpu_energy_joules"
PER_VERDICT = "assay_gpu_energy_per_verdict_joules"


@contextmanager
def gpu_metrics(devices: Sequence[int]) -> Iterator[None]:
    """Metrics of `devices`, if any, are among this process's."""
    if not devices:
        yield
        return
    collector = GpuCollector(devices, verdicts)
    REGISTRY.register(collector)
    try:
        yield
    finally:
        REGISTRY.unregister(collector)


class GpuCollector(Collector):
    """Metrics of `devices`, numbered as workers are. `verdicts` is how many were given so far."""

    def __init__(self, devices: Sequence[int], verdicts: Callable[[], float]) -> None:
        self._verdicts = verdicts
        self._gpus: dict[str, Any] = {}
        try:
            import pynvml

            self._nvml: Any = pynvml
            pynvml.nvmlInit()
            self._gpus = {str(device): self._handle(device) for device in devices}
        except Exception as error:  # no package, no driver, no such GPU
            log.info("there are no GPU metrics: %s", error)
        self._start = (self._verdicts(), self.joules())

    def _handle(self, device: int) -> Any:
        name = environment(device, os.environ)["CUDA_VISIBLE_DEVICES"]
        if name.isdigit():
            return self._nvml.nvmlDeviceGetHandleByIndex(int(name))
        return self._nvml.nvmlDeviceGetHandleByUUID(name)

    def collect(self) -> Iterable[Metric]:
        for name, (about, read) in GAUGES.items():
            gauge = GaugeMetricFamily(name, about, labels=["gpu"])
            for number, value in self._values(read).items():
                gauge.add_metric([number], value)
            if gauge.samples:
                yield gauge
        energy = self.joules()
        if not energy:
            return
        counter = CounterMetricFamily(
            ENERGY, "Energy that the GPU drew since its driver was loaded", labels=["gpu"]
        )
        for number, joules in energy.items():
            counter.add_metric([number], joules)
        yield counter
        verdicts, before = self._start
        given = self._verdicts() - verdicts
        if given > 0 and energy.keys() == before.keys():
            drawn = sum(energy.values()) - sum(before.values())
            yield GaugeMetricFamily(PER_VERDICT, "Energy per verdict since the start", value=drawn / given)

    def joules(self) -> dict[str, float]:
        """Joules of each GPU that counts them."""
        return self._values(lambda nvml, gpu: nvml.nvmlDeviceGetTotalEnergyConsumption(gpu) / 1000)

    def _values(self, read: Read) -> dict[str, float]:
        """What each GPU says; those that do not know are left out."""
        found = {}
        for number, gpu in self._gpus.items():
            try:
                found[number] = float(read(self._nvml, gpu))
            except Exception as error:  # NVMLError; AttributeError with an older package
                log.debug("GPU %s: %s", number, error)
        return found

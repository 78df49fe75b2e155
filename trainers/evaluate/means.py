"""By what means a bundle is judged: on which device, by which executor, in which precision."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any

import torch

from assay.engine.bundle import Bundle
from assay.engine.detectors import Detection, Detector, Graph, Image, Stopwatch, detector_of, make_graphs
from assay.engine.errors import SetupError
from assay.engine.executors.choose import choose
from assay.engine.settings import ExecutorName, PrecisionName, Settings
from assay.engine.streams import say
from assay.trainers.fit.device import device_of


@dataclass(frozen=True)
class Means:
    """`device` as `device_of` takes it; executor and precision as `assay scan` takes them."""

    device: str = "auto"
    executor: ExecutorName = "auto"
    precision: PrecisionName = "fp32"


@dataclass(frozen=True)
class Ready:
    """A bundle ready to score images of the host; precision: what its graphs run in."""

    graphs: Mapping[str, Graph]
    detect: Detector
    precision: str


def ready(bundle: Bundle, means: Means) -> Ready:
    """The graphs and the detector of `bundle` by these means.

    Precisions need not be measured: here they are. Where the device is `auto`, a GPU on which nothing runs
    the bundle is passed over with a sentence. Raises SetupError or BundleError that says what is missing.
    """
    device = torch.device("cpu") if means.executor == "openvino" and means.device == "auto" else None
    device = device or device_of(means.device)
    if device.type == "cpu":
        return _made(bundle, means, None)
    try:
        return _made(bundle, means, device)
    except SetupError as error:
        if means.device != "auto" or means.executor != "auto":
            raise
        say(f"assay: {bundle.name} is judged on the CPU: {error}")
        return _made(bundle, replace(means, device="cpu"), None)


def _made(bundle: Bundle, means: Means, gpu: torch.device | None) -> Ready:
    """`gpu`: None for the CPU."""
    if gpu is not None and find_spec("cupy") is None:
        raise SetupError("a bundle on a GPU needs CuPy, which is not installed: pip install 'assay[gpu]'")
    settings = Settings(
        devices=() if gpu is None else (gpu.index or 0,),
        executor=means.executor,
        precision=means.precision,
        allow_unmeasured=True,
    )
    detect = detector_of(bundle)
    if gpu is not None:
        _use(gpu)
        detect = _of_host_images(detect)
    runtime = choose(settings)
    chosen = {name: runtime.precision(bundle, name, settings) for name in bundle.manifest.graphs}
    graphs = make_graphs(bundle, lambda name: chosen[name], runtime.make)
    return Ready(graphs, detect, ", ".join(sorted(set(chosen.values()))))


def _use(gpu: torch.device) -> None:
    import cupy

    torch.cuda.set_device(gpu)
    cupy.cuda.Device(gpu.index or 0).use()


def _of_host_images(detect: Detector) -> Detector:
    """`detect`, whose images the host has decoded and the device is to work on."""

    def on_device(images: Sequence[Image], graphs: Mapping[str, Graph], watch: Stopwatch) -> list[Detection]:
        import cupy

        moved: list[Any] = [cupy.asarray(image) for image in images]
        return detect(moved, graphs, watch)

    return on_device

"""What kernels and graphs take on a GPU: times of the device, beside a copy of as many bytes."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from assay import kernels
from assay.engine.bundle import Manifest
from assay.engine.detectors import Graph
from assay.engine.report.markdown import table
from assay.kernels import ViewRule, purification

SIDE, BANDS = 224, 15
BATCHES = (1, 4, 16, 64, 256)


def milliseconds(call: Callable[[], Any]) -> float:
    """Median of the device's time, warm."""
    from cupyx.profiler import benchmark

    return 1e3 * float(np.median(benchmark(call, n_repeat=30, n_warmup=5).gpu_times))


def copied(count: float) -> float:
    """Milliseconds in which the device copies `count` bytes, half of them read and half written."""
    import cupy

    source, target = cupy.zeros((2, max(1, int(count) // 2)), np.uint8)
    return milliseconds(lambda: cupy.copyto(target, source))


def kernel_table(batch: int, height: int = 384, width: int = 512) -> str:
    """Each kernel on a batch, and its share of the speed of a copy: bytes are those it cannot avoid."""
    import cupy

    rng = np.random.default_rng(0)
    images = [cupy.asarray(rng.integers(0, 256, (height, width, 3), np.uint8)) for _ in range(batch)]
    rule = ViewRule(resize="short_side", size=SIDE, crop="centre", mean=(0.5,) * 3, std=(0.5,) * 3)
    views = kernels.view(images, rule)
    activation = cupy.asarray(rng.random((batch, 7, 7), dtype=np.float32))
    sizes = cupy.asarray(np.full((batch, 2), (height, width), np.int32))
    windows = kernels.select_windows(kernels.window_scores(activation, 3), 3)
    boxes = kernels.patch_boxes(windows, 3, 7, sizes, 112)
    half = kernels.spectrum(views)
    bands = [
        cupy.asarray(np.sort(rng.random((batch, 3, BANDS, 2, 2)), axis=-1).reshape(batch, 3, BANDS, 4))
        for _ in range(2)
    ]
    amplitude_bands, phase_bands = (band.astype(np.float32) for band in bands)
    masked = purification.masked_on_gpu(half, amplitude_bands, phase_bands, SIDE, irrelevant=False)
    shown = batch * 3 * height * height  # bytes: the middle square is read
    crops = batch * 3 * 3 * 112 * 112
    forms: Mapping[str, tuple[Callable[[], Any], float]] = {
        "view": (lambda: kernels.view(images, rule), shown + views.nbytes),
        "window_scores, select_windows, patch_boxes": (
            lambda: kernels.patch_boxes(
                kernels.select_windows(kernels.window_scores(activation, 3), 3), 3, 7, sizes, 112
            ),
            activation.nbytes + boxes.nbytes,
        ),
        "crop_resize, 3 boxes of 112": (
            lambda: kernels.crop_resize(images, boxes, SIDE),
            crops + batch * 3 * 3 * SIDE * SIDE * 4,
        ),
        "spectrum (cuFFT)": (lambda: kernels.spectrum(views), views.nbytes + half.nbytes),
        "amplitude and phase": (
            lambda: (kernels.amplitude(half), kernels.phase(half)),
            2 * half.nbytes + half.nbytes,
        ),
        "purify: masks": (
            lambda: purification.masked_on_gpu(half, amplitude_bands, phase_bands, SIDE, irrelevant=False),
            half.nbytes + masked.nbytes,
        ),
        "purify: inverse cuFFT": (
            lambda: cupy.fft.irfft2(masked, s=(SIDE, SIDE)),
            masked.nbytes + batch * BANDS * 3 * SIDE * SIDE * 4,
        ),
    }
    rows = [["kernel", "ms", "MB moved at least", "of a copy's speed"]]
    for name, (call, moved) in forms.items():
        taken = milliseconds(call)
        rows.append([name, f"{taken:.3f}", f"{moved / 1e6:.1f}", f"{copied(moved) / taken:.2f}"])
    return table(rows)


def graph_table(graphs: Mapping[str, Graph], manifest: Manifest, batches: Sequence[int] = BATCHES) -> str:
    """Milliseconds of each graph at each batch size."""
    import cupy

    rows = [["graph", *(f"batch {batch}, ms" for batch in batches), "images/s at best"]]
    for name, graph in graphs.items():
        spec = manifest.graphs.get(name) or manifest.graphs[name.removesuffix("_view")]
        times = []
        for batch in batches:
            inputs = [
                cupy.random.standard_normal((batch, *map(int, shape[1:])), dtype=np.float32)
                for shape in spec.inputs.values()
            ]
            times.append(milliseconds(lambda graph=graph, inputs=inputs: graph(*inputs)))  # type: ignore[misc]
        best = max(1e3 * batch / taken for batch, taken in zip(batches, times, strict=True))
        rows.append([name, *(f"{taken:.3f}" for taken in times), f"{best:.0f}"])
    return table(rows)

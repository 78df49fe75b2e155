"""`apn`: what remains of an image in suspicious frequency bands, weighed beside the image itself.

"Artifact Feature Purification for Cross-domain Detection of AI-generated Images" (Meng et al. 2024). From
the spectrum of a view a proposer picks K bands; the view is rebuilt from each of them; a classifier reads the
view and the K purified ones. What the paper calls irrelevant serves training alone and is not computed here.

Graphs: `propose`: amplitude, phase (N, 3, S, S//2+1) -> amplitude bands, phase bands (N, 3, K, 4), in fp32
always; `classify`: image (N, 3, S, S), purified (N, K, 3, S, S) -> logit (N, 1), confidence (N, K).

Evidence: `bands`, the most trusted first, each with its `confidence` and, for `amplitude` and `phase`, one
[row start, row end, column start, column end] per colour in the view's order of `channels`, in cycles per
pixel of the view. A band holds whole rows, frequencies along y, and whole columns, frequencies along x. Rows
go from 0 to 1: a frequency f above 0.5 is f - 1.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from assay.engine.bundle import Manifest
from assay.engine.detectors.detector import Detection, Graph, Image, Stopwatch
from assay.kernels import amplitude, phase, purify, spectrum, view
from assay.kernels.arrays import Array, on_host
from assay.kernels.purification import band_indices


class Parameters(BaseModel):
    """There are none: the graphs' shapes say how many bands there are."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def proposals(manifest: Manifest) -> int:
    """K, the number of bands of an image."""
    return int(manifest.graphs["propose"].outputs["amplitude_bands"][2])


def check(manifest: Manifest) -> None:
    """Raise ValueError unless view and graphs have the shapes that the chain between them needs."""
    propose, classify = manifest.graphs["propose"], manifest.graphs["classify"]
    rule, side = manifest.view, manifest.view.size
    if rule.crops != 1:
        raise ValueError("kind 'apn' looks at one view of an image: view.crop must be 'centre' or one pair")
    bands = propose.outputs.get("amplitude_bands", ())
    count = bands[2] if len(bands) == 4 else None
    if not isinstance(count, int) or count < 1:
        raise ValueError("graph 'propose' of kind 'apn' must give amplitude_bands (N, 3, K, 4), K a number")
    half = (3, side, side // 2 + 1)
    wanted: list[tuple[str, Mapping[str, tuple[int | str, ...]], dict[str, tuple[int, ...]]]] = [
        ("inputs of 'propose'", propose.inputs, {"amplitude": half, "phase": half}),
        (
            "outputs of 'propose'",
            propose.outputs,
            {"amplitude_bands": (3, count, 4), "phase_bands": (3, count, 4)},
        ),
        (
            "inputs of 'classify'",
            classify.inputs,
            {"image": (3, side, side), "purified": (count, 3, side, side)},
        ),
        ("outputs of 'classify'", classify.outputs, {"logit": (1,), "confidence": (count,)}),
    ]
    for what, tensors, shapes in wanted:
        found = {name: tuple(shape[1:]) for name, shape in tensors.items()}
        if list(found.items()) != list(shapes.items()):
            raise ValueError(f"{what} of kind 'apn' must be, after the images, {shapes}, not {found}")


def intermediate_bytes(manifest: Manifest) -> int:
    """Bytes of the view, its spectrum, amplitude, phase and K purified views, counted generously (twice)."""
    return 2 * (3 + proposals(manifest)) * 3 * manifest.view.size**2 * 4


def detect(
    images: Sequence[Image],
    graphs: Mapping[str, Graph],
    manifest: Manifest,
    parameters: Parameters,
    watch: Stopwatch,
) -> list[Detection]:
    side = manifest.view.size
    with watch.stage("view"):
        views = view(images, manifest.view)
    with watch.stage("spectrum"):
        half = spectrum(views)
        moduli, angles = amplitude(half), phase(half)
    with watch.stage("propose"):
        amplitude_bands, phase_bands = graphs["propose"](moduli, angles)
    with watch.stage("purify"):
        purified = purify(half, amplitude_bands, phase_bands, (side, side))
    with watch.stage("classify"):
        logits, confidence = graphs["classify"](views, purified)
    crosses = np.stack([_indices(one, side) for one in (amplitude_bands, phase_bands)], axis=1)
    return [
        Detection(
            float(logit),
            {"channels": manifest.view.channels, "bands": _bands(held, weights, side)},
            tuple(held.ravel().tolist()),
        )
        for logit, weights, held in zip(logits[:, 0].tolist(), confidence.tolist(), crosses, strict=True)
    ]


def _indices(bands: Array, side: int) -> NDArray[np.int32]:
    """(N, 3, K, 4) -> (N, 3, K, 4) first and last row and column that they hold, on the host."""
    indices: NDArray[np.int32] = band_indices(on_host(bands), side, side // 2 + 1)
    return indices


def _bands(held: NDArray[np.int32], weights: list[float], side: int) -> list[dict[str, Any]]:
    """(2, 3, K, 4) indices of amplitude and phase as evidence."""
    cycles = np.round(held / side, 4)
    order = sorted(range(len(weights)), key=lambda k: -weights[k])
    return [
        {
            "confidence": round(weights[k], 4),
            "amplitude": cycles[0, :, k].tolist(),
            "phase": cycles[1, :, k].tolist(),
        }
        for k in order
    ]

"""`fusing`: the whole image and the patches where its features are strongest, weighed by attention.

"Fusing Global and Local Features for Generalized AI-Synthesized Image Detection" (Ju et al. 2022). The view
goes through the backbone; its activation map picks windows, each of them a patch of constant size in the
original image; patches go through the same backbone, and the embeddings of all are fused.

Graphs: `backbone`: image (N, 3, S, S) -> activation (N, M, M) summed over channels, embedding (N, E); `fuse`:
tokens (N, P + 1, E), the global one last -> logit (N, 1), attention (N, P). The view pass asks for
`backbone_view`, the same graph in fp32.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from assay.engine.bundle import Manifest
from assay.engine.detectors.detector import Detection, Graph, Image, Stopwatch
from assay.kernels import crop_resize, patch_boxes, select_windows, view, window_scores
from assay.kernels.arrays import Array

Side = Annotated[int, Field(gt=0)]


class Parameters(BaseModel):
    """Which patches are looked at; the defaults are the paper's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    windows: tuple[tuple[Side, Side], ...] = Field(((3, 224), (2, 112)), min_length=1)
    """Pairs: the side of a sliding window in cells of the activation map, of its patch in pixels."""
    count: int = Field(3, gt=0)
    """How many patches each kind of window gives."""

    @property
    def patches(self) -> int:
        """P, the number of patches of an image."""
        return self.count * len(self.windows)


def check(manifest: Manifest) -> None:
    """Raise ValueError unless graphs and view are such that an activation map can point into the image."""
    rule, parameters = manifest.view, Parameters.model_validate(manifest.parameters)
    if (rule.resize, rule.fractions, rule.channels) != ("short_side", ((0.5, 0.5),), "rgb"):
        raise ValueError("kind 'fusing' maps patches by the centre view of the short side, in RGB")
    for name, outputs in (("backbone", ["activation", "embedding"]), ("fuse", ["logit", "attention"])):
        if list(manifest.graphs[name].outputs) != outputs:
            raise ValueError(f"graph {name!r} of kind 'fusing' must give {' and '.join(outputs)}")
    side = manifest.graphs["backbone"].outputs["activation"][-1]
    if isinstance(side, int) and side < max(window for window, _ in parameters.windows):
        raise ValueError(f"parameters.windows: a window is larger than the activation map of {side} cells")


def intermediate_bytes(manifest: Manifest) -> int:
    """Bytes of float32 input that one image puts into the graphs, counted generously (twice)."""
    views = 1 + Parameters.model_validate(manifest.parameters).patches
    return 2 * views * 3 * manifest.view.size**2 * 4


def choose_patches(activation: Array, image_sizes: Array, parameters: Parameters) -> tuple[Array, Array]:
    """The patch selection module: where the activation is strongest, and where that lies in the originals.

    activation: (N, M, M) float32, summed over channels; image_sizes: (N, 2) int32 height, width. Returned are
    the windows (N, P, 2) int32 row, column, and the boxes (N, P, 4) int32 top, left, bottom, right in pixels.
    """
    windows, boxes = [], []
    for window, patch in parameters.windows:
        picked = select_windows(window_scores(activation, window), parameters.count)
        windows.append(picked)
        boxes.append(patch_boxes(picked, window, activation.shape[-1], image_sizes, patch))
    return np.concatenate(windows, axis=1), np.concatenate(boxes, axis=1)


def detect(
    images: Sequence[Image],
    graphs: Mapping[str, Graph],
    manifest: Manifest,
    parameters: Parameters,
    watch: Stopwatch,
) -> list[Detection]:
    rule = manifest.view
    with watch.stage("view"):
        views = view(images, rule)
    with watch.stage("backbone_view"):
        activation, embedding = graphs["backbone_view"](views)
    with watch.stage("patches"):
        sizes = np.array([image.shape[:2] for image in images], np.int32)
        windows, boxes = choose_patches(activation, np.asarray(sizes, like=activation), parameters)
        crops = crop_resize(images, boxes, rule.size, rule.mean, rule.std)
    with watch.stage("backbone"):
        _, local = graphs["backbone"](crops)
    with watch.stage("fuse"):
        tokens = [local.reshape(len(images), parameters.patches, -1), embedding[:, None]]
        logits, attention = graphs["fuse"](np.concatenate(tokens, axis=1))
    return [
        Detection(
            float(logit),
            {"patches": [_patch(*pair) for pair in zip(places, weights, strict=True)]},
            tuple(picked),
        )
        for logit, places, weights, picked in zip(
            logits[:, 0].tolist(),
            boxes.tolist(),
            attention.tolist(),
            windows.reshape(len(images), -1).tolist(),
            strict=True,
        )
    ]


def _patch(box: list[int], attention: float) -> dict[str, object]:
    """A patch as evidence: top, left, bottom, right in stored pixels, and the weight it had."""
    return {"box": box, "attention": round(attention, 4)}

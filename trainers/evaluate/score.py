"""Scoring the images of a data set by the served chain: decoding, views and detector are the engine's own."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from assay.engine.bundle import Manifest
from assay.engine.detectors import KINDS, Detector, Graph, Image, Stopwatch
from assay.engine.detectors.measures import measures_of
from assay.engine.domain import Measures
from assay.engine.outcome import Refused
from assay.trainers.data.read import decoded
from assay.trainers.data.samples import Sample

_BATCH = 8
_BATCH_PIXELS = 4_000_000
"""A batch is closed at _BATCH images, or as soon as it holds _BATCH_PIXELS pixels."""


@dataclass(frozen=True)
class Scored:
    """Samples with their uncalibrated logits (n,) float64 and shorter sides (n,) in pixels.

    `unreadable`: files that the engine would refuse, too small ones included. `measures`: of each sample
    what the limits of a bundle's domain are held against; empty where they were not asked for.
    """

    samples: tuple[Sample, ...]
    logits: NDArray[np.float64]
    sides: NDArray[np.int64]
    unreadable: tuple[Path, ...] = ()
    measures: tuple[Measures, ...] = ()

    @property
    def labels(self) -> NDArray[np.int64]:
        """(n,) 0 for photographs, 1 for synthetic images."""
        return np.array([sample.label for sample in self.samples], np.int64)


Alter: TypeAlias = Callable[[Image], Image]
"""What is done to decoded pixels before a detector sees them."""
Scorer: TypeAlias = Callable[[Sequence[Sample], Alter | None], Scored]
"""Scores samples, each altered between decoding and the detector."""


def score(
    samples: Sequence[Sample],
    manifest: Manifest,
    graphs: Mapping[str, Graph],
    advance: Callable[[int], None] = lambda count: None,
    detect: Detector | None = None,
    alter: Alter | None = None,
    measured: bool = False,
) -> Scored:
    """Scores `samples` by `detect`, else by the detector of the manifest's kind.

    `advance` is told after each batch how many files it took; `alter` is applied to decoded pixels, and what
    it leaves too small for the bundle is refused as it would be served. `measured`: with measures; those of
    altered pixels lack the quality of a file.
    """
    detect = detect or KINDS[manifest.kind].detector(manifest)
    kept: list[Sample] = []
    logits: list[float] = []
    sides: list[int] = []
    unreadable: list[Path] = []
    measures: list[Measures] = []
    batch: list[tuple[Sample, Image, int]] = []

    def flush() -> None:
        images = [image for _, image, _ in batch]
        detections = detect(images, graphs, Stopwatch()) if batch else []
        if measured:
            measures.extend(measures_of(images, detections, [quality for *_, quality in batch]))
        for (sample, image, _), detection in zip(batch, detections, strict=True):
            kept.append(sample)
            logits.append(detection.logit)
            sides.append(min(image.shape[:2]))
        advance(len(batch))
        batch.clear()

    for sample in samples:
        try:
            image, header = decoded(sample.path.read_bytes())
            image = alter(image) if alter else image
        except (OSError, Refused):
            image = None
        if image is None or min(image.shape[:2]) < manifest.min_side:
            unreadable.append(sample.path)
            advance(1)
            continue
        batch.append((sample, image, 0 if alter else header.quality))
        if len(batch) == _BATCH or sum(image.size for _, image, _ in batch) > 3 * _BATCH_PIXELS:
            flush()
    flush()
    return Scored(
        tuple(kept), np.array(logits), np.array(sides, np.int64), tuple(unreadable), tuple(measures)
    )


def torch_graph(module: nn.Module, precision: torch.dtype = torch.float32) -> Graph:
    """A torch module in eval mode as a graph: float32 arrays in, a tuple of float32 arrays out."""

    def call(*arrays: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        device = next((parameter.device for parameter in module.parameters()), torch.device("cpu"))
        bf16 = precision == torch.bfloat16
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            outputs = module(*(torch.from_numpy(array).to(device) for array in arrays))
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        return tuple(output.float().cpu().numpy() for output in outputs)

    return call

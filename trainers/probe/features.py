"""Embeddings of a data set's images, by the decoding, the views and the executor that serving has."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from assay.engine.bundle import GraphSpec
from assay.engine.errors import BundleError, SetupError
from assay.engine.executors.openvino import OpenVinoGraph
from assay.engine.outcome import Refused
from assay.kernels import ViewRule, view
from assay.trainers.data.augment import Step
from assay.trainers.data.read import read_pixels
from assay.trainers.data.samples import Sample
from assay.trainers.probe.backbone import EMBEDDING, Backbone


@dataclass(frozen=True)
class Features:
    """Of each of V views of M images one row: values (M, V, D) float32, with the images' samples.

    unreadable: files that the engine would refuse, too small ones included.
    """

    samples: tuple[Sample, ...]
    values: NDArray[np.float32]
    unreadable: tuple[Path, ...]


def extract(
    backbone: Backbone,
    samples: Sequence[Sample],
    rules: Sequence[ViewRule],
    *,
    steps: Sequence[Step] = (),
    draws: int = 1,
    seed: int = 0,
    min_side: int = 1,
    advance: Callable[[int], None] = lambda count: None,
) -> Features:
    """The embeddings of `samples`, each altered by `steps` in `draws` ways and cut by all `rules`.

    What an image becomes follows from the seed, its place and the draw alone. Raises SetupError where the
    network cannot be run, its embedding is not (N, D) of finite numbers, or no image can be read.
    """
    kept: list[Sample] = []
    values: list[NDArray[np.float32]] = []
    unreadable: list[Path] = []
    with tempfile.TemporaryDirectory() as folder:
        embed = _runnable(backbone, Path(folder))
        for place, sample in enumerate(samples):
            advance(1)
            try:
                pixels = read_pixels(sample.path)
            except (OSError, Refused):
                pixels = None
            if pixels is None or min(pixels.shape[:2]) < min_side:
                unreadable.append(sample.path)
                continue
            for draw in range(draws):
                rng = np.random.default_rng((seed, place, draw))
                altered = pixels
                for step in steps:
                    altered = step(altered, rng)
                views = np.concatenate([view([altered], rule) for rule in rules])
                kept.append(sample)
                values.append(embed(views))
    if not values:
        raise SetupError(f"none of {len(samples)} images can be read, {samples[0].path} among them")
    found = np.stack(values)
    if not np.isfinite(found).all():
        raise SetupError(f"output {backbone.output!r} of the backbone has values that are no finite numbers")
    return Features(tuple(kept), found, tuple(unreadable))


def _runnable(backbone: Backbone, folder: Path) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """(N, 3, S, S) views -> (N, D); compared first with itself, one image at a time."""
    file = folder / "embedding.onnx"
    file.write_bytes(backbone.embedding())
    side = backbone.side
    spec = GraphSpec(
        file=file.name,
        sha256="",
        inputs={backbone.image: ("N", 3, side, side)},
        outputs={EMBEDDING: ("N", "D")},
    )
    noise = np.random.default_rng(0).standard_normal((3, 3, side, side), np.float32)
    try:
        graph = OpenVinoGraph(file, spec, "fp32")
        together = graph(noise)[0]
        alone = np.concatenate([graph(noise[n : n + 1])[0] for n in range(len(noise))])
    except (BundleError, RuntimeError, ValueError) as error:
        raise SetupError(f"the backbone cannot be run on several images at once: {error}") from None
    same = together.shape == alone.shape and np.allclose(
        together, alone, rtol=1e-2, atol=1e-3 * (1e-6 + np.abs(alone).max())
    )
    if together.ndim != 2 or not same:
        raise SetupError(
            "the backbone answers several images at once otherwise than one at a time; "
            "export it with a batch that varies"
        )
    return lambda views: graph(views)[0]

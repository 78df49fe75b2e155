"""What a purification network takes for artifact and what not, laid out (figure 3 of the APN paper)."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from assay.engine.errors import SetupError
from assay.engine.outcome import Refused
from assay.kernels import view
from assay.trainers.data.augment import Pixels
from assay.trainers.data.read import read_pixels
from assay.trainers.data.samples import Sample
from assay.trainers.kinds.apn.bundle import view_rule
from assay.trainers.kinds.apn.losses import features
from assay.trainers.kinds.apn.network import APN
from assay.trainers.study.figures import Cloud
from assay.trainers.study.kept import Arrays

BATCH, PERPLEXITY, LEAST = 8, 30.0, 5
"""Images at once; of t-SNE; and with how few images there is nothing to lay out."""
PARTS = ("relevant", "irrelevant")


def chosen(samples: Sequence[Sample], count: int) -> list[Sample]:
    """At most `count` photographs and as many synthetic images, evenly spread over all of them in order."""
    found: list[Sample] = []
    for label in (0, 1):
        those = [sample for sample in samples if sample.label == label]
        places = np.linspace(0, len(those) - 1, min(count, len(those))).round().astype(int)
        found += [those[place] for place in places]
    return found


def looked_at(network: APN, samples: Sequence[Sample]) -> Arrays:
    """`relevant` and `irrelevant` (n, F) of the samples that can be read, and which these are, as `taken`."""
    device = next(network.parameters()).device
    read = [_read(sample) for sample in samples]
    images = [pixels for pixels in read if pixels is not None]
    found: dict[str, list[NDArray[np.float32]]] = {name: [] for name in PARTS}
    for first in range(0, len(images), BATCH):
        views = torch.from_numpy(view(images[first : first + BATCH], view_rule(network.size))).to(device)
        with torch.inference_mode():
            irrelevant, relevant = features(network(views))
        for name, rows in zip(PARTS, (relevant, irrelevant), strict=True):
            found[name].append(rows.float().cpu().numpy())
    empty = np.zeros((0, 1), np.float32)
    arrays: Arrays = {name: np.concatenate(rows) if rows else empty for name, rows in found.items()}
    return {**arrays, "taken": np.array([pixels is not None for pixels in read], bool)}


def laid_out(found: Mapping[str, NDArray[np.generic]], labels: NDArray[np.int64]) -> list[Cloud]:
    """All features of a panel by t-SNE together -> relevant ones of photographs and of synthetic images, and
    irrelevant ones of both. labels: (n,) of the images that were read.

    Raises SetupError where there are too few.
    """
    from sklearn.manifold import TSNE

    rows = np.concatenate([found[name] for name in PARTS]).astype(np.float64)
    if len(labels) < LEAST:
        raise SetupError(f"{len(labels)} images can be read, which are too few to lay out")
    perplexity = min(PERPLEXITY, (len(rows) - 1) / 3)
    places = TSNE(2, perplexity=perplexity, init="pca", random_state=0).fit_transform(rows)
    halves = np.split(np.asarray(places, np.float64), 2)
    kinds = ("photographs", "synthetic images")
    return [
        Cloud(f"{part} to artifacts, {kind}", half[labels == label])
        for part, half in zip(PARTS, halves, strict=True)
        for label, kind in enumerate(kinds)
    ]


def _read(sample: Sample) -> Pixels | None:
    try:
        return read_pixels(sample.path)
    except (OSError, Refused):
        return None

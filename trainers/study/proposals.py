"""Which frequencies a purification network trusts, by generator (figure 4 of the APN paper)."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from assay.engine.bundle import Bundle
from assay.engine.detectors import Detection, Stopwatch
from assay.engine.outcome import Refused
from assay.trainers.data.read import read_pixels
from assay.trainers.data.samples import Sample
from assay.trainers.evaluate.means import Means, ready

Curve = NDArray[np.float64]
"""(S // 2 + 1,) share of the trust by absolute frequency 0, 1/S, ... 1/2 cycles per pixel; sums to 1."""


def trusted(
    bundle: Bundle,
    samples: Sequence[Sample],
    advance: Callable[[], None] = lambda: None,
    means: Means | None = None,
) -> tuple[dict[str, Curve], list[Path]]:
    """The curve of each generator's images, and the files that were left out, corrupt or too small."""
    made = ready(bundle, means or Means())
    side = bundle.manifest.view.size
    sums: dict[str, Curve] = defaultdict(lambda: np.zeros(side // 2 + 1))
    refused: list[Path] = []
    for sample in samples:
        if sample.label:
            try:
                pixels = read_pixels(sample.path)
            except (OSError, Refused):
                pixels = None
            if pixels is None or min(pixels.shape[:2]) < bundle.manifest.min_side:
                refused.append(sample.path)
            else:
                [found] = made.detect([pixels], made.graphs, Stopwatch())
                sums[sample.group] += weights(found, side)
        advance()
    return {name: total / total.sum() for name, total in sorted(sums.items()) if total.sum()}, refused


def weights(detection: Detection, side: int) -> Curve:
    """How much confidence lies on each frequency: every band gives its confidence to the rows and columns
    that it holds, spread evenly over them; rows above 0.5 are negative frequencies."""
    curve = np.zeros(side // 2 + 1)
    for band in detection.evidence["bands"]:
        crosses = np.rint(np.array([*band["amplitude"], *band["phase"]]) * side).astype(int)
        for top, bottom, left, right in crosses:
            for first, last in ((top, bottom), (left, right)):
                held = np.arange(first, last + 1)
                np.add.at(curve, np.minimum(held, side - held), band["confidence"] / len(held))
    return curve


def correlations(curves: Mapping[str, Curve]) -> NDArray[np.float64]:
    """(n, n) how alike the curves are: Pearson's coefficient, in their order."""
    return np.atleast_2d(np.corrcoef(np.stack(list(curves.values()))))

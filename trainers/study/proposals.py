"""Which frequencies a purification network trusts, by generator (figure 4 of the APN paper)."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from assay.engine.bundle import Bundle
from assay.engine.detectors import Detection, Stopwatch
from assay.engine.outcome import Refused
from assay.trainers.data.read import read_pixels
from assay.trainers.data.samples import Sample
from assay.trainers.evaluate.means import Means, Ready, ready
from assay.trainers.study.accuracy import as_printed
from assay.trainers.study.kept import Arrays, Kept, fingerprint

Curve = NDArray[np.float64]
"""(S // 2 + 1,) share of the trust by absolute frequency 0, 1/S, ... 1/2 cycles per pixel; sums to 1."""


def trusted(
    bundle: Bundle,
    samples: Sequence[Sample],
    means: Means | None = None,
    kept: Kept | None = None,
) -> tuple[dict[str, Curve], list[Path]]:
    """The curve of each generator's images, and the files that were left out, corrupt or too small.

    kept: where parts that are finished lie and go.
    """
    means = means or Means()
    made = ready(bundle, means)
    side = bundle.manifest.view.size

    def make(part: Sequence[Sample]) -> Arrays:
        found = [_weights(sample, bundle, made) for sample in part]
        rows = [row for row in found if row is not None]
        taken = np.array([row is not None for row in found], bool)
        return {"weights": np.array(rows).reshape(-1, side // 2 + 1), "taken": taken}

    synthetic = [sample for sample in samples if sample.label]
    decides = {"bundle": fingerprint(bundle.path / "manifest.json"), "by": f"{means} {made.precision}"}
    found = (
        kept.arrays(bundle.name, decides | {"what": "bands"}, synthetic, make) if kept else make(synthetic)
    )
    taken = found["taken"].astype(bool)
    sums: dict[str, Curve] = defaultdict(lambda: np.zeros(side // 2 + 1))
    there = [sample for sample, here in zip(synthetic, taken, strict=True) if here]
    for sample, row in zip(there, found["weights"], strict=True):
        sums[sample.group] += row
    refused = [sample.path for sample, here in zip(synthetic, taken, strict=True) if not here]
    return {name: sums[name] / sums[name].sum() for name in as_printed(sums) if sums[name].sum()}, refused


def _weights(sample: Sample, bundle: Bundle, made: Ready) -> Curve | None:
    """None where the file is corrupt or too small."""
    try:
        pixels = read_pixels(sample.path)
    except (OSError, Refused):
        return None
    if min(pixels.shape[:2]) < bundle.manifest.min_side:
        return None
    [found] = made.detect([pixels], made.graphs, Stopwatch())
    return weights(found, bundle.manifest.view.size)


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

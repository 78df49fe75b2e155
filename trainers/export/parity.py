"""Whether a bundle gives the verdicts of the network it was made from, on each executor in each precision.

Both run the same detector function on the same files, so what differs is what executors, precisions and
decoders make of it. An index that flips changes a whole crop; such differences are counted apart.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from assay.engine.bundle import Manifest
from assay.engine.detectors import KINDS, Choice, Detection, Graph, Image, Stopwatch
from assay.engine.detectors.detector import Arrays, tapped
from assay.trainers.data.read import read_pixels

LIMITS = {"fp32": 0.01, "bf16": 0.03, "fp16": 0.03, "int8": 0.05}
"""Largest probability difference, indices forced equal, at which a precision may be offered."""
BATCH = 4


@dataclass(frozen=True)
class Side:
    """One way to score files: graphs, by the names the detector asks for, and how a file becomes pixels."""

    graphs: Mapping[str, Graph]
    decode: Callable[[Path], Image] = read_pixels


@dataclass(frozen=True)
class Parity:
    """How far a candidate is from the reference, on `images` images; differences are of the probability.

    same_choices: share of images whose chosen indices are all equal (1 where a detector chooses none).
    forced: largest difference with the reference's indices forced upon the candidate.
    p95, largest: 95th percentile and maximum of the difference end to end.
    changed_labels: share of images whose label differs end to end.
    """

    images: int
    same_choices: float
    forced: float
    p95: float
    largest: float
    changed_labels: float

    def passes(self, precision: str) -> bool:
        """Whether `precision` may be offered."""
        return self.forced <= LIMITS[precision]


def compare(files: Sequence[Path], manifest: Manifest, reference: Side, candidate: Side) -> Parity:
    """Score every file both ways, and a third way: the candidate looking where the reference looks."""
    kind = KINDS[manifest.kind]
    choosing = kind.choices(manifest)
    recorded: dict[str, Arrays] = {}

    def record(name: str, inputs: Arrays, outputs: Arrays) -> None:
        recorded[name] = outputs

    recording = tapped(reference.graphs, choosing, record)
    forcing = _forcing(candidate.graphs, choosing, manifest, recorded)
    detect = kind.detector(manifest)
    wanted: list[Detection] = []
    got: list[Detection] = []
    forced: list[Detection] = []
    for start in range(0, len(files), BATCH):
        batch = files[start : start + BATCH]
        recorded.clear()
        theirs = [reference.decode(file) for file in batch]
        wanted += detect(theirs, recording, Stopwatch())
        ours = [candidate.decode(file) for file in batch]
        got += detect(ours, candidate.graphs, Stopwatch())
        forced += detect(ours, forcing, Stopwatch())
    first, second, third = (_probabilities(side, manifest) for side in (wanted, got, forced))
    differences = np.abs(first - second)
    label = manifest.thresholds.label
    return Parity(
        images=len(files),
        same_choices=_share(one.chosen == two.chosen for one, two in zip(wanted, got, strict=True)),
        forced=float(np.abs(first - third).max()),
        p95=float(np.percentile(differences, 95)),
        largest=float(differences.max()),
        changed_labels=_share(label(one) != label(two) for one, two in zip(first, second, strict=True)),
    )


def _forcing(
    graphs: Mapping[str, Graph],
    choosing: Mapping[str, Choice],
    manifest: Manifest,
    recorded: Mapping[str, Arrays],
) -> dict[str, Graph]:
    """`graphs`, of which those that choose give the `recorded` outputs where indices come from them."""

    def forcing(name: str, choice: Choice) -> Graph:
        outputs = manifest.graphs[choice.graph].outputs
        decides = [output in choice.outputs for output in outputs]

        def call(*arrays: NDArray[np.float32]) -> Arrays:
            own = graphs[name](*arrays)
            known = recorded.get(name)
            if known is None or len(known[0]) != len(own[0]):
                return own  # a member of an ensemble was asked of other images
            return tuple(
                np.asarray(theirs, like=mine) if forced else mine  # on a GPU, should the candidate run there
                for forced, theirs, mine in zip(decides, known, own, strict=True)
            )

        return call

    return {**graphs, **{name: forcing(name, choice) for name, choice in choosing.items()}}


def _probabilities(detections: Sequence[Detection], manifest: Manifest) -> NDArray[np.float64]:
    return np.array([manifest.calibration.probability(detection.logit) for detection in detections])


def _share(of: Iterable[bool]) -> float:
    return float(np.mean(list(of)))

"""Figure 3 of the Fusing paper: average precision on images blurred or compressed after the fact."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from assay.trainers.data.samples import Sample
from assay.trainers.evaluate.score import Alter
from assay.trainers.evaluate.sweep import blurred, compressed
from assay.trainers.study.method import Method
from assay.trainers.study.table import line

__all__ = ["BLURS", "QUALITIES", "Curves", "blurred", "compressed", "curves", "strengths"]

BLURS = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0)
"""Standard deviations in pixels."""
QUALITIES = (100, 90, 80, 70, 60, 50, 40, 30)
"""JPEG qualities."""
UNCOMPRESSED = 110
"""Where on the axis of qualities the images stand as they are."""

Curves = dict[str, list[tuple[float, float]]]
"""By method, (strength, Total mAP in percent)."""


@dataclass(frozen=True)
class Strength:
    """A point of a curve: what it is called, where it stands on the axis, and what is done to the images."""

    name: str
    place: float
    alter: Alter | None


def strengths(to: Literal["blur", "jpeg"]) -> list[Strength]:
    """The points of a curve, the images as they are first."""
    if to == "blur":
        return [Strength(f"{sigma:g}", sigma, blurred(sigma) if sigma else None) for sigma in BLURS]
    altered = [Strength(str(quality), quality, compressed(quality)) for quality in QUALITIES]
    return [Strength("none", UNCOMPRESSED, None), *altered]


def curves(methods: Sequence[Method], samples: Sequence[Sample], points: Sequence[Strength]) -> Curves:
    """The mean over generators at each point."""
    return {
        one.name: [
            (point.place, line(one.name, one.score(samples, point.alter, point.name)).total)
            for point in points
        ]
        for one in methods
    }

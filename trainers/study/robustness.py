"""Figure 3 of the Fusing paper: average precision on images blurred or compressed after the fact."""

from collections.abc import Sequence

from assay.trainers.data.samples import Sample
from assay.trainers.evaluate.score import Alter
from assay.trainers.evaluate.sweep import blurred, compressed
from assay.trainers.study.method import Method
from assay.trainers.study.table import line

__all__ = ["BLURS", "QUALITIES", "Curves", "blurred", "compressed", "curves"]

BLURS = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0)
"""Standard deviations in pixels."""
QUALITIES = (100, 90, 80, 70, 60, 50, 40, 30)
"""JPEG qualities."""

Curves = dict[str, list[tuple[float, float]]]
"""By method, (strength, Total mAP in percent)."""


def curves(
    methods: Sequence[Method], samples: Sequence[Sample], alterations: Sequence[tuple[float, Alter]]
) -> Curves:
    """The mean over generators at each strength."""
    return {
        one.name: [
            (strength, line(one.name, one.score(samples, alter)).total) for strength, alter in alterations
        ]
        for one in methods
    }

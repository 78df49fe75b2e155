"""Figure 3 of the Fusing paper: average precision on images blurred or compressed after the fact."""

from collections.abc import Sequence

import numpy as np

from assay.trainers.data.augment import Blur, Compress, Pixels
from assay.trainers.data.samples import Sample
from assay.trainers.evaluate.score import Alter
from assay.trainers.study.contender import Contender
from assay.trainers.study.table import line

BLURS = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0)
"""Standard deviations in pixels."""
QUALITIES = (100, 90, 80, 70, 60, 50, 40, 30)
"""JPEG qualities."""

Curves = dict[str, list[tuple[float, float]]]
"""By method, (strength, Total mAP in percent)."""


def blurred(sigma: float) -> Alter:
    step = Blur(1.0, (sigma, sigma))
    return lambda pixels: step(pixels, np.random.default_rng(0)) if sigma else pixels


def compressed(quality: int) -> Alter:
    step = Compress(1.0, (quality, quality))

    def alter(pixels: Pixels) -> Pixels:
        return step(pixels, np.random.default_rng(0))

    return alter


def curves(
    contenders: Sequence[Contender], samples: Sequence[Sample], alterations: Sequence[tuple[float, Alter]]
) -> Curves:
    """The mean over generators at each strength."""
    return {
        one.name: [
            (strength, line(one.name, one.score(samples, alter)).total) for strength, alter in alterations
        ]
        for one in contenders
    }

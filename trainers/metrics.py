"""How well a detector tells synthesised images from photographs.

Accuracy is taken at probability 0.5 (strictly above means synthetic) on photographs and synthesised images
apart, as the literature does; what users see is the share of each label at a bundle's thresholds.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from assay.engine.bundle import Calibration, Thresholds
from assay.trainers.score import Scored

SIDES = (0, 112, 224, 320, 512, 1024, 1 << 31)
"""Edges of the bins by shorter side, in pixels."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Row:
    """Figures of some photographs and synthesised images; NaN where a figure has nothing to be taken of.

    Accuracies and label shares are fractions of the photographs and of the synthesised images apart:
    `photos_synthetic` is the share of false alarms.
    """

    pool: str
    name: str
    photos: int
    fakes: int
    average_precision: float
    photo_accuracy: float
    fake_accuracy: float
    photos_synthetic: float
    photos_uncertain: float
    fakes_synthetic: float
    fakes_uncertain: float


class Judged:
    """Scored images at a bundle's calibration and thresholds."""

    def __init__(self, scored: Scored, calibration: Calibration, thresholds: Thresholds) -> None:
        self.scored = scored
        self.probabilities = np.array([calibration.probability(logit) for logit in scored.logits])
        self._synthetic = self.probabilities >= thresholds.synthetic
        self._authentic = self.probabilities <= thresholds.authentic
        self._labels = scored.labels
        self._pools = np.array([sample.pool for sample in scored.samples])
        self._groups = np.array([sample.group for sample in scored.samples])

    def by_generator(self) -> list[Row]:
        """Each generator of each pool against the photographs of that pool, or all where it has none."""
        return [
            self._row(pool, generator, self._photos(pool), fakes)
            for pool, generator, fakes in self._groups_of(self._labels == 1)
        ]

    def by_source(self) -> list[Row]:
        """Each source of photographs of each pool, alone."""
        none = np.zeros(len(self._labels), np.bool_)
        return [
            self._row(pool, source, photos, none)
            for pool, source, photos in self._groups_of(self._labels == 0)
        ]

    def by_pool(self) -> list[Row]:
        """Each pool as a whole, its average precision the mean over its generators (mAP)."""
        return [self._mean_row(pool) for pool in sorted(set(self._pools.tolist()))]

    def by_size(self) -> list[Row]:
        """Images of all pools in bins of their shorter side."""
        rows = []
        for low, high in pairwise(SIDES):
            inside = (self.scored.sides >= low) & (self.scored.sides < high)
            if inside.any():
                name = f"{low} px and more" if high == SIDES[-1] else f"{low} to {high - 1} px"
                rows.append(
                    self._row("all", name, inside & (self._labels == 0), inside & (self._labels == 1))
                )
        return rows

    def overall(self) -> Row:
        """Everything together; the average precision is of the pooled scores (global AP)."""
        return self._row("all", "global", self._labels == 0, self._labels == 1)

    def figures(self) -> dict[str, float]:
        """What an epoch is judged by.

        `val_loss` (cross-entropy, photographs and synthesised images weighing the same), `map` (mean of the
        generators' average precision), `accuracy` (mean of the two that follow), `photo_accuracy`,
        `fake_accuracy`.
        """
        labels, logits, overall = self._labels, self.scored.logits, self.overall()
        losses = np.logaddexp(0, np.where(labels == 1, -logits, logits))
        return {
            "val_loss": float(np.mean([losses[labels == label].mean() for label in (0, 1)])),
            "map": float(np.mean([row.average_precision for row in self.by_generator()])),
            "accuracy": (overall.photo_accuracy + overall.fake_accuracy) / 2,
            "photo_accuracy": overall.photo_accuracy,
            "fake_accuracy": overall.fake_accuracy,
        }

    def _groups_of(self, among: Mask) -> Iterator[tuple[str, str, Mask]]:
        pairs = zip(self._pools[among].tolist(), self._groups[among].tolist(), strict=True)
        for pool, group in sorted(set(pairs)):
            yield pool, group, among & (self._pools == pool) & (self._groups == group)

    def _photos(self, pool: str) -> Mask:
        photos = self._labels == 0
        own: Mask = photos & (self._pools == pool)
        return own if own.any() else photos

    def _row(self, pool: str, name: str, photos: Mask, fakes: Mask, precision: float | None = None) -> Row:
        both, probabilities = photos | fakes, self.probabilities
        if precision is None:
            precision = average_precision(self._labels[both], self.scored.logits[both])
        unsure = ~self._synthetic & ~self._authentic
        return Row(
            pool,
            name,
            int(photos.sum()),
            int(fakes.sum()),
            precision,
            _share(probabilities <= 0.5, photos),
            _share(probabilities > 0.5, fakes),
            _share(self._synthetic, photos),
            _share(unsure, photos),
            _share(self._synthetic, fakes),
            _share(unsure, fakes),
        )

    def _mean_row(self, pool: str) -> Row:
        each = [row.average_precision for row in self.by_generator() if row.pool == pool]
        mean = float(np.mean(each)) if each else math.nan
        fakes = (self._labels == 1) & (self._pools == pool)
        return self._row(pool, "mean of generators", self._photos(pool), fakes, mean)


def average_precision(labels: NDArray[np.int64], scores: NDArray[np.float64]) -> float:
    """Precision over recall as a step-wise sum, without interpolation; NaN where a class is missing."""
    if len(np.unique(labels)) < 2:
        return math.nan
    return float(average_precision_score(labels, scores))


def _share(of: Mask, among: Mask) -> float:
    return float(of[among].mean()) if among.any() else math.nan

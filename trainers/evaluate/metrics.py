"""How well a detector separates synthetic images from photographs.

Two accuracies stand side by side: at probability 0.5 (strictly above means synthetic) on photographs and
synthetic images apart, as the literature has it, and at the bundle's own threshold, with the share of each
label there, as users see it.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

from assay.engine.bundle import Calibration, Thresholds
from assay.engine.domain import Domain, doubted
from assay.engine.outcome import Doubt, Label
from assay.trainers.evaluate.score import Scored

SIDES = (0, 64, 112, 224, 320, 512, 1024, 1 << 31)
"""Edges of the bins by shorter side, in pixels."""

ALL = "all"
"""The pool of rows that are of all pools together."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Row:
    """Figures of some photographs and synthetic images; NaN where a figure has nothing to be taken of.

    `average_precision` and `auc` (area under the ROC curve) are of all these images together.
    `mean_average_precision` is the mean over their generators, each against the photographs of its pool among
    them; rows of a generator or a source have none.

    `accuracy`: the share on its side of the bundle's threshold of synthetic, the mean of the classes present.
    `photograph_accuracy` and `synthetic_accuracy` are taken at probability 0.5.
    `false_alarms`: photographs labelled synthetic, of the photographs; `caught`, `synthetic_uncertain` and
    `called_authentic`: the labels of the synthetic images, of these.
    """

    pool: str
    name: str
    photographs: int
    synthetic: int
    mean_average_precision: float
    average_precision: float
    auc: float
    accuracy: float
    photograph_accuracy: float
    synthetic_accuracy: float
    false_alarms: float
    photographs_uncertain: float
    caught: float
    synthetic_uncertain: float
    called_authentic: float


@dataclass(frozen=True, slots=True)
class Doubted:
    """Images of a source or a generator, or all photographs or synthetic images: the share that is uncertain,
    and that of each doubt. An image may have several; doubts that no image has at all are left out.
    """

    label: str
    name: str
    images: int
    uncertain: float
    doubts: dict[str, float]


class Evaluation:
    """Scored images at a bundle's calibration and thresholds."""

    def __init__(
        self,
        scored: Scored,
        calibration: Calibration,
        thresholds: Thresholds,
        domain: Domain | None = None,
    ) -> None:
        """With a `domain` verdicts are doubted as they would be served; `scored` must have measures then."""
        self.scored = scored
        self.probabilities = np.array([calibration.probability(logit) for logit in scored.logits])
        doubts = [domain.doubts(one) for one in scored.measures] if domain else [()] * len(scored.samples)
        labels = [thresholds.label(probability) for probability in self.probabilities]
        self.verdicts = [doubted(label, found) for label, found in zip(labels, doubts, strict=True)]
        """Of each image its label, and why it is uncertain where it is."""
        self.called_synthetic = np.array([label is Label.SYNTHETIC for label, _ in self.verdicts], np.bool_)
        self.called_authentic = np.array([label is Label.AUTHENTIC for label, _ in self.verdicts], np.bool_)
        self._labels = scored.labels
        self._pools = np.array([sample.pool for sample in scored.samples])
        self._groups = np.array([sample.group for sample in scored.samples])

    def labels(self) -> list[Label]:
        """What each image was called."""
        return [label for label, _ in self.verdicts]

    def by_doubt(self) -> list[Doubted]:
        """Why verdicts are uncertain: of each source of photographs, each generator, and each class."""
        rows = []
        for label, group in ((0, "photographs"), (1, "synthetic")):
            own = self._labels == label
            named = [(name, own & (self._groups == name)) for name in sorted(set(self._groups[own].tolist()))]
            rows += [self._doubted(group, name, among) for name, among in [*named, (ALL, own)] if among.any()]
        return rows

    def _doubted(self, group: str, name: str, among: Mask) -> Doubted:
        found = [self.verdicts[place][1] for place in np.flatnonzero(among)]
        shares = {
            doubt.value: sum(doubt in doubts for doubts in found) / len(found)
            for doubt in Doubt
            if any(doubt in doubts for _, doubts in self.verdicts)
        }
        return Doubted(group, name, len(found), sum(map(bool, found)) / len(found), shares)

    def by_generator(self) -> list[Row]:
        """Each generator of each pool against the photographs of that pool, or all where it has none.

        Those in several pools come once more, as pool `all`, against the photographs of these pools.
        """
        synthetic = self._labels == 1
        rows = [
            self._row(pool, generator, self._photos(pool), own)
            for pool, generator, own in self._groups_of(synthetic)
        ]
        return rows + [
            self._row(ALL, generator, self._photos(*pools), own)
            for pools, generator, own in self._spread(synthetic)
        ]

    def by_source(self) -> list[Row]:
        """Each source of photographs of each pool, alone; those in several once more, as pool `all`."""
        photos, none = self._labels == 0, np.zeros(len(self._labels), np.bool_)
        rows = [self._row(pool, source, own, none) for pool, source, own in self._groups_of(photos)]
        return rows + [self._row(ALL, source, own, none) for _, source, own in self._spread(photos)]

    def by_pool(self) -> list[Row]:
        """Each pool as a whole."""
        synthetic = self._labels == 1
        return [
            self._mean_row(pool, "all images", self._photos(pool) | synthetic & (self._pools == pool))
            for pool in sorted(set(self._pools.tolist()))
        ]

    def by_size(self) -> list[Row]:
        """Images of all pools in bins of their shorter side."""
        rows = []
        for low, high in pairwise(SIDES):
            inside = (self.scored.sides >= low) & (self.scored.sides < high)
            if inside.any():
                name = f"{low} px and more" if high == SIDES[-1] else f"{low} to {high - 1} px"
                rows.append(self._mean_row(ALL, name, inside))
        return rows

    def overall(self) -> Row:
        """Everything together."""
        return self._mean_row(ALL, "all images", np.ones(len(self._labels), np.bool_))

    def figures(self) -> dict[str, float]:
        """What an epoch is judged by.

        `val_loss` (cross-entropy, photographs and synthetic images weighing the same), `map` (mean of the
        generators' average precision), `accuracy` (mean of the two that follow), `photo_accuracy`,
        `fake_accuracy`.
        """
        labels, logits, overall = self._labels, self.scored.logits, self.overall()
        losses = np.logaddexp(0, np.where(labels == 1, -logits, logits))
        return {
            "val_loss": float(np.mean([losses[labels == label].mean() for label in (0, 1)])),
            "map": overall.mean_average_precision,
            "accuracy": (overall.photograph_accuracy + overall.synthetic_accuracy) / 2,
            "photo_accuracy": overall.photograph_accuracy,
            "fake_accuracy": overall.synthetic_accuracy,
        }

    def _groups_of(self, among: Mask) -> Iterator[tuple[str, str, Mask]]:
        pairs = zip(self._pools[among].tolist(), self._groups[among].tolist(), strict=True)
        for pool, group in sorted(set(pairs)):
            yield pool, group, among & (self._pools == pool) & (self._groups == group)

    def _spread(self, among: Mask) -> Iterator[tuple[list[str], str, Mask]]:
        for group in sorted(set(self._groups[among].tolist())):
            own = among & (self._groups == group)
            pools = sorted(set(self._pools[own].tolist()))
            if len(pools) > 1:
                yield pools, group, own

    def _photos(self, *pools: str, among: Mask | None = None) -> Mask:
        """The photographs of these pools, or where there are none all of them, of the images `among`."""
        photos = self._labels == 0 if among is None else among & (self._labels == 0)
        own: Mask = photos & np.isin(self._pools, pools)
        return own if own.any() else photos

    def _mean_row(self, pool: str, name: str, among: Mask) -> Row:
        photos, synthetic = among & (self._labels == 0), among & (self._labels == 1)
        each = []
        for own_pool, _, own in self._groups_of(synthetic):
            both = own | self._photos(own_pool, among=among)
            each.append(average_precision(self._labels[both], self.scored.logits[both]))
        return self._row(pool, name, photos, synthetic, float(np.mean(each)) if each else math.nan)

    def _row(self, pool: str, name: str, photos: Mask, synthetic: Mask, mean: float = math.nan) -> Row:
        both, probabilities = photos | synthetic, self.probabilities
        labels, logits = self._labels[both], self.scored.logits[both]
        unsure = ~self.called_synthetic & ~self.called_authentic
        right = [_share(~self.called_synthetic, photos), _share(self.called_synthetic, synthetic)]
        return Row(
            pool,
            name,
            int(photos.sum()),
            int(synthetic.sum()),
            mean,
            average_precision(labels, logits),
            auc(labels, logits),
            float(np.nanmean(right)) if both.any() else math.nan,
            _share(probabilities <= 0.5, photos),
            _share(probabilities > 0.5, synthetic),
            _share(self.called_synthetic, photos),
            _share(unsure, photos),
            _share(self.called_synthetic, synthetic),
            _share(unsure, synthetic),
            _share(self.called_authentic, synthetic),
        )


def average_precision(labels: NDArray[np.int64], scores: NDArray[np.float64]) -> float:
    """Precision over recall as a step-wise sum, without interpolation; NaN where a class is missing."""
    if len(np.unique(labels)) < 2:
        return math.nan
    return float(average_precision_score(labels, scores))


def auc(labels: NDArray[np.int64], scores: NDArray[np.float64]) -> float:
    """Area under the ROC curve; NaN where a class is missing."""
    if len(np.unique(labels)) < 2:
        return math.nan
    return float(roc_auc_score(labels, scores))


def _share(of: Mask, among: Mask) -> float:
    return float(of[among].mean()) if among.any() else math.nan

"""Confidence intervals: their figures are those of drawing images one by one, and they cover the truth."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.trainers.evaluate import intervals
from assay.trainers.evaluate.metrics import auc, average_precision


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(-3, 3)), min_size=2, max_size=40))
def test_counts_give_the_figures_of_the_images(rows: list[tuple[int, int]]) -> None:
    labels, scores = (np.array(column) for column in zip(*rows, strict=True))
    if len(set(labels.tolist())) < 2:
        assert all(math.isnan(one.low) for one in intervals.areas(labels, scores.astype(float)).values())
        return
    counts = intervals.counted(labels, scores.astype(float))
    assert intervals.auc_of(*counts) == pytest.approx(auc(labels, scores))
    assert intervals.average_precision_of(*counts) == pytest.approx(average_precision(labels, scores))


def test_exact_on_tiny_data() -> None:
    """Two images a class: every way to draw them, with its area, is listed; so are the percentiles."""
    labels, scores = np.array([0, 0, 1, 1]), np.array([0.0, 2.0, 1.0, 3.0])
    every = [
        auc(labels[[*photos, *synthetic]], scores[[*photos, *synthetic]])
        for photos in product((0, 1), repeat=2)
        for synthetic in product((2, 3), repeat=2)
    ]
    found = intervals.areas(labels, scores)["auc"]
    assert found == pytest.approx(np.percentile(every, (2.5, 97.5), method="inverted_cdf").tolist())
    assert intervals.areas(labels, scores) == intervals.areas(labels, scores, seed=0)


def test_many_distinct_scores_hardly_change_when_they_are_binned(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 6000)
    scores = rng.normal(labels, 1)
    binned = intervals.counted(labels, scores)
    assert len(binned[0]) <= intervals.DISTINCT
    assert intervals.auc_of(*binned) == pytest.approx(auc(labels, scores), abs=1 / 8000)
    assert intervals.average_precision_of(*binned) == pytest.approx(
        average_precision(labels, scores), abs=1e-3
    )


def test_nineteen_in_twenty_cover_the_truth(monkeypatch: pytest.MonkeyPatch) -> None:
    """Normal scores one deviation apart have an area of Phi(1 / sqrt 2) = 0.760."""
    monkeypatch.setattr(intervals, "RESAMPLES", 200)
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], [60, 90])
    covered = 0
    for _ in range(300):
        low, high = intervals.areas(labels, rng.normal(labels, 1.0))["auc"]
        covered += low <= 0.760250 <= high
    assert 0.90 <= covered / 300 <= 0.98


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.6])
def test_shares_are_covered_too(rate: float) -> None:
    rng = np.random.default_rng(0)
    found = [intervals.share(int(part), 80) for part in rng.binomial(80, rate, 2000)]
    assert np.mean([low <= rate <= high for low, high in found]) > 0.92


def test_no_false_alarm_among_few_images_proves_little() -> None:
    assert intervals.share(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)  # Wilson's, from its formula
    assert intervals.share(20, 20) == pytest.approx((0.8389, 1.0), abs=1e-4)
    assert math.isnan(intervals.share(0, 0).low)

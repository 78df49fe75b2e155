"""Calibration error and selective prediction against their definitions, written out."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.trainers.evaluate import selective
from assay.trainers.evaluate.reliability import calibration_error, reliability

IMAGES = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 20)), min_size=1, max_size=40)
"""Labels and probabilities in twentieths, which fall on edges of bins and are often equal."""


def weights_of(rows: list[tuple[int, int]]) -> list[Fraction]:
    counts = [sum(label == each for label, _ in rows) for each in (0, 1)]
    classes = sum(count > 0 for count in counts)
    return [Fraction(1, counts[label] * classes) for label, _ in rows]


def arrays(rows: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([row[0] for row in rows]), np.array([row[1] / 20 for row in rows])


@settings(deadline=None)
@given(IMAGES)
def test_calibration_error(rows: list[tuple[int, int]]) -> None:
    weights, error = weights_of(rows), Fraction(0)
    for low in range(4):  # bins of a quarter, the last one closed
        inside = [at for at, (_, p) in enumerate(rows) if low == min(p * 4 // 20, 3)]
        error += abs(
            sum((weights[at] * (Fraction(rows[at][1], 20) - rows[at][0]) for at in inside), Fraction(0))
        )
    bins = reliability(*arrays(rows), bins=4)
    assert calibration_error(bins) == pytest.approx(float(error))
    assert sum(one.share for one in bins) == pytest.approx(1)
    assert all(one.low <= one.probability + 1e-12 and one.probability - 1e-12 <= one.high for one in bins)


def test_a_calibrated_detector_has_no_error_and_a_boastful_one_has() -> None:
    rng = np.random.default_rng(0)
    probabilities = rng.random(40_000)
    labels = (rng.random(40_000) < probabilities).astype(int)
    assert calibration_error(reliability(labels, probabilities)) < 0.02
    assert calibration_error(reliability(labels, np.round(probabilities))) == pytest.approx(0.25, abs=0.01)


@settings(deadline=None)
@given(IMAGES)
def test_the_risk_curve_is_the_mean_over_orders_of_equally_sure_images(rows: list[tuple[int, int]]) -> None:
    """At the end of each group of equals the risk is that of all images so sure; between it is on a line of
    errors over weight."""
    weights = weights_of(rows)
    curve = selective.risk_coverage(*arrays(rows))
    wrong = [(p > 10) != (label == 1) for label, p in rows]
    for sureness in {abs(p - 10) for _, p in rows}:
        inside = [at for at, (_, p) in enumerate(rows) if abs(p - 10) >= sureness]
        coverage = sum(weights[at] for at in inside)
        risk = sum((weights[at] for at in inside if wrong[at]), Fraction(0)) / coverage
        place = int(np.abs(curve.coverage - float(coverage)).argmin())
        assert curve.coverage[place] == pytest.approx(float(coverage))
        assert curve.risk[place] == pytest.approx(float(risk))
    assert curve.coverage[-1] == 1
    assert curve.risk[-1] == pytest.approx(
        float(sum(w for w, bad in zip(weights, wrong, strict=True) if bad))
    )


def test_area_by_hand() -> None:
    """From the surest: right, wrong, right, wrong. Risks 0, 1/2, 1/3, 1/2."""
    labels, probabilities = np.array([1, 1, 0, 0]), np.array([0.99, 0.05, 0.1, 0.6])
    curve = selective.risk_coverage(labels, probabilities)
    assert curve.risk == pytest.approx([0, 1 / 2, 1 / 3, 1 / 2])
    assert selective.area(curve) == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 2) / 4)
    tied = selective.risk_coverage(labels, np.array([0.9, 0.1, 0.1, 0.9]))  # 0.1 and 0.9 are as sure
    assert tied.risk == pytest.approx([0.5] * 4)
    assert selective.area(selective.risk_coverage(labels, labels.astype(float))) == 0


def test_what_is_labelled() -> None:
    labels = np.array([0, 0, 1, 1])
    synthetic, authentic = np.array([True, False, True, False]), np.array([False, False, False, True])
    assert selective.decided(labels, synthetic, authentic) == pytest.approx((3 / 4, 2 / 3))
    nothing = np.zeros(4, np.bool_)
    coverage, risk = selective.decided(labels, nothing, nothing)
    assert coverage == 0
    assert math.isnan(risk)

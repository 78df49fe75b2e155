"""Calibration and thresholds against their definitions, written out."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.engine.bundle import Calibration
from assay.engine.errors import SetupError
from assay.trainers.data.samples import Sample
from assay.trainers.evaluate.metrics import Evaluation
from assay.trainers.evaluate.score import Scored
from assay.trainers.export.calibrate import choose_calibration, fit_calibration, fit_isotonic, fit_thresholds


def scored(rows: list[tuple[int, str, str, float, int]]) -> Scored:
    """Rows of label, pool, group, logit, side."""
    samples = tuple(
        Sample(Path(f"{number}.png"), label, "test", group, pool)
        for number, (label, pool, group, _, _) in enumerate(rows)
    )
    return Scored(samples, np.array([row[3] for row in rows]), np.array([row[4] for row in rows]))


def drawn(count: int, chance: object, seed: int = 0, groups: int = 1, spread: float = 2.0) -> Scored:
    """`count` logits, each synthetic with the probability that `chance` gives it, spread over groups."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, spread, count)
    labels = (rng.random(count) < chance(logits)).astype(int)  # type: ignore[operator]
    rows = zip(labels.tolist(), logits.tolist(), rng.integers(groups, size=count).tolist(), strict=True)
    return scored([(label, "", f"{label}{group}", logit, 1) for label, logit, group in rows])


@pytest.mark.parametrize(("temperature", "shift"), [(2.0, 1.0), (0.5, -2.0), (5.0, 0.0)])
def test_calibration_is_recovered(temperature: float, shift: float) -> None:
    """Labels drawn with the probabilities of a known calibration give that calibration back."""
    rng = np.random.default_rng(0)
    logits = rng.normal(shift, 3 * temperature, 40_000)
    chance = 1 / (1 + np.exp(-(logits - shift) / temperature))
    labels = (rng.random(40_000) < chance).astype(int)
    found = fit_calibration(
        scored([(int(label), "", "", logit, 1) for label, logit in zip(labels, logits, strict=True)])
    )
    assert found.temperature == pytest.approx(temperature, rel=0.05)
    assert found.shift == pytest.approx(shift, abs=0.05 * temperature)


def test_calibration_does_not_depend_on_the_share_of_classes() -> None:
    rows = [
        (label, "", "", 2.0 * label - 1 + offset, 1) for label in (0, 1) for offset in np.linspace(-2, 2, 50)
    ]
    once, lopsided = fit_calibration(scored(rows)), fit_calibration(scored(rows + rows[50:] * 9))
    assert lopsided.temperature == pytest.approx(once.temperature, rel=1e-3)
    assert lopsided.shift == pytest.approx(once.shift, abs=1e-3)


def test_separable_data_stay_finite() -> None:
    found = fit_calibration(scored([(0, "", "", -1.0, 1), (0, "", "", -2.0, 1), (1, "", "", 3.0, 1)]))
    assert found.temperature > 1e-3
    with pytest.raises(SetupError, match="one of them is missing"):
        fit_calibration(scored([(0, "", "", -1.0, 1)]))


@settings(deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.0, 0.01, 0.05, 0.2, 1.0]),
    st.sampled_from([0.0, 0.05, 0.3]),
    st.floats(-3, 3),
)
def test_thresholds_hold_what_they_promise(seed: int, alarms: float, misses: float, apart: float) -> None:
    """Also with tied scores, with hopeless detectors and with perfect ones."""
    rng = np.random.default_rng(seed)
    rows = [
        (
            label,
            "",
            f"source{group}" if not label else "gan",
            round(rng.normal(apart * label + group / 3, 1), 1),
            1,
        )
        for label in (0, 1)
        for group in range(3)
        for _ in range(int(rng.integers(20, 40)))
    ]
    made = fit_thresholds(scored(rows), Calibration(), false_alarms=alarms, misses=misses)
    assert made.authentic < 0.5 <= made.synthetic
    evaluation = Evaluation(scored(rows), Calibration(), made)
    for row in evaluation.by_source():
        assert row.false_alarms <= alarms
    overall = evaluation.overall()
    assert 1 - overall.caught - overall.synthetic_uncertain <= misses + 1e-12


def sigmoid(logits: object) -> object:
    return 1 / (1 + np.exp(-logits))  # type: ignore[operator]


def stairs(logits: object) -> object:
    """What no sigmoid can be: hardly better than a coin over most of the range, sure at its ends."""
    return np.select([logits < -3, logits > 3], [0.02, 0.98], 0.5)  # type: ignore[operator]


@pytest.mark.parametrize("groups", [1, 7])
def test_the_better_method_on_held_out_images_is_chosen(groups: int) -> None:
    straight = choose_calibration(drawn(600, sigmoid, groups=groups))
    stepped = choose_calibration(drawn(3000, stairs, groups=groups))
    assert straight.calibration.method == "temperature"
    assert stepped.calibration.method == "isotonic"
    assert straight.folds == stepped.folds == ("images" if groups == 1 else "sources")
    assert straight.losses["temperature"] < straight.losses["isotonic"]
    assert stepped.error < 0.05 < choose_calibration(drawn(3000, stairs), "temperature").error


@pytest.mark.parametrize(("method", "fit"), [("temperature", fit_calibration), ("isotonic", fit_isotonic)])
def test_a_named_method_is_taken_and_both_are_measured(method: str, fit: Callable[..., Any]) -> None:
    data = drawn(300, sigmoid)
    choice = choose_calibration(data, method)  # type: ignore[arg-type]
    assert choice.calibration == fit(data)
    assert set(choice.losses) == {"temperature", "isotonic"}


def test_sources_that_differ_are_not_learnt_by_heart() -> None:
    """Each source has its own level; folds of images let a calibration see it, folds of sources do not."""
    rows = [
        (label, "", f"{label} of {source}", 4.0 * label - 2 + 3 * math.sin(9.7 * source + label), 1)
        for source in range(10)
        for label in (0, 1)
        for _ in range(12)
    ]
    choice = choose_calibration(scored(rows))
    mixed = choose_calibration(scored([(label, "", f"{label}", logit, 1) for label, _, _, logit, _ in rows]))
    assert (choice.folds, mixed.folds) == ("sources", "images")
    assert choice.losses["isotonic"] > mixed.losses["isotonic"] + 0.05


def test_too_few_images_to_hold_out() -> None:
    choice = choose_calibration(scored([(0, "", "", -1.0, 1), (0, "", "", -2.0, 1), (1, "", "", 3.0, 1)]))
    assert choice.calibration.method == "temperature"
    assert not choice.losses
    assert math.isnan(choice.error)
    with pytest.raises(SetupError, match="one of them is missing"):
        choose_calibration(scored([(0, "", "", -1.0, 1)]), "isotonic")


def pooled(values: list[float], weights: list[float]) -> list[float]:
    """Isotonic regression by its max-min formula: the largest over starts of the least mean to an end."""

    def mean(start: int, end: int) -> float:
        return float(np.average(values[start : end + 1], weights=weights[start : end + 1]))

    size = len(values)
    return [
        max(min(mean(start, end) for end in range(at, size)) for start in range(at + 1)) for at in range(size)
    ]


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(-4, 4)), min_size=2, max_size=14))
def test_isotonic_against_its_formula(rows: list[tuple[int, int]]) -> None:
    counts = [sum(label == each for label, _ in rows) for each in (0, 1)]
    if not all(counts):
        return
    found = fit_isotonic(scored([(label, "", "", float(logit), 1) for label, logit in rows]))
    distinct = sorted({logit for _, logit in rows})
    weight = [
        [sum((label, logit) == (k, x) for label, logit in rows) / counts[k] for k in (0, 1)] for x in distinct
    ]
    wanted = pooled([one[1] / sum(one) for one in weight], [sum(one) for one in weight])
    limits = 1 / (counts[1] + 2), 1 - 1 / (counts[0] + 2)
    for logit, value in zip(distinct, wanted, strict=True):
        assert found.probability(logit) == pytest.approx(np.clip(value, *limits))
    assert found.probability(-99) == found.probability(distinct[0])
    if found.probability(distinct[0]) <= 0.5 <= found.probability(distinct[-1]):
        assert found.probability(found.shift) == pytest.approx(0.5)
    assert Calibration.model_validate_json(found.model_dump_json()) == found

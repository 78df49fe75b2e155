"""Metrics against their definitions, written out."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from assay.engine.bundle import Calibration, Thresholds
from assay.trainers.data.samples import Sample
from assay.trainers.evaluate.metrics import Evaluation, Row, auc, average_precision
from assay.trainers.evaluate.report import figures
from assay.trainers.evaluate.score import Scored


def scored(rows: list[tuple[int, str, str, float, int]]) -> Scored:
    """Rows of label, pool, group, logit, side."""
    samples = tuple(
        Sample(Path(f"{number}.png"), label, "test", group, pool)
        for number, (label, pool, group, _, _) in enumerate(rows)
    )
    return Scored(samples, np.array([row[3] for row in rows]), np.array([row[4] for row in rows]))


def stepwise(labels: NDArray[np.int64], scores: NDArray[np.float64]) -> float:
    """AP by its definition: at each distinct threshold, precision times the rise of recall."""
    total, before = 0.0, 0.0
    for threshold in sorted(set(scores.tolist()), reverse=True):
        taken = scores >= threshold
        recall = (taken & (labels == 1)).sum() / (labels == 1).sum()
        total += (recall - before) * (taken & (labels == 1)).sum() / taken.sum()
        before = recall
    return total


def ordered_pairs(labels: NDArray[np.int64], scores: NDArray[np.float64]) -> float:
    """AUC by its meaning: the share of pairs, synthetic and photograph, in order; equal ones half."""
    pairs = [(image, photo) for image in scores[labels == 1] for photo in scores[labels == 0]]
    return sum((image > photo) + (image == photo) / 2 for image, photo in pairs) / len(pairs)


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(-5, 5)), max_size=60))
def test_average_precision_and_area_under_the_curve(rows: list[tuple[int, int]]) -> None:
    labels, scores = np.array([row[0] for row in rows]), np.array([float(row[1]) for row in rows])
    if len(set(labels.tolist())) < 2:
        assert math.isnan(average_precision(labels, scores))
        assert math.isnan(auc(labels, scores))
    else:
        assert average_precision(labels, scores) == pytest.approx(stepwise(labels, scores))
        assert auc(labels, scores) == pytest.approx(ordered_pairs(labels, scores))


ROWS = [
    (0, "a", "camera", -2.0, 100),
    (0, "a", "phone", 1.0, 300),
    (1, "a", "gan", 2.0, 300),
    (1, "a", "gan", 0.5, 300),
    (1, "a", "flow", -1.0, 2000),
    (0, "b", "camera", -3.0, 2000),
    (1, "b", "gan", 3.0, 100),
    (1, "lonely", "gan", 0.0, 100),
]


def test_rows_by_hand() -> None:
    evaluation = Evaluation(scored(ROWS), Calibration(), Thresholds(synthetic=0.8, authentic=0.3))
    generators = {(row.pool, row.name): row for row in evaluation.by_generator()}
    assert set(generators) == {
        ("a", "gan"), ("a", "flow"), ("b", "gan"), ("lonely", "gan"), ("all", "gan"),
    }  # fmt: skip
    gan = generators["a", "gan"]
    assert (gan.photographs, gan.synthetic) == (2, 2)
    assert gan.average_precision == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert gan.auc == 0.75
    assert math.isnan(gan.mean_average_precision)
    assert (gan.photograph_accuracy, gan.synthetic_accuracy) == (0.5, 1.0)
    assert gan.accuracy == 0.75  # no photograph is at 0.8 or above it, and one of two synthetic images is
    assert (gan.caught, gan.synthetic_uncertain) == (0.5, 0.5)  # sigmoid(2) = 0.88, sigmoid(0.5) = 0.62
    assert generators["a", "flow"].called_authentic == 1.0  # sigmoid(-1) = 0.27
    assert generators["a", "flow"].average_precision == pytest.approx(0.5)
    # A pool without photographs is compared with all of them; 0 is at probability 0.5, which is not above it.
    lonely = generators["lonely", "gan"]
    assert (lonely.photographs, lonely.synthetic_accuracy) == (3, 0.0)

    sources = {(row.pool, row.name): row for row in evaluation.by_source()}
    assert sources["a", "phone"].false_alarms == 0.0
    assert sources["a", "phone"].photographs_uncertain == 1.0  # sigmoid(1) = 0.73
    assert math.isnan(sources["a", "phone"].caught)
    assert sources["a", "phone"].accuracy == 1.0
    assert "".join(label[0] for label in evaluation.labels()) == "ausuaasu"

    pools = {row.pool: row for row in evaluation.by_pool()}
    assert pools["a"].mean_average_precision == pytest.approx((5 / 6 + 1 / 2) / 2)
    assert pools["a"].average_precision == pytest.approx((1 + 2 / 3 + 3 / 4) / 3)
    assert pools["a"].auc == pytest.approx(4 / 6)
    assert [(row.name, row.photographs, row.synthetic) for row in evaluation.by_size()] == [
        ("64 to 111 px", 1, 2),
        ("224 to 319 px", 1, 2),
        ("1024 px and more", 1, 1),
    ]
    assert (evaluation.overall().photographs, evaluation.overall().synthetic) == (3, 5)


IMAGES = st.tuples(
    st.integers(0, 1),
    st.sampled_from(["a", "b", "c"]),
    st.sampled_from(["one", "two"]),
    st.integers(-3, 3).map(float),
    st.sampled_from([63, 64, 111, 112, 319, 1023, 1024, 9000]),
)


def figures_of(rows: list[tuple[int, str, str, float, int]]) -> tuple[float, float]:
    """AP and AUC of rows together."""
    labels, scores = np.array([row[0] for row in rows]), np.array([row[3] for row in rows])
    if len(set(labels.tolist())) < 2:
        return math.nan, math.nan
    return stepwise(labels, scores), ordered_pairs(labels, scores)


def mean_of(rows: list[tuple[int, str, str, float, int]]) -> float:
    """Mean AP of rows: each generator of each pool against the photographs of its pool, or else all."""
    photos = [row for row in rows if not row[0]]
    each = []
    for pool, group in {row[1:3] for row in rows if row[0]}:
        own = [row for row in photos if row[1] == pool] or photos
        each.append(figures_of(own + [row for row in rows if row[:3] == (1, pool, group)])[0])
    return sum(each) / len(each) if each else math.nan


@settings(deadline=None, max_examples=30)
@given(st.lists(IMAGES, min_size=1, max_size=24))
def test_every_row_has_the_figures_of_its_images(rows: list[tuple[int, str, str, float, int]]) -> None:
    evaluation = Evaluation(scored(rows), Calibration(), Thresholds(synthetic=0.8, authentic=0.3))
    photos = [row for row in rows if not row[0]]

    def check(row: Row, images: list[tuple[int, str, str, float, int]], mean: float) -> None:
        assert (row.photographs, row.synthetic) == (
            sum(1 - image[0] for image in images),
            sum(i[0] for i in images),
        )
        found = (row.mean_average_precision, row.average_precision, row.auc)
        assert found == pytest.approx((mean, *figures_of(images)), nan_ok=True)
        logits = [image[3] for image in images if image[0]]
        missed = sum(logit <= math.log(0.3 / 0.7) for logit in logits) / len(logits) if logits else math.nan
        assert row.called_authentic == pytest.approx(missed, nan_ok=True)

    check(evaluation.overall(), rows, mean_of(rows))
    for row in evaluation.by_pool():
        images = [image for image in rows if image[1] == row.pool]
        if all(image[0] for image in images):
            images += photos
        check(row, images, mean_of(images))
    edges = {"0 to 63 px": (0, 63), "64 to 111 px": (64, 111), "1024 px and more": (1024, math.inf)}
    sizes = evaluation.by_size()
    assert sum(row.photographs + row.synthetic for row in sizes) == len(rows)
    for row in sizes:
        if row.name in edges:
            low, high = edges[row.name]
            images = [image for image in rows if low <= image[4] <= high]
            check(row, images, mean_of(images))
    generators = evaluation.by_generator()
    among = {name: {image[1] for image in rows if image[0] and image[2] == name} for name in ("one", "two")}
    places = {(pool, name) for name, pools in among.items() for pool in pools}
    assert [(row.pool, row.name) for row in generators] == sorted(places) + [
        ("all", name) for name, pools in sorted(among.items()) if len(pools) > 1
    ]
    for row in generators:
        pools = among[row.name] if row.pool == "all" else {row.pool}
        own = [image for image in photos if image[1] in pools] or photos
        synthetic = [image for image in rows if image[0] and image[1] in pools and image[2] == row.name]
        check(row, own + synthetic, math.nan)
    for row in evaluation.by_source():
        own = [image for image in photos if row.pool in ("all", image[1]) and image[2] == row.name]
        assert (row.photographs, row.synthetic) == (len(own), 0)
        alarms = sum(image[3] >= math.log(0.8 / 0.2) for image in own) / len(own)
        assert row.false_alarms == pytest.approx(alarms)


def test_a_manifest_records_the_mean_of_each_pool_and_all_images_together() -> None:
    rows = [*ROWS, (0, "photos", "phone", 0.0, 64)]
    evaluation = Evaluation(scored(rows), Calibration(), Thresholds(synthetic=0.8, authentic=0.3))
    found = figures(evaluation)
    assert list(found) == ["a", "b", "lonely", "photos", "all"]
    assert found["a"] == {
        "photos": 2,
        "fakes": 3,
        "average_precision": 0.6667,
        "photos_synthetic": 0.0,
        "fakes_synthetic": 0.3333,
    }
    assert found["photos"]["average_precision"] is None
    labels, logits = np.array([row[0] for row in rows]), np.array([row[3] for row in rows])
    assert found["all"]["average_precision"] == pytest.approx(stepwise(labels, logits), abs=1e-4)

"""Limits of what a bundle knows, against their definition."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.engine.domain import LEAST, MOST, Measures
from assay.engine.outcome import Doubt
from assay.trainers.data.samples import Sample
from assay.trainers.evaluate.score import Scored
from assay.trainers.export.domain import doubtful, fit_domain

Row = tuple[int, str, Measures]


def scored(rows: list[Row]) -> Scored:
    samples = tuple(
        Sample(Path(f"{number}.png"), label, "val", group, "")
        for number, (label, group, _) in enumerate(rows)
    )
    return Scored(
        samples, np.zeros(len(rows)), np.ones(len(rows), np.int64), measures=tuple(row[2] for row in rows)
    )


measures = st.fixed_dictionaries(
    {name: st.integers(1, 9).map(float) for name in ("side", "fineness")},
    optional={"quality": st.integers(1, 9).map(float), "distance": st.integers(0, 9).map(float)},
)
rows = st.lists(st.tuples(st.integers(0, 1), st.sampled_from("ab"), measures), min_size=1, max_size=30)


@given(rows, st.sampled_from([0.0, 0.05, 0.2, 0.5]))
def test_a_limit_doubts_its_share_at_most_and_no_tighter_one_does(found: list[Row], share: float) -> None:
    """Weighed class by class, in each source by source, in each image by image."""
    images = scored(found)
    domain = fit_domain(images, share)
    groups = [row[:2] for row in found]
    weights = [
        1 / groups.count(group) / len({other for other in groups if other[0] == group[0]}) for group in groups
    ]
    for name in LEAST | MOST:
        there = [(row[2][name], weight) for row, weight in zip(found, weights, strict=True) if name in row[2]]
        limit = getattr(domain, name)
        assert (limit is None) == (not there)
        if limit is None:
            continue
        sign = 1 if name in LEAST else -1

        def beyond(at: float, there: list[tuple[float, float]] = there, sign: int = sign) -> float:
            out = sum(weight for value, weight in there if sign * value < sign * at)
            return out / sum(weight for _, weight in there)

        assert beyond(limit) <= share + 1e-9
        tighter = [value for value, _ in there if sign * value > sign * limit]
        assert all(beyond(value) > share - 1e-9 for value in tighter)


def test_a_large_source_does_not_decide_for_the_others() -> None:
    """Nine tenths of the photographs are of one source, which is half of their weight."""
    photos: list[Row] = [(0, "large", {"detail": 0.9})] * 90 + [(0, "small", {"detail": 0.1})] * 10
    images = scored([*photos, (1, "made", {"detail": 0.5})])
    assert fit_domain(images, 0.2).detail == 0.1
    assert fit_domain(images, 0.25).detail == 0.5
    shares = doubtful(images, fit_domain(images, 0.25))
    assert shares == {Doubt.FLAT: pytest.approx(0.25)}
    of_large_alone = replace(images, samples=images.samples[:90], measures=images.measures[:90])
    assert doubtful(of_large_alone, fit_domain(images, 0.25)) == {}

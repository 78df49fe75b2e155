"""Arrivals are independent, as many as were asked for, and the same in every run."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from assay.engine.errors import SetupError
from assay.engine.load.arrivals import MOST, poisson


@given(st.floats(0.01, 5000), st.floats(0.0, 20), st.integers(0, 5))
def test_as_many_as_were_asked_for_in_order_and_in_time(rate: float, seconds: float, seed: int) -> None:
    moments = poisson(rate, seconds, seed)
    assert len(moments) == round(rate * seconds)
    assert (np.diff(moments) >= 0).all()
    assert ((moments >= 0) & (moments <= seconds)).all()
    assert (moments == poisson(rate, seconds, seed)).all()


def test_gaps_are_exponential_and_counts_those_of_poisson() -> None:
    moments = poisson(1000, 100)
    gaps = np.diff(moments)
    assert stats.kstest(gaps, "expon", args=(0, 1 / 1000)).pvalue > 0.001
    counts = np.bincount(moments.astype(int), minlength=100)
    assert 0.6 < counts.var() / counts.mean() < 1.5  # evenly spaced ones would have none
    assert abs(np.corrcoef(gaps[:-1], gaps[1:])[0, 1]) < 0.02


def test_too_many_are_refused_before_any_is_made() -> None:
    assert len(poisson(MOST / 10, 10)) == MOST
    with pytest.raises(
        SetupError, match=r"1,000,000,000,000 images/s for 10 s are more than the 1,000,000 images"
    ):
        poisson(1e12, 10)

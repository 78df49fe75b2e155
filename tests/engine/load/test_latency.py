"""Percentiles against numpy's, and none that too few images speak of."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from assay.engine.load.latency import latency, percentile

values = st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=400).map(np.array)


@given(values, st.integers(0, 1000))
def test_a_percentile_is_numpys_inverted_distribution(taken: NDArray[np.float64], thousandths: int) -> None:
    share = thousandths / 1000
    found = percentile(np.sort(taken), share)
    assert found == np.quantile(taken, share, method="inverted_cdf")
    assert (taken <= found).mean() >= share - 1e-9
    assert found in taken


@given(values)
def test_what_is_said_is_in_order_and_was_measured(taken: NDArray[np.float64]) -> None:
    found = latency(taken)
    assert found
    assert found.images == len(taken)
    assert found.mean == pytest.approx(taken.mean())
    said = [each for each in (found.p50, found.p95, found.p99, found.p999, found.max) if each is not None]
    assert said == sorted(said)
    assert set(said) <= set(taken.tolist())
    shares, seconds = zip(*found.curve, strict=True)
    assert list(shares) == sorted(shares)
    assert list(seconds) == sorted(seconds)
    assert max(shares) < 1


@pytest.mark.parametrize(
    ("images", "said"),
    [(39, []), (40, ["p95"]), (199, ["p95"]), (200, ["p95", "p99"]), (2000, ["p95", "p99", "p999"])],
)
def test_two_images_have_to_lie_beyond_a_percentile(images: int, said: list[str]) -> None:
    found = latency(np.arange(images) / 100)
    assert found
    assert [name for name in ("p95", "p99", "p999") if getattr(found, name) is not None] == said


def test_no_images_no_latency() -> None:
    assert latency(np.array([])) is None

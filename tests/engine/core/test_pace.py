import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.engine.core.pace import WEIGHT, Pace


def test_nothing_is_known_before_the_first_batch() -> None:
    assert Pace().of("a") == 0
    assert Pace().total([("a", 1000)]) == 0


@given(st.lists(st.tuples(st.integers(1, 64), st.floats(0, 100)), min_size=1))
def test_the_mean_lies_among_what_was_measured(batches: list[tuple[int, float]]) -> None:
    pace = Pace()
    for images, seconds in batches:
        pace.note("a", images, seconds)
    each = [seconds / images for images, seconds in batches]
    assert min(each) - 1e-9 <= pace.of("a") <= max(each) + 1e-9
    assert pace.of("b") == 0


def test_a_slow_start_is_no_more_than_one_of_the_first_batches() -> None:
    pace = Pace()
    for seconds in (9.0, 1.0, 1.0, 1.0):
        pace.note("a", 1, seconds)
    assert pace.of("a") == pytest.approx(3)


def test_later_batches_weigh_the_same_however_many_came_before() -> None:
    pace = Pace()
    for _ in range(1000):
        pace.note("a", 4, 4.0)
    pace.note("a", 4, 8.0)
    assert pace.of("a") == pytest.approx(1 + WEIGHT)
    assert pace.total([("a", 10), ("unknown", 5)]) == pytest.approx(10 * (1 + WEIGHT))

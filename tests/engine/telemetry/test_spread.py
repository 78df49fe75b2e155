"""A `Spread` shows what a `Histogram` shows, whenever it is read."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram

from assay.engine.telemetry.spread import WAITING, Spread

EDGES = (0.25, 0.5, 1.0)
values = st.one_of(st.sampled_from(EDGES), st.floats(-2, 4), st.just(float("inf")))


def pair() -> tuple[Spread, Histogram]:
    return tuple(  # type: ignore[return-value]
        kind("some", "words", ["which"], registry=CollectorRegistry(), buckets=EDGES).labels("this")
        for kind in (Spread, Histogram)
    )


def shown(metric: Histogram) -> dict[tuple[str, str], float]:
    return {
        (each.name, each.labels.get("le", "")): each.value
        for family in metric.collect()
        for each in family.samples
        if not each.name.endswith("_created")
    }


@given(st.lists(st.lists(values, max_size=20), max_size=5), st.sampled_from([0, 1, WAITING - 3, WAITING]))
def test_it_shows_what_a_histogram_does(groups: list[list[float]], before: int) -> None:
    spread, histogram = pair()
    for group in [[0.5] * before, *groups]:
        for value in group:
            spread.observe(value)
            histogram.observe(value)
        assert shown(spread) == pytest.approx(shown(histogram))


def test_nothing_is_lost_between_threads_that_write_and_read() -> None:
    spread, _ = pair()

    def write() -> None:
        for _ in range(3 * WAITING):
            spread.observe(0.5)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    seen = [0.0]
    while any(thread.is_alive() for thread in threads):
        seen.append(shown(spread)["some_count", ""])
    for thread in threads:
        thread.join()
    assert seen == sorted(seen)
    assert shown(spread)["some_count", ""] == 12 * WAITING
    assert shown(spread)["some_sum", ""] == 6 * WAITING


def test_no_more_waits_than_is_said() -> None:
    spread, _ = pair()
    for _ in range(5 * WAITING):
        spread.observe(0.1)
        assert len(spread._waiting) < WAITING


def test_an_exemplar_and_missing_labels_are_refused() -> None:
    spread, _ = pair()
    with pytest.raises(ValueError, match="no exemplars"):
        spread.observe(1.0, {"trace": "1"})
    parent = Spread("other", "words", ["which"], registry=CollectorRegistry())
    with pytest.raises(ValueError, match="label"):
        parent.observe(1.0)

"""Where time went: what waited, what made tensors, and the rest, of images that were computed or not."""

import pytest

from assay.engine.doors.inference.statistics import Statistics
from assay.engine.outcome import Label, Verdict


def verdict(**seconds: float) -> Verdict:
    return Verdict("i", Label.AUTHENTIC, 0.1, {"x": -1.0}, "b", "1", seconds=seconds)


@pytest.mark.parametrize(
    ("seconds", "queue", "made", "infer"),
    [
        ({"queue": 2.0, "decode": 0.25, "view": 0.25, "classify": 1.0}, 2.0, 0.5, 1.0),
        ({"shared": 3.0}, 3.0, 0.0, 0.0),
        ({"cached": 0.5}, 0.5, 0.0, 0.0),
        ({}, 0.0, 0.0, 0.0),
    ],
)
def test_waiting_is_no_work(seconds: dict[str, float], queue: float, made: float, infer: float) -> None:
    statistics = Statistics()
    statistics.answered([verdict(**seconds)], 4.0)
    spent = [statistics.queue.ns, statistics.input.ns, statistics.infer.ns]
    assert spent == [int(part * 1e9) for part in (queue, made, infer)]


def test_a_request_waited_as_long_as_the_last_of_its_images() -> None:
    statistics = Statistics()
    statistics.answered([verdict(cached=0.5), verdict(queue=1.0, classify=0.5), verdict(shared=0.75)], 2.0)
    assert (statistics.queue.ns, statistics.infer.ns) == (1_000_000_000, 500_000_000)
    assert statistics.images == 3

"""A histogram that costs an image little: what it is told is sorted into buckets by the many."""

import threading
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable

from prometheus_client import Histogram
from prometheus_client.samples import Sample

WAITING = 1024
"""Values that wait to be sorted, unless the metric is read before."""


class Spread(Histogram):
    """As `Histogram`, without exemplars. Thread-safe; whoever reads it sees all that was observed before."""

    def _metric_init(self) -> None:
        super()._metric_init()
        self._waiting: deque[float] = deque()
        self._sorting = threading.Lock()

    def observe(self, amount: float, exemplar: dict[str, str] | None = None) -> None:
        """Raises ValueError for a metric with labels that was given none, and for an exemplar."""
        if exemplar:
            raise ValueError("a Spread keeps no exemplars; use a Histogram")
        try:
            waiting = self._waiting
        except AttributeError:  # of one with labels, which has children instead
            self._raise_if_not_observable()  # type: ignore[no-untyped-call]
            raise
        waiting.append(amount)
        if len(waiting) >= WAITING:
            with self._sorting:
                self._sort()

    def _child_samples(self) -> Iterable[Sample]:
        with self._sorting:  # else what another thread is sorting would be missing
            self._sort()
            return super()._child_samples()

    def _sort(self) -> None:
        counts = [0] * len(self._buckets)
        total = 0.0
        waiting, bounds = self._waiting, self._upper_bounds
        for _ in range(len(waiting)):  # what comes meanwhile waits for the next time
            amount = waiting.popleft()
            counts[bisect_left(bounds, amount)] += 1
            total += amount
        self._sum.inc(total)
        for bucket, count in zip(self._buckets, counts, strict=True):
            if count:
                bucket.inc(count)

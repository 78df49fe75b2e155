"""What doors count in a front process, added to what the engine's process counts: one `/metrics` shows all.

A front sends by how much its counters grew, so no sum falls when a front is replaced; what one that was
killed counted in its last moment is lost. Gauges of Kafka are each front's own, and go with it.
"""

from collections.abc import Iterable
from typing import Any

from prometheus_client import Counter

from assay.engine import telemetry

SECONDS = 0.25
"""Between two messages."""
COUNTERS: dict[str, Counter] = {"outcomes": telemetry.OUTCOMES, "unanswered": telemetry.KAFKA_UNANSWERED}


class Growth:
    """Of a front's counters since it was last asked, with its gauges."""

    def __init__(self) -> None:
        self._told: dict[tuple[str, ...], float] = {}
        self._gauges: dict[str, Any] = {}

    def since(self) -> dict[str, Any]:
        """Empty where nothing has changed."""
        grown: list[Any] = []
        for name, counter in COUNTERS.items():
            for labels, value in _samples(counter, "_total"):
                key = (name, *labels)
                if more := value - self._told.get(key, 0.0):
                    grown.append([*key, more])
                    self._told[key] = value
        held = next(iter(_samples(telemetry.KAFKA_HELD, "")))[1]
        lag = [[*labels, value] for labels, value in _samples(telemetry.KAFKA_LAG, "")]
        gauges = {"held": held, "lag": lag}
        found: dict[str, Any] = {"grown": grown} if grown else {}
        if gauges != self._gauges:
            self._gauges = found["gauges"] = gauges
        return found


class Sums:
    """In the engine's process: what all fronts have told."""

    def __init__(self) -> None:
        self._gauges: dict[int, dict[str, Any]] = {}

    def add(self, front: int, found: dict[str, Any]) -> None:
        for name, *labels, more in found.get("grown", ()):
            COUNTERS[name].labels(*labels).inc(more)
        if "gauges" in found:
            self._gauges[front] = found["gauges"]
            self._show()

    def forget(self, front: int) -> None:
        """The front is gone, and its partitions are another's."""
        if self._gauges.pop(front, None):
            self._show()

    def _show(self) -> None:
        now = list(self._gauges.values())
        telemetry.KAFKA_HELD.set(sum(each["held"] for each in now))
        telemetry.KAFKA_LAG.clear()
        for each in now:
            for topic, partition, records in each["lag"]:
                telemetry.KAFKA_LAG.labels(topic, partition).set(records)


def _samples(metric: Any, suffix: str) -> Iterable[tuple[tuple[str, ...], float]]:
    """Values of the labels, in the order of their names, and the value of each."""
    for family in metric.collect():
        for sample in family.samples:
            if sample.name == family.name + suffix:
                yield tuple(sample.labels[name] for name in metric._labelnames), sample.value

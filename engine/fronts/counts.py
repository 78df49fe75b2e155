"""What doors count in a front process, added to what the engine's process counts: one `/metrics` shows all.

A front sends by how much its counters grew, so no sum falls when a front is replaced; what one that was
killed counted in its last moment is lost. Gauges of Kafka are each front's own, and go with it.
"""

import threading
from collections.abc import Iterable, Sequence
from typing import Any

from prometheus_client import Counter

from assay.engine import telemetry
from assay.engine.doors.door import Door
from assay.engine.doors.inference.statistics import Statistics

SECONDS = 0.25
"""Between two messages."""
COUNTERS: dict[str, Counter] = {"outcomes": telemetry.OUTCOMES, "unanswered": telemetry.KAFKA_UNANSWERED}

Models = dict[tuple[str, str], Statistics]
"""By name and version of a bundle."""


class Growth:
    """Of a front's counters since it was last asked, with its gauges and what `doors` counted of models."""

    def __init__(self, doors: Sequence[Door] = ()) -> None:
        self._doors = doors
        self._models: list[Any] = []
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
        models = [each for door in self._doors if door.counted for each in door.counted.said()]
        if models != self._models:
            self._models = found["models"] = models
        return found


class Sums:
    """In the engine's process: what all fronts have told. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._gauges: dict[int, dict[str, Any]] = {}
        self._models: dict[int, Models] = {}
        self._gone: Models = {}

    def add(self, front: int, found: dict[str, Any]) -> None:
        for name, *labels, more in found.get("grown", ()):
            COUNTERS[name].labels(*labels).inc(more)
        with self._lock:
            if "models" in found:
                told = ((name, version, Statistics.heard(said)) for name, version, said in found["models"])
                self._models[front] = {(name, version): counted for name, version, counted in told}
            if "gauges" in found:
                self._gauges[front] = found["gauges"]
                self._show()

    def forget(self, front: int) -> None:
        """The front is gone, and its partitions are another's; what it counted of models stays."""
        with self._lock:
            _add(self._gone, self._models.pop(front, {}))
            if self._gauges.pop(front, None):
                self._show()

    def elsewhere(self, front: int) -> list[Any]:
        """What all but `front` counted of models, for `Counted.hear`."""
        with self._lock:
            total = dict(self._gone)
            for each, models in self._models.items():
                if each != front:
                    _add(total, models)
        return [[*key, counted.said()] for key, counted in total.items()]

    def _show(self) -> None:
        now = list(self._gauges.values())
        telemetry.KAFKA_HELD.set(sum(each["held"] for each in now))
        telemetry.KAFKA_LAG.clear()
        for each in now:
            for topic, partition, records in each["lag"]:
                telemetry.KAFKA_LAG.labels(topic, partition).set(records)


def _add(total: Models, more: Models) -> None:
    for key, counted in more.items():
        total[key] = total[key].plus(counted) if key in total else counted


def _samples(metric: Any, suffix: str) -> Iterable[tuple[tuple[str, ...], float]]:
    """Values of the labels, in the order of their names, and the value of each."""
    for family in metric.collect():
        for sample in family.samples:
            if sample.name == family.name + suffix:
                yield tuple(sample.labels[name] for name in metric._labelnames), sample.value

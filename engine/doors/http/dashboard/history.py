"""The last minutes of the server's telemetry, as a page draws it.

A sample holds the counters as they stood, so a page subtracts two of them and gets any span between; what
the first one holds goes back to the start of the server.
"""

import asyncio
import json
import time
from collections import Counter, deque
from collections.abc import Collection
from typing import Any

from prometheus_client import Counter as Counted
from prometheus_client import Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

from assay.engine import telemetry

STEP = 2.0
"""Seconds between two samples."""
KEPT = 450
"""Samples that are kept: a quarter of an hour, about 400 kB."""


class History:
    """Belongs to one event loop."""

    def __init__(self) -> None:
        self._samples: deque[tuple[int, str]] = deque(maxlen=KEPT)
        self._taken = 0

    async def run(self) -> None:
        """Takes samples until it is cancelled."""
        while True:
            self.take()
            await asyncio.sleep(STEP)

    def take(self) -> None:
        self._taken += 1
        self._samples.append((self._taken, json.dumps(sample(self._taken), separators=(",", ":"))))

    def as_json(self, after: int, bundles: Collection[str], recent: bool = False) -> bytes:
        """The samples with a number above `after`, oldest first; ends of histograms' buckets; `bundles`;
        whether the latest verdicts are to be had.

        Of a number that was not given yet, because the server was started anew, all of them.
        """
        if after > self._taken:
            after = 0
        edges = {"probability": telemetry.PROBABILITY_EDGES, "latency": telemetry.IMAGE_EDGES}
        head = json.dumps({"step": STEP, "edges": edges, "bundles": list(bundles), "recent": recent})
        newer = ",".join(text for number, text in self._samples if number > after)
        return f'{head[:-1]}, "samples": [{newer}]}}\n'.encode()


def sample(number: int) -> dict[str, Any]:
    return {
        "number": number,
        "at": time.time(),
        "outcomes": _by(telemetry.OUTCOMES, "outcome"),
        "doubts": _by(telemetry.DOUBTS, "doubt"),
        "probability": _buckets(telemetry.PROBABILITIES).get("", []),
        "latency": _buckets(telemetry.IMAGES, "priority"),
        "lag": _by(telemetry.KAFKA_LAG, "topic"),
        "queue": _only(telemetry.QUEUED),
        "wait": _only(telemetry.QUEUE_SECONDS),
        "workers": _only(telemetry.WORKERS),
        "memory": [_only(telemetry.BUDGET_USED), _only(telemetry.BUDGET_TOTAL)],
    }


def _by(metric: Counted | Gauge, label: str) -> dict[str, float]:
    """The values of `metric`, summed over all labels but one."""
    total: Counter[str] = Counter()
    for each in _samples(metric):
        if not each.name.endswith("_created"):
            total[each.labels[label]] += each.value
    return dict(total)


def _only(gauge: Gauge) -> float:
    [each] = _samples(gauge)
    return float(each.value)


def _buckets(histogram: Histogram, label: str | None = None) -> dict[str, list[float]]:
    """How many were observed in each bucket, summed over all labels but `label`."""
    below: dict[str, Counter[float]] = {}
    for each in _samples(histogram):
        if each.name.endswith("_bucket"):
            counts = below.setdefault(each.labels[label] if label else "", Counter())
            counts[float(each.labels["le"])] += each.value
    return {name: _apart([counts[edge] for edge in sorted(counts)]) for name, counts in below.items()}


def _apart(cumulative: list[float]) -> list[float]:
    return [high - low for low, high in zip([0.0, *cumulative], cumulative, strict=False)]


def _samples(metric: MetricWrapperBase) -> list[Any]:
    return [each for family in metric.collect() for each in family.samples]

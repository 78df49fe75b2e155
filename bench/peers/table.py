"""What came of the rounds, in Markdown."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from assay.engine.report.markdown import table


@dataclass(frozen=True)
class Measured:
    """One server in one round. Latencies in seconds; CPU in seconds an image."""

    rate: float
    latencies: tuple[float, ...]
    half: tuple[float, ...]
    """Latencies at half of `rate`."""
    cpu: float
    front: float
    client: float


@dataclass(frozen=True)
class Spread:
    """A median, and between which values all are."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        return cls(statistics.median(values), min(values), max(values))

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f} to {self.high:.2f})"


@dataclass
class Results:
    """Of one precision: rounds by server, in the order of the table; Assay is the first."""

    precision: str
    batch: int
    workers: int
    rounds: dict[str, list[Measured | None]] = field(default_factory=dict)
    """None where a server had failed by then."""
    differences: dict[str, float] = field(default_factory=dict)
    """Largest difference of a probability from Assay's."""

    def of(self, name: str) -> list[Measured]:
        return [each for each in self.rounds.get(name, []) if each]

    def ratio(self, ours: str, peer: str, what: str) -> Spread | None:
        """Of `what` ("rate" or "cpu") in each round in which both have one; None where there is none.

        CPU is counted in ticks, of which a short round may have none."""
        pairs = zip(self.rounds.get(ours, []), self.rounds.get(peer, []), strict=False)
        values = [getattr(a, what) / getattr(b, what) for a, b in pairs if a and b and getattr(b, what)]
        return Spread.of(values) if values else None


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest of `values` that at least `share` of them do not exceed. NaN of none."""
    ordered = sorted(values)
    if not ordered:
        return float("nan")
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


def markdown(results: Results, ours: str) -> str:
    """One table: a row a server, ratios of Assay to it."""
    rows: list[list[object]] = [
        [
            "",
            "images/s",
            "p50 / p99 ms",
            "p99 ms at half load",
            "in batch times",
            "CPU ms an image",
            "of it the front",
            "client's",
            "Assay's images/s to its",
            "Assay's CPU to its",
            "differs by",
        ]
    ]
    rows += [_row(results, ours, name) for name in results.rounds if results.of(name)]
    return table(rows)


def _row(results: Results, ours: str, name: str) -> list[object]:
    runs = results.of(name)
    rate, cpu, front, client = (
        statistics.median(getattr(run, what) for run in runs) for what in ("rate", "cpu", "front", "client")
    )
    full = [1000 * each for run in runs for each in run.latencies]
    half = 1000 * percentile([each for run in runs for each in run.half], 0.99)
    batch_time = 1000 * results.batch * results.workers / rate
    ratios = ["", ""] if name == ours else [results.ratio(ours, name, what) or "" for what in ("rate", "cpu")]
    return [
        name,
        f"{rate:.0f}",
        f"{percentile(full, 0.5):.0f} / {percentile(full, 0.99):.0f}",
        f"{half:.0f}",
        f"{half / batch_time:.1f}",
        f"{1000 * cpu:.2f}",
        f"{1000 * front:.2f}",
        f"{1000 * client:.2f}",
        *ratios,
        "" if name == ours else f"{results.differences.get(name, 0):.4f}",
    ]

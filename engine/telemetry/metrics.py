"""What the engine counts, as Prometheus metrics of this process. `assay serve --http` shows them."""

from functools import cache
from typing import TypeVar

from prometheus_client import Counter, Gauge, Histogram

from assay.engine.outcome import Label, Outcome, Verdict
from assay.engine.telemetry.spread import Spread

Metric = TypeVar("Metric", Counter, Gauge, Histogram)

PROBABILITY_EDGES = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
IMAGE_EDGES = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)

OUTCOMES = Counter("assay_outcomes_total", "Outcomes by label or reason of rejection", ["bundle", "outcome"])
DOUBTS = Counter(
    "assay_uncertain_total",
    "Uncertain verdicts by why; one with several doubts counts for each",
    ["bundle", "doubt"],
)
PROBABILITIES = Spread(
    "assay_verdict_probability",
    "Calibrated probability of synthetic of each verdict: how it is spread shows when images change",
    ["bundle"],
    buckets=PROBABILITY_EDGES,
)
STAGES = Spread(
    "assay_stage_seconds",
    "Seconds that an image spent in a stage",
    ["stage"],
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
)
IMAGES = Spread(
    "assay_image_seconds",
    "Seconds from an image's admission to its outcome: interactive, or of the backlog",
    ["priority"],
    buckets=IMAGE_EDGES,
)
BATCHES = Spread(
    "assay_batch_images",
    "Images of a batch that a worker scored",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256),
)
GRAPHS = Gauge(
    "assay_graph_info",
    "1 for each graph that workers have made ready: what runs it, and in which precision",
    ["bundle", "version", "graph", "executor", "precision"],
)
QUEUED = Gauge("assay_queue_images", "Images that wait for a worker")
QUEUE_SECONDS = Gauge(
    "assay_queue_wait_seconds",
    "Seconds that an interactive image which comes now waits for a worker, as long as images take at present",
)
BUDGET_USED = Gauge("assay_budget_used_bytes", "Bytes of the memory budget in use")
BUDGET_TOTAL = Gauge("assay_budget_bytes", "The memory budget")
CACHE = Counter(
    "assay_cache_images_total",
    "Images by how the cache answered: hit, shared (with one that was being computed), miss",
    ["answer"],
)
CACHE_ENTRIES = Gauge("assay_cache_entries", "Outcomes that the cache holds")
CACHE_BYTES = Gauge("assay_cache_bytes", "Bytes that the cache holds")
BUNDLES = Gauge(
    "assay_bundle_fleets",
    "Sets of workers that have a version of a bundle: while another takes over there are two",
    ["bundle", "version"],
)
SWAPS = Counter("assay_bundle_changes_total", "Changes of the bundles that are served", ["result"])
for result in ("done", "failed"):
    SWAPS.labels(result)  # at 0 from the start, so that increase() sees the first change
SHADOW_PROBABILITIES = Histogram(
    "assay_shadow_probability",
    "Calibrated probability of synthetic that the shadow bundle gave",
    ["bundle"],
    buckets=PROBABILITY_EDGES,
)
SHADOW_PAIRS = Counter(
    "assay_shadow_pairs_total",
    "Images that the shadow bundle scored, by the label that was answered and what the shadow would have",
    ["bundle", "answered", "shadow", "outcome"],
)
SHADOW_LEFT_OUT = Counter(
    "assay_shadow_left_out_total", "Images of the shadow's share that it did not score or report", ["why"]
)
WORKERS = Gauge("assay_workers", "Workers that have passed their self-test")
KAFKA_LAG = Gauge(
    "assay_kafka_lag_records",
    "Records behind the committed offset of an owned partition",
    ["topic", "partition"],
)
KAFKA_HELD = Gauge("assay_kafka_held_bytes", "Bytes of records taken without an acknowledged outcome")
KAFKA_UNANSWERED = Counter(
    "assay_kafka_unanswered_total", "Records without an outcome that could not be read or answered", ["topic"]
)
FRONTS = Gauge("assay_fronts", "Front processes that let images in; 0: the engine's process does")
FRONT_RESTARTS = Counter("assay_front_restarts_total", "Front processes that were replaced")
RESTARTS = Counter("assay_worker_restarts_total", "Workers that were replaced")


def verdicts() -> float:
    """How many verdicts were given, by all bundles."""
    labels = {label.value for label in Label}
    return sum(
        sample.value
        for metric in OUTCOMES.collect()
        for sample in metric.samples
        if sample.name.endswith("_total") and sample.labels["outcome"] in labels
    )


@cache
def _of(metric: Metric, *labels: str) -> Metric:
    """`metric.labels(...)`, which takes as long as counting does."""
    return metric.labels(*labels)


def took(priority: str, seconds: float) -> None:
    """Record how long an image of `priority` took from its admission to its outcome."""
    _of(IMAGES, priority).observe(seconds)


def count(outcome: Outcome, bundle: str) -> None:
    """Record one outcome, its probability and its stage times."""
    if isinstance(outcome, Verdict):
        _of(OUTCOMES, bundle, outcome.label).inc()
        for doubt in outcome.doubts:
            _of(DOUBTS, bundle, doubt).inc()
        _of(PROBABILITIES, bundle).observe(outcome.probability)
        for stage, seconds in outcome.seconds.items():
            _of(STAGES, stage).observe(seconds)
    else:
        _of(OUTCOMES, bundle, outcome.reason).inc()

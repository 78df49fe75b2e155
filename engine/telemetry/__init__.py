"""What is counted and measured while Assay runs."""

from assay.engine.telemetry.metrics import (
    BATCHES,
    BUDGET_TOTAL,
    BUDGET_USED,
    GRAPHS,
    IMAGES,
    KAFKA_HELD,
    KAFKA_LAG,
    KAFKA_UNANSWERED,
    OUTCOMES,
    QUEUE_SECONDS,
    QUEUED,
    RESTARTS,
    STAGES,
    WORKERS,
    count,
    verdicts,
)
from assay.engine.telemetry.traces import about, called, consumed, trace_batch

__all__ = [
    "BATCHES",
    "BUDGET_TOTAL",
    "BUDGET_USED",
    "GRAPHS",
    "IMAGES",
    "KAFKA_HELD",
    "KAFKA_LAG",
    "KAFKA_UNANSWERED",
    "OUTCOMES",
    "QUEUED",
    "QUEUE_SECONDS",
    "RESTARTS",
    "STAGES",
    "WORKERS",
    "about",
    "called",
    "consumed",
    "count",
    "trace_batch",
    "verdicts",
]

"""What is counted and measured while Assay runs."""

from assay.engine.telemetry.metrics import (
    BUDGET_TOTAL,
    BUDGET_USED,
    CACHE,
    CACHE_BYTES,
    CACHE_ENTRIES,
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

__all__ = [
    "BUDGET_TOTAL",
    "BUDGET_USED",
    "CACHE",
    "CACHE_BYTES",
    "CACHE_ENTRIES",
    "KAFKA_HELD",
    "KAFKA_LAG",
    "KAFKA_UNANSWERED",
    "OUTCOMES",
    "QUEUED",
    "QUEUE_SECONDS",
    "RESTARTS",
    "STAGES",
    "WORKERS",
    "count",
    "verdicts",
]

"""What is counted and measured while Assay runs."""

from assay.engine.telemetry.metrics import (
    BUDGET_TOTAL,
    BUDGET_USED,
    BUNDLES,
    KAFKA_HELD,
    KAFKA_LAG,
    KAFKA_UNANSWERED,
    OUTCOMES,
    QUEUE_SECONDS,
    QUEUED,
    RESTARTS,
    STAGES,
    SWAPS,
    WORKERS,
    count,
    verdicts,
)

__all__ = [
    "BUDGET_TOTAL",
    "BUDGET_USED",
    "BUNDLES",
    "KAFKA_HELD",
    "KAFKA_LAG",
    "KAFKA_UNANSWERED",
    "OUTCOMES",
    "QUEUED",
    "QUEUE_SECONDS",
    "RESTARTS",
    "STAGES",
    "SWAPS",
    "WORKERS",
    "count",
    "verdicts",
]

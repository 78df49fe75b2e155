"""What an outcome adds to the metrics."""

from dataclasses import replace

from prometheus_client import REGISTRY

from assay.engine.outcome import Doubt, Label, Reason, Rejection, Verdict
from assay.engine.telemetry import metrics


def verdict(label: Label, probability: float) -> Verdict:
    return Verdict("", label, probability, {"plain": 0.0}, "drift", "1", {}, {"decode": 0.001})


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, {"bundle": "drift", **labels}) or 0.0


def test_verdicts_are_spread_over_probabilities_and_rejections_are_not() -> None:
    for probability in (0.0, 0.03, 0.5, 0.999, 1.0):
        metrics.count(verdict(Label.UNCERTAIN, probability), "drift")
    metrics.count(Rejection("", Reason.EMPTY, "nothing", {}), "drift")
    assert value("assay_outcomes_total", outcome="uncertain") == 5
    assert value("assay_outcomes_total", outcome="empty") == 1
    assert value("assay_verdict_probability_count") == 5
    below = {
        edge: value("assay_verdict_probability_bucket", le=edge)
        for edge in ("0.01", "0.05", "0.5", "0.99", "1.0")
    }
    assert below == {"0.01": 1, "0.05": 2, "0.5": 3, "0.99": 3, "1.0": 5}


def test_doubts_are_counted_each() -> None:
    doubts = (Doubt.BETWEEN_THRESHOLDS, Doubt.SMALL)
    metrics.count(replace(verdict(Label.UNCERTAIN, 0.5), doubts=doubts), "drift")
    metrics.count(replace(verdict(Label.UNCERTAIN, 0.1), doubts=doubts[1:]), "drift")
    metrics.count(verdict(Label.AUTHENTIC, 0.1), "drift")
    assert value("assay_uncertain_total", doubt="between_thresholds") == 1
    assert value("assay_uncertain_total", doubt="small") == 2

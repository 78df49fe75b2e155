"""What comes out for an image: exactly one `Verdict` or one `Rejection`.

`to_dict()` is the one JSON form that every door uses: a line of `assay scan --json`, the value of a Kafka
record, a row of the dashboard. Its schema is `engine/outcome.schema.json`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Label(StrEnum):
    """What a bundle's thresholds make of a probability; see also the setting `provenance`."""

    AUTHENTIC = "authentic"
    SYNTHETIC = "synthetic"
    UNCERTAIN = "uncertain"


class Doubt(StrEnum):
    """Why a verdict is `uncertain`: probability, or an image unlike those that the bundle was made for."""

    BETWEEN_THRESHOLDS = "between_thresholds"
    SMALL = "small"
    FLAT = "flat"
    COMPRESSED = "compressed"
    ENLARGED = "enlarged"
    SCREENSHOT = "screenshot"
    UNFAMILIAR = "unfamiliar"


class Reason(StrEnum):
    """Why an image got no verdict."""

    EMPTY = "empty"
    UNSUPPORTED_FORMAT = "unsupported_format"
    TRUNCATED = "truncated"
    UNDECODABLE = "undecodable"
    TOO_MANY_BYTES = "too_many_bytes"
    TOO_MANY_PIXELS = "too_many_pixels"
    TOO_SMALL = "too_small"
    DEADLINE = "deadline"
    OVERLOADED = "overloaded"
    INTERNAL = "internal"
    UNKNOWN_BUNDLE = "unknown_bundle"
    REFERENCE_REFUSED = "reference_refused"
    REFERENCE_MISSING = "reference_missing"
    REFERENCE_FAILED = "reference_failed"


@dataclass(frozen=True, slots=True)
class Verdict:
    """An image was scored.

    `probability` is the calibrated probability that the image is synthetic, `scores` each detector's own
    score before calibration (a logit), `evidence` what the detector looked at, in pixels of the stored
    image, and what the file says of its origin, `seconds` the time of each stage. `doubts` say why a label is
    uncertain; of another label there are none.
    """

    id: str
    label: Label
    probability: float
    scores: Mapping[str, float]
    bundle: str
    version: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    doubts: tuple[Doubt, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "label": self.label.value,
            "doubts": [doubt.value for doubt in self.doubts],
            "probability": self.probability,
            "scores": dict(self.scores),
            "bundle": self.bundle,
            "version": self.version,
            "evidence": dict(self.evidence),
            "seconds": dict(self.seconds),
        }


@dataclass(frozen=True, slots=True)
class Rejection:
    """An image got no verdict: why, in a sentence for people, and what the sentence is about."""

    id: str
    reason: Reason
    detail: str
    about: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "rejected": self.reason.value,
            "detail": self.detail,
            "about": dict(self.about),
        }


Outcome = Verdict | Rejection


def from_dict(record: Mapping[str, Any]) -> Outcome:
    """The outcome that `to_dict()` made `record` of."""
    if "rejected" in record:
        return Rejection(record["id"], Reason(record["rejected"]), record["detail"], record.get("about", {}))
    return Verdict(
        record["id"],
        Label(record["label"]),
        record["probability"],
        record["scores"],
        record["bundle"],
        record["version"],
        record.get("evidence", {}),
        record.get("seconds", {}),
        tuple(map(Doubt, record.get("doubts", ()))),  # of which a record of an older Assay has none
    )


def of_item(outcome: Outcome, id: str, seconds: Mapping[str, float]) -> Outcome:
    """An outcome that did not know yet whose it is: with the item's id, and a verdict with `seconds`, too."""
    if isinstance(outcome, Rejection):
        return Rejection(id, outcome.reason, outcome.detail, outcome.about)
    return Verdict(
        id,
        outcome.label,
        outcome.probability,
        outcome.scores,
        outcome.bundle,
        outcome.version,
        outcome.evidence,
        {**seconds, **outcome.seconds},
        outcome.doubts,
    )


class Refused(Exception):
    """Raised where an image is turned down (admission, decoding); the core makes the `Rejection` of it."""

    def __init__(self, reason: Reason, detail: str, **about: Any) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.about = about

    def rejection(self, id: str) -> Rejection:
        return Rejection(id, self.reason, self.detail, self.about)

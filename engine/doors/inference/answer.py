"""Outcomes as the output tensors of a request."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from assay.engine.doors.inference.models import SCORE, Output
from assay.engine.doors.inference.request import Request, join
from assay.engine.outcome import Outcome, Reason, Rejection, Verdict


@dataclass(frozen=True, slots=True)
class Tensor:
    """An output and its values, an image each: floats, NaN where there is none, or bytes, empty there."""

    output: Output
    values: Sequence[float] | Sequence[bytes]

    def raw(self) -> bytes:
        """The values as they go over the wire: little-endian float32, or each after its length."""
        if self.output.datatype == "FP32":
            with np.errstate(over="ignore"):
                return np.array(self.values, "<f4").tobytes()
        return join([value for value in self.values if isinstance(value, bytes)])


def tensors_of(request: Request, outcomes: Sequence[Outcome]) -> list[Tensor]:
    """The outputs that `request` asked for, of the outcomes of its images, in their order."""
    return [
        Tensor(output, [_value(output.name, outcome) for outcome in outcomes])  # type: ignore[arg-type]
        for output in request.outputs
    ]


def _value(name: str, outcome: Outcome) -> float | bytes:
    if isinstance(outcome, Verdict):
        match name:
            case "probability":
                return outcome.probability
            case "label":
                return outcome.label.value.encode()
            case "doubts":
                return ",".join(outcome.doubts).encode()
            case "rejected" | "detail":
                return b""
        return outcome.scores.get(name.removeprefix(SCORE), math.nan)
    match name:
        case "rejected":
            return outcome.reason.value.encode()
        case "detail":
            return outcome.detail.encode()
        case "label" | "doubts":
            return b""
    return math.nan


def version_of(request: Request, outcomes: Sequence[Outcome]) -> str:
    """The version that judged, which another may have taken over from since it was asked for; where it did so
    between two images of a request, that of the first."""
    judged = (outcome.version for outcome in outcomes if isinstance(outcome, Verdict))
    return next(judged, request.bundle.version)


def common_refusal(outcomes: Sequence[Outcome]) -> Rejection | None:
    """The first outcome, where for want of room or of time no image was looked at."""
    first = outcomes[0]
    if isinstance(first, Rejection) and first.reason in (Reason.OVERLOADED, Reason.DEADLINE):
        same = all(isinstance(one, Rejection) and one.reason is first.reason for one in outcomes)
        return first if same else None
    return None

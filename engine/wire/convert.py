"""Between the engine's outcomes and their messages in `assay.v1`, without loss in either direction."""

from typing import Any

from google.protobuf.struct_pb2 import Struct, Value

from assay.engine.outcome import Doubt, Label, Outcome, Reason, Rejection, Verdict
from assay.engine.wire.assay.v1 import scoring_pb2 as pb
from assay.engine.wire.values import encoded

_LABELS: dict[Label, pb.Label] = {label: getattr(pb, f"LABEL_{label.name}") for label in Label}
_REASONS: dict[Reason, pb.Reason] = {reason: getattr(pb, f"REASON_{reason.name}") for reason in Reason}
_DOUBTS: dict[Doubt, pb.Doubt] = {doubt: getattr(pb, f"DOUBT_{doubt.name}") for doubt in Doubt}
_LABEL_OF = {number: label for label, number in _LABELS.items()}
_REASON_OF = {number: reason for reason, number in _REASONS.items()}
_DOUBT_OF = {number: doubt for doubt, number in _DOUBTS.items()}


def to_message(outcome: Outcome) -> pb.Outcome:
    """The message of an outcome; evidence and `about` must hold what JSON can hold."""
    message = pb.Outcome()
    write(outcome, message)
    return message


def write(outcome: Outcome, message: pb.Outcome) -> None:
    """`to_message` into an empty `message`, which may be part of another."""
    message.id = outcome.id
    match outcome:
        case Verdict():
            verdict = message.verdict
            verdict.label = _LABELS[outcome.label]
            verdict.probability = outcome.probability
            verdict.scores.update(outcome.scores)
            if outcome.evidence:
                verdict.evidence.MergeFromString(encoded(outcome.evidence))
            verdict.bundle = outcome.bundle
            verdict.version = outcome.version
            verdict.seconds.update(outcome.seconds)
            verdict.doubts.extend([_DOUBTS[doubt] for doubt in outcome.doubts])
        case Rejection():
            rejection = message.rejection
            rejection.reason = _REASONS[outcome.reason]
            rejection.detail = outcome.detail
            if outcome.about:
                rejection.about.MergeFromString(encoded(outcome.about))


def from_message(message: pb.Outcome) -> Outcome:
    """The outcome of a message. Raises ValueError for one that is neither verdict nor rejection, or has a
    label, doubt or reason that this version does not know.
    """
    try:
        match message.WhichOneof("result"):
            case "verdict":
                verdict = message.verdict
                return Verdict(
                    id=message.id,
                    label=_LABEL_OF[verdict.label],
                    probability=verdict.probability,
                    scores=dict(verdict.scores),
                    bundle=verdict.bundle,
                    version=verdict.version,
                    evidence=_mapping(verdict.evidence),
                    seconds=dict(verdict.seconds),
                    doubts=tuple(_DOUBT_OF[doubt] for doubt in verdict.doubts),
                )
            case "rejection":
                rejection = message.rejection
                return Rejection(
                    message.id, _REASON_OF[rejection.reason], rejection.detail, _mapping(rejection.about)
                )
    except KeyError as unknown:
        raise ValueError(
            f"outcome {message.id!r}: unknown label, doubt or reason {unknown}; the server is newer"
        ) from None
    raise ValueError(f"outcome {message.id!r} is neither a verdict nor a rejection; the server is newer")


def _mapping(struct: Struct) -> dict[str, Any]:
    return {key: _plain(value) for key, value in struct.fields.items()}


def _plain(value: Value) -> Any:
    match value.WhichOneof("kind"):
        case "number_value":
            number = value.number_value
            # A Struct has doubles only; whole ones read as JSON does: 224, not 224.0.
            return int(number) if number.is_integer() else number
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case "struct_value":
            return _mapping(value.struct_value)
        case "list_value":
            return [_plain(element) for element in value.list_value.values]
    return None

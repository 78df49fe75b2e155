"""Between the engine's outcomes and their messages in `assay.v1`, without loss in either direction.

What is answered is written as bytes: a message that is made of Python objects first takes twice as long, and
for a small answer that is a large part of all that a call takes.
"""

from collections.abc import Iterable
from functools import lru_cache
from struct import Struct as Packed
from typing import Any

from google.protobuf.struct_pb2 import Struct, Value

from assay.engine.outcome import Doubt, Label, Outcome, Reason, Rejection, Verdict
from assay.engine.wire.assay.v1 import scoring_pb2 as pb
from assay.engine.wire.values import encoded, sized

_LABELS: dict[Label, pb.Label] = {label: getattr(pb, f"LABEL_{label.name}") for label in Label}
_REASONS: dict[Reason, pb.Reason] = {reason: getattr(pb, f"REASON_{reason.name}") for reason in Reason}
_DOUBTS: dict[Doubt, pb.Doubt] = {doubt: getattr(pb, f"DOUBT_{doubt.name}") for doubt in Doubt}
_LABEL_OF = {number: label for label, number in _LABELS.items()}
_REASON_OF = {number: reason for reason, number in _REASONS.items()}
_DOUBT_OF = {number: doubt for doubt, number in _DOUBTS.items()}


# Keys of the fields of `Outcome`, `Verdict` and `Rejection`, and of an entry of a map.
_ID, _VERDICT, _REJECTION = b"\x0a", b"\x12", b"\x1a"
_LABEL, _PROBABILITY, _SCORES, _EVIDENCE, _BUNDLE, _VERSION, _SECONDS, _OF_DOUBTS = (
    b"\x08", b"\x11", b"\x1a", b"\x22", b"\x2a", b"\x32", b"\x3a", b"\x40",
)  # fmt: skip
_REASON, _DETAIL, _ABOUT = b"\x08", b"\x12", b"\x1a"
_KEY, _VALUE = b"\x0a", b"\x11"
_FIRST = b"\x0a"
"""Key of the one field, the outcome or the outcomes, of what a call is answered."""

_number = Packed("<d").pack


def to_message(outcome: Outcome) -> pb.Outcome:
    """The message of an outcome; evidence and `about` must hold what JSON can hold."""
    return pb.Outcome.FromString(_outcome(outcome))


def answer(outcomes: Iterable[Outcome]) -> bytes:
    """A `ScoreStreamResponse` of `outcomes`, or a `ScoreResponse` of one. Raises ValueError where evidence or
    `about` hold what JSON cannot.
    """
    return b"".join([sized(_FIRST, _outcome(outcome)) for outcome in outcomes])


def _outcome(outcome: Outcome) -> bytes:
    id = sized(_ID, outcome.id.encode())
    match outcome:
        case Verdict():
            return id + sized(_VERDICT, b"".join(_verdict(outcome)))
        case Rejection():
            reason = _REASON + bytes([_REASONS[outcome.reason]])
            about = sized(_ABOUT, encoded(outcome.about)) if outcome.about else b""
            detail = sized(_DETAIL, outcome.detail.encode())
            return id + sized(_REJECTION, reason + detail + about)


def _verdict(verdict: Verdict) -> list[bytes]:
    fields = [_LABEL, bytes([_LABELS[verdict.label]]), _PROBABILITY, _number(verdict.probability)]
    for name, score in verdict.scores.items():
        fields += _before(_SCORES, name), _number(score)
    if verdict.evidence:
        fields.append(sized(_EVIDENCE, encoded(verdict.evidence)))
    fields += _text(_BUNDLE, verdict.bundle), _text(_VERSION, verdict.version)
    for name, seconds in verdict.seconds.items():
        fields += _before(_SECONDS, name), _number(seconds)
    for doubt in verdict.doubts:
        fields += _OF_DOUBTS, bytes([_DOUBTS[doubt]])
    return fields


@lru_cache(256)
def _text(key: bytes, text: str) -> bytes:
    """A field that is the same in most answers."""
    return sized(key, text.encode())


@lru_cache(256)
def _before(key: bytes, name: str) -> bytes:
    """What goes before the number `name` of a map from names to numbers."""
    nothing = _number(0.0)
    return sized(key, sized(_KEY, name.encode()) + _VALUE + nothing)[: -len(nothing)]


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

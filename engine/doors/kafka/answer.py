"""What goes out: the record that answers a record, with its outcome, made to fit its topic."""

import json
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from kafka.record.default_records import DefaultRecordBatchBuilder

from assay.engine.doors.kafka import events
from assay.engine.doors.kafka.records import Unanswerable, place
from assay.engine.outcome import Outcome, Rejection

NOTES_BYTES = 128
"""At least what `_notes` takes."""

TOLD = ("assay.reason", "assay.detail", "assay.topic", "assay.partition", "assay.offset")
"""Headers that a rejection adds, in this order, behind those of the record."""
OMITTED = ("assay.omitted", "assay.omitted.key", "assay.omitted.id", "assay.omitted.headers")
"""Headers that say what was left out of an answer; they come last."""
CONTEXT = ("traceparent", "tracestate")
"""Headers of a record that those of its image's trace take the place of, while traces are on."""

Headers = list[tuple[str, bytes]]
Part = int | str
"""The number of one of the record's own headers, or `value`, `key` or `id`."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A record to be sent. Its partition is the input's, modulo the number of the topic's partitions."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: Headers

    @property
    def size(self) -> int:
        """Most bytes of a batch with this record alone, which is what `max.message.bytes` bounds."""
        size = DefaultRecordBatchBuilder.estimate_size_in_bytes(self.key, self.value, self.headers)
        return int(size)


def to_answer(
    record: Any,
    outcome: Outcome,
    *,
    output: str,
    rejects: str,
    partitions: Mapping[str, int],
    limits: Mapping[str, int],
    source: str | None = None,
    context: Sequence[tuple[str, bytes]] = (),
) -> Answer:
    """A verdict as JSON for `output`, or the record itself with the reason in its headers for `rejects`.

    `partitions` and `limits` give a topic's number of partitions and its `max.message.bytes`. What is largest
    is left out of an answer above the limit, and headers that begin with `assay.omitted` say what. With
    `source` answers are CloudEvents of this source. `context`: headers of the trace, in the place of the
    record's own.

    Raises:
        Unanswerable: what is left is too large still.
    """
    topic = rejects if isinstance(outcome, Rejection) else output
    partition, limit = record.partition % partitions[topic], limits[topic]
    answer = _answer(record, outcome, topic, partition, set(), source, context)
    if answer.size > limit:
        gone = _largest(record, outcome, answer.size - limit, source, context)
        answer = _answer(record, outcome, topic, partition, gone, source, context)
    if answer.size > limit:
        raise Unanswerable(
            f"the shortest answer to it takes {answer.size} bytes, and topic {topic} takes {limit}:"
            " raise the topic's max.message.bytes"
        )
    return answer


def _kept(
    record: Any, outcome: Outcome, source: str | None, context: Sequence[tuple[str, bytes]]
) -> Iterator[tuple[int, str, bytes]]:
    """Those headers of a record that its answer has, with their numbers."""
    for number, (name, given) in enumerate(record.headers):
        value = given or b""  # kafka-python sends no null header values; consumers see an empty one
        if context and name.lower() in CONTEXT:
            continue
        if source is None:
            yield number, name, value
        elif isinstance(outcome, Rejection):
            yield number, events.beside(name, value), value
        elif events.stays(name):
            yield number, name, value


def _largest(
    record: Any, outcome: Outcome, excess: int, source: str | None, context: Sequence[tuple[str, bytes]]
) -> Set[Part]:
    """The fewest parts of an answer that make it shorter by `excess` bytes, or all of them."""
    parts: list[tuple[int, Part]] = [
        (2 + len(name.encode()) + len(value), number)
        for number, name, value in _kept(record, outcome, source, context)
    ]
    parts.append((len(record.key or b""), "key"))
    if isinstance(outcome, Rejection):
        parts.append((len(record.value or b""), "value"))
    else:
        parts.append((len(json.dumps(outcome.id)) - len(json.dumps(place(record))), "id"))
    gone: set[Part] = set()
    left = excess + NOTES_BYTES
    for size, part in sorted(parts, key=lambda part: part[0], reverse=True):
        if left <= 0 or size <= 0:
            break
        gone.add(part)
        left -= size
    return gone


def _answer(
    record: Any,
    outcome: Outcome,
    topic: str,
    partition: int,
    gone: Set[Part],
    source: str | None,
    context: Sequence[tuple[str, bytes]],
) -> Answer:
    kept = _kept(record, outcome, source, context)
    headers = [(name, value) for number, name, value in kept if number not in gone]
    headers += context
    key = None if "key" in gone else record.key
    value: bytes | None
    if isinstance(outcome, Rejection):
        # A tombstone stays one, unless it has no key either: kafka-python does not send such a record.
        value = b"" if "value" in gone or (record.value is None and key is None) else record.value
        told = (outcome.reason.value, outcome.detail, record.topic, record.partition, record.offset)
        headers += [(name, str(value).encode()) for name, value in zip(TOLD, told, strict=True)]
        if source is not None:
            headers += events.rejection_event(record.headers, place(record), outcome, source)
    else:
        verdict = outcome.to_dict()
        if "id" in gone:
            verdict["id"] = place(record)
        if source is not None:
            headers += events.verdict_event(record.headers, place(record), verdict["id"], source)
        value = json.dumps(verdict, separators=(",", ":")).encode()
    return Answer(topic, partition, key, value, headers + _notes(record, outcome, gone))


def _notes(record: Any, outcome: Outcome, gone: Set[Part]) -> Headers:
    """What was left out: lengths in bytes, and of headers how many."""
    numbers = (
        len(record.value or b"") if "value" in gone else 0,
        len(record.key or b"") if "key" in gone else 0,
        len(outcome.id.encode()) if "id" in gone else 0,
        sum(isinstance(part, int) for part in gone),
    )
    return [(name, str(number).encode()) for name, number in zip(OMITTED, numbers, strict=True) if number]

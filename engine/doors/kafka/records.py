"""Translation: a record to an item, and a record with its outcome to the record that answers it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kafka.record.default_records import DefaultRecordBatchBuilder

from assay.engine.item import Item, Priority
from assay.engine.outcome import Outcome, Rejection

RECORD_OVERHEAD = 1024
"""Bytes that a record costs here beside its content (objects, future), so that empty ones count too."""

Headers = list[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Answer:
    """A record to be sent. Its partition is the input's, modulo the number of the topic's partitions."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: Headers


def record_size(record: Any) -> int:
    """Bytes that holding `record` costs, nearly."""
    headers = sum(len(name) + len(value or b"") for name, value in record.headers)
    return RECORD_OVERHEAD + len(record.key or b"") + len(record.value or b"") + headers


def to_item(record: Any, id_header: str) -> Item:
    """The image of a record. A null value is an empty image, which admission rejects as `empty`."""
    given = next((value for name, value in reversed(record.headers) if name == id_header and value), None)
    id = (
        given.decode("utf-8", errors="replace")
        if given
        else f"{record.topic}/{record.partition}/{record.offset}"
    )
    return Item(id, record.value or b"", priority=Priority.BACKLOG)


def to_answer(
    record: Any,
    outcome: Outcome,
    *,
    output: str,
    rejects: str,
    partitions: Mapping[str, int],
    limits: Mapping[str, int],
) -> Answer:
    """A verdict as JSON for `output`, or the record itself with the reason in its headers for `rejects`.

    `partitions` and `limits` give a topic's number of partitions and its `max.message.bytes`. A value above
    the limit is left out, and the header `assay.omitted` holds its length.
    """
    # kafka-python sends no null header values; consumers see an empty one.
    headers = [(name, value or b"") for name, value in record.headers]
    topic = rejects if isinstance(outcome, Rejection) else output
    partition = record.partition % partitions[topic]
    if not isinstance(outcome, Rejection):
        value = json.dumps(outcome.to_dict(), separators=(",", ":")).encode()
        return Answer(topic, partition, record.key, value, headers)
    headers += [
        ("assay.reason", outcome.reason.value.encode()),
        ("assay.detail", outcome.detail.encode()),
        ("assay.topic", record.topic.encode()),
        ("assay.partition", str(record.partition).encode()),
        ("assay.offset", str(record.offset).encode()),
    ]
    # A tombstone stays one, unless it has no key either: kafka-python does not send such a record.
    original = b"" if record.value is None and record.key is None else record.value
    if DefaultRecordBatchBuilder.estimate_size_in_bytes(record.key, original, headers) > limits[topic]:
        headers.append(("assay.omitted", str(len(original or b"")).encode()))
        original = b""
    return Answer(topic, partition, record.key, original, headers)

"""What comes in: a record to an item, and how records are named and weighed."""

from collections.abc import Sequence
from typing import Any

from assay.engine import telemetry
from assay.engine.doors.kafka import events
from assay.engine.doors.kafka.batches import Unreadable
from assay.engine.item import Item, Priority

RECORD_OVERHEAD = 1024
"""Bytes that a record costs here beside its content (objects, future), so that empty ones count too."""
HEADER_OVERHEAD = 200


class Unanswerable(Exception):
    """A record that cannot be read, or that no answer can be sent to: why, and what to do."""


def place(record: Any) -> str:
    """Where a record was, or where those were that an `Unreadable` stands for."""
    first = record.first if isinstance(record, Unreadable) else record.offset
    span = f"{first}" if first == record.offset else f"{first}-{record.offset}"
    return f"{record.topic}/{record.partition}/{span}"


def record_size(record: Any) -> int:
    """Bytes that holding `record` costs, nearly."""
    if isinstance(record, Unreadable):
        return RECORD_OVERHEAD
    headers = sum(HEADER_OVERHEAD + len(name) + len(value or b"") for name, value in record.headers)
    return RECORD_OVERHEAD + len(record.key or b"") + len(record.value or b"") + headers


def given_id(headers: Sequence[tuple[str, bytes | None]], id_header: str) -> bytes | None:
    """What its record names an image, None where it does not: the last of its headers `id_header`, else the
    `id` of the CloudEvent that it is."""
    return events.told(headers, id_header, "id")


def to_item(record: Any, id_header: str) -> Item:
    """The image of a record. A null value is an empty image, which admission rejects as `empty`."""
    given = given_id(record.headers, id_header)
    id = given.decode("utf-8", errors="replace") if given else place(record)
    caller = telemetry.consumed(record.topic, record.partition, record.offset, record.headers)
    trace = None if caller is None else caller.image(id)
    return Item(id, record.value or b"", priority=Priority.BACKLOG, trace=trace)

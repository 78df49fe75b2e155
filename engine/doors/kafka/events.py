"""CloudEvents 1.0 in the binary content mode of the Kafka protocol binding: attributes are headers that begin
with `ce_`, but for the type of the data, which is `content-type`; the data are the value as they are."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime

VERSION = "ce_specversion"
TYPE = "assay.verdict.v1"
SCHEMA = "urn:assay:outcome:v1"
"""`$id` of engine/outcome.schema.json."""
TRACE = ("ce_traceparent", "ce_tracestate")
"""Attributes that an answer has in common with what it answers."""
ATTRIBUTE_BYTES = 1024
"""Most that is repeated of an attribute of what is answered."""
CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f]")
"""Which no attribute may have."""

Headers = Sequence[tuple[str, bytes | None]]


def attribute(headers: Headers, name: str) -> bytes | None:
    """An attribute of the event that a record is; None where it has none, or the record is no event."""
    found = dict(headers)
    return found.get(f"ce_{name}") if VERSION in found else None


def told(headers: Headers, header: str, name: str) -> bytes | None:
    """What a record says by the last of its headers `header`, else by attribute `name` of the event that it
    is; None where it says nothing."""
    said = next((value for each, value in reversed(headers) if each == header and value), None)
    return said or attribute(headers, name) or None


def stays(name: str) -> bool:
    """Whether a header is no attribute of one event alone, so that another event may have it."""
    return name in TRACE or not (name.startswith("ce_") or name.lower() == "content-type")


def verdict_event(of: Headers, place: str, id: str, source: str) -> list[tuple[str, bytes]]:
    """What makes an event of a verdict on the image `id` that was at `place`, in a record with the headers
    `of`. A verdict that is given again has the same `source` and `id`."""
    attributes = {
        VERSION: "1.0",
        "ce_type": TYPE,
        "ce_source": source,
        "ce_id": place,
        "ce_time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "ce_dataschema": SCHEMA,
        "content-type": "application/json",
    }
    if not CONTROLS.search(id):
        attributes["ce_subject"] = id
    told = [(name, value.encode()) for name, value in attributes.items()]
    for name in ("source", "subject"):
        value = attribute(of, name)
        if value and len(value) <= ATTRIBUTE_BYTES and not CONTROLS.search(value.decode(errors="replace")):
            told.append((f"ce_image{name}", value))
    return told

"""CloudEvents 1.0 in the binary content mode of the Kafka protocol binding: attributes are headers that begin
with `ce_`, but for the type of the data, which is `content-type`; the data are the value as they are."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from assay.engine.outcome import Rejection

VERSION = "ce_specversion"
VERDICT = "assay.verdict.v1"
REJECTION = "assay.rejection.v1"
SCHEMA = "urn:assay:outcome:v1"
"""`$id` of engine/outcome.schema.json."""
TRACE = ("ce_traceparent", "ce_tracestate")
"""Attributes that an answer has in common with what it answers."""
ATTRIBUTE_BYTES = 1024
"""Most that is repeated of an attribute of what is answered."""
ORIGINAL = "assay.original."
"""What the names of a rejected record's headers begin with that would be taken for the rejection's own."""
_OF_REJECTIONS = (
    *("specversion", "type", "source", "id", "time"),
    *("reason", "subject", "imagesource", "imagesubject"),
)
ADDED = frozenset(f"ce_{name}" for name in _OF_REJECTIONS)
"""Headers that make an event of a rejection."""
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


def beside(name: str, value: bytes) -> str:
    """The name that a header of a rejected record has in the event that its rejection is. What makes an event
    of the record, or would be taken for such a name, stands behind `ORIGINAL`."""
    own = name.startswith(("ce_", ORIGINAL)) and name not in TRACE
    structured = name.lower() == "content-type" and value.lower().startswith(b"application/cloudevents")
    return ORIGINAL + name if own or structured else name


def rejected(told: Headers) -> bool:
    """Whether a rejection that adds the headers `told` is an event, so that `beside` has named the others."""
    return dict(told).get("ce_type") == REJECTION.encode()


def verdict_event(of: Headers, place: str, id: str, source: str) -> list[tuple[str, bytes]]:
    """What makes an event of a verdict on the image `id` that was at `place`, in a record with the headers
    `of`. A verdict that is given again has the same `source` and `id`."""
    data = {"ce_dataschema": SCHEMA, "content-type": "application/json"}
    return _event(of, VERDICT, place, id, source, data)


def rejection_event(of: Headers, place: str, rejection: Rejection, source: str) -> list[tuple[str, bytes]]:
    """What makes an event of a rejection, like `verdict_event`. Its data are the record's, so nothing is said
    of them."""
    id = rejection.id if len(rejection.id.encode()) <= ATTRIBUTE_BYTES else None
    return _event(of, REJECTION, place, id, source, {"ce_reason": rejection.reason.value})


def _event(
    of: Headers, type: str, place: str, id: str | None, source: str, more: Mapping[str, str]
) -> list[tuple[str, bytes]]:
    attributes = {
        VERSION: "1.0",
        "ce_type": type,
        "ce_source": source,
        "ce_id": place,
        "ce_time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        **more,
    }
    if id is not None and not CONTROLS.search(id):
        attributes["ce_subject"] = id
    told = [(name, value.encode()) for name, value in attributes.items()]
    for name in ("source", "subject"):
        value = attribute(of, name)
        if value and len(value) <= ATTRIBUTE_BYTES and not CONTROLS.search(value.decode(errors="replace")):
            told.append((f"ce_image{name}", value))
    return told

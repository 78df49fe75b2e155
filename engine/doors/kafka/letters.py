"""Dead letters: what a record of the rejects topic says of the record that was rejected, and that record,
made to be sent again with its story."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from assay.engine.doors.kafka import events
from assay.engine.doors.kafka.answer import CONTEXT, OMITTED, TOLD, Answer, Headers
from assay.engine.doors.kafka.records import given_id

REPLAYS = "assay.replays"
"""Header: how often a record was sent again, a number."""
REPLAYED = "assay.replayed"
"""Header, one for each time: why it had been rejected and where it had been, as JSON."""
DETAIL = 300
"""Characters of a rejection's sentence that are kept in its story."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter. `headers` are those that its record had when it was rejected, but for null values, and
    but for those that were `omitted`, as key and value may have been: then only the topic has it whole."""

    record: Any
    reason: str
    detail: str
    topic: str
    partition: int
    offset: int
    headers: Headers
    omitted: Mapping[str, int]
    """How much of what, by the names of the headers that say so."""

    def is_of(self, original: Any) -> bool:
        """Whether it can be the dead letter of `original`, as what it has of it agrees."""
        return (
            _agrees(self.record.value or b"", original.value or b"", self.omitted.get("assay.omitted"))
            and _agrees(self.record.key, original.key, self.omitted.get("assay.omitted.key"))
            and self._has_as_many_headers(original.headers)
        )

    def _has_as_many_headers(self, original: Headers) -> bool:
        """Those of a trace may have been put in the place of the record's own."""
        omitted = self.omitted.get("assay.omitted.headers", 0)
        own, others = (
            [each for each in one if each[0].lower() not in CONTEXT] for one in (self.headers, original)
        )
        return len(self.headers) + omitted == len(original) or len(own) + omitted == len(others)


def _agrees(here: bytes | None, original: bytes | None, omitted: int | None) -> bool:
    return here == original if omitted is None else len(original or b"") == omitted


def replays(record: Any) -> int:
    """How often a record was sent again, by its last header `assay.replays`; 0 where that is no number."""
    said = next((value for name, value in reversed(record.headers) if name == REPLAYS), b"")
    return int(said) if said and said.isdigit() and len(said) < 9 else 0


def read_letter(record: Any) -> Letter | None:
    """The dead letter in a record of the rejects topic; None where it is none.

    Of headers whose names repeat the last ones count: what stands before them is the record's own.
    """
    headers = [(name, value or b"") for name, value in record.headers]
    starts = [number for number, (name, _) in enumerate(headers) if name == TOLD[0]]
    if not starts:
        return None
    told = headers[starts[-1] :]
    said = {name: value for name, value in told if name in TOLD}
    partition, offset = said.get("assay.partition", b""), said.get("assay.offset", b"")
    if said.keys() != set(TOLD) or not (partition.isdigit() and offset.isdigit()):
        return None
    before = headers[: starts[-1]]
    added = {*TOLD, *OMITTED}
    if events.rejected(told):
        before = [(name.removeprefix(events.ORIGINAL), value) for name, value in before]
        added |= events.ADDED
    own = [header for header in told if header[0] not in added]
    omitted = {name: int(value) for name, value in told if name in OMITTED and value.isdigit()}
    return Letter(
        record,
        said["assay.reason"].decode(errors="replace"),
        said["assay.detail"].decode(errors="replace"),
        said["assay.topic"].decode(errors="replace"),
        int(partition),
        int(offset),
        before + own,
        omitted,
    )


def to_replay(
    letter: Letter, whole: Any, topic: str, partitions: int, limit: int, id_header: str
) -> Answer | None:
    """What to send to `topic`: the record `whole` (the dead letter's own, or the original) as it came, then
    its story, and a name, if it had none: so its next outcome has the same `id` as the one before.

    The story is told short where the topic's `limit` (`max.message.bytes`) leaves no room for it; None where
    not even that fits.
    """
    before = (
        letter.headers if whole is letter.record else [(name, value or b"") for name, value in whole.headers]
    )
    place = f"{letter.topic}/{letter.partition}/{letter.offset}"
    count = replays(whole) + 1
    headers = [header for header in before if header[0] != REPLAYS]
    if given_id(before, id_header) is None:
        headers.append((id_header, place.encode()))
    number = (REPLAYS, str(count).encode())
    story = {
        "reason": letter.reason,
        "detail": letter.detail[:DETAIL],
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "rejected_at_ms": letter.record.timestamp,
    }
    # kafka-python sends no record that has neither key nor value.
    value = b"" if whole.value is None and whole.key is None else whole.value
    for told in (story, {"reason": letter.reason}):
        last = [(REPLAYED, json.dumps(told, separators=(",", ":")).encode()), number]
        answer = Answer(topic, letter.partition % partitions, whole.key, value, headers + last)
        if answer.size <= limit:
            return answer
    return None

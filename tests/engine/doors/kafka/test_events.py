"""CloudEvents in and out, and the published schema of what is sent."""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from importlib.resources import files
from types import SimpleNamespace
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from support.kafka import DisorderedCore, Topics, serving, wait_until

from assay.bench.broker import Broker
from assay.engine.doors.kafka import KafkaSettings
from assay.engine.doors.kafka.answer import Answer, to_answer
from assay.engine.doors.kafka.records import Unanswerable, to_item
from assay.engine.outcome import Label, Outcome, Reason, Rejection, Verdict

SCHEMA = json.loads((files("assay.engine") / "outcome.schema.json").read_text("utf-8"))
REJECTION = Rejection("a", Reason.TRUNCATED, "the file ends in row 3 of 9")
VERDICT = Verdict("a", Label.SYNTHETIC, 0.9, {"plain": 2.0}, "b", "1.0.0")
EVENT = [
    ("ce_specversion", b"1.0"),
    ("ce_id", b"17"),
    ("ce_source", b"/cameras/3"),
    ("ce_type", b"com.example.image"),
    ("ce_subject", b"holiday.jpg"),
    ("ce_traceparent", b"00-aa-bb-01"),
    ("content-type", b"image/jpeg"),
]
HEADERS = st.lists(
    st.tuples(st.sampled_from([name for name, _ in EVENT]) | st.text(max_size=9), st.binary(max_size=3000)),
    max_size=6,
)


def record(headers: list[tuple[str, bytes]]) -> Any:
    return SimpleNamespace(topic="in", partition=5, offset=77, key=b"k", value=b"image", headers=headers)


def answer(
    of: Any, outcome: Outcome = VERDICT, source: str | None = "/assay", limit: int = 1 << 20
) -> Answer:
    sizes = {"partitions": {"out": 4, "rej": 2}, "limits": {"out": limit, "rej": limit}}
    return to_answer(of, outcome, output="out", rejects="rej", source=source, **sizes)


def check_event(headers: list[tuple[str, bytes]], value: bytes) -> Mapping[str, str]:
    """What CloudEvents 1.0 and its binding ask of a record -> its attributes."""
    own = [
        (name, text.decode()) for name, text in headers if name.startswith("ce_") or name == "content-type"
    ]
    found = dict(own)
    assert len(own) == len(found)
    assert found["ce_specversion"] == "1.0"
    for name in ("ce_id", "ce_source", "ce_type"):
        assert found[name]
    for name, text in own:
        assert re.fullmatch(r"ce_[a-z0-9]+|content-type", name)
        assert not re.search("[\x00-\x1f\x7f-\x9f]", text)
    assert datetime.fromisoformat(found["ce_time"]).tzinfo
    if found["ce_type"] == "assay.rejection.v1":
        assert found["ce_reason"]
        assert "ce_dataschema" not in found
        return found
    assert found["ce_type"] == "assay.verdict.v1"
    assert found["content-type"] == "application/json"
    assert found["ce_dataschema"] == SCHEMA["$id"]
    jsonschema.validate(json.loads(value), SCHEMA)
    return found


def test_an_event_is_named_by_its_id() -> None:
    assert to_item(record(EVENT), "assay.id").id == "17"
    assert to_item(record([*EVENT, ("assay.id", b"mine")]), "assay.id").id == "mine"
    assert to_item(record(EVENT[1:]), "assay.id").id == "in/5/77"  # no specversion: no event
    assert to_item(record([*EVENT, ("ce_id", b"")]), "assay.id").id == "in/5/77"


def test_a_verdict_on_an_event_is_an_event_of_its_own() -> None:
    got = answer(record([*EVENT, ("trace", b"1")]))
    assert got.value
    found = check_event(got.headers, got.value)
    assert got.headers[:2] == [("ce_traceparent", b"00-aa-bb-01"), ("trace", b"1")]
    assert found["ce_type"] == "assay.verdict.v1"
    assert (found["ce_source"], found["ce_id"], found["ce_subject"]) == ("/assay", "in/5/77", "a")
    assert (found["ce_imagesource"], found["ce_imagesubject"]) == ("/cameras/3", "holiday.jpg")


def test_without_the_setting_headers_are_as_they_came() -> None:
    assert answer(record(EVENT), source=None).headers == EVENT
    assert answer(record(EVENT), REJECTION, source=None).headers[: len(EVENT)] == EVENT


def test_a_rejection_of_an_event_is_an_event_of_its_own() -> None:
    got = answer(record([*EVENT, ("trace", b"1")]), REJECTION)
    assert got.value == b"image"
    found = check_event(got.headers, got.value)
    assert found["ce_reason"] == "truncated"
    assert found["content-type"] == "image/jpeg"
    assert (found["ce_source"], found["ce_id"], found["ce_subject"]) == ("/assay", "in/5/77", "a")
    assert (found["ce_imagesource"], found["ce_imagesubject"]) == ("/cameras/3", "holiday.jpg")
    assert [name for name, _ in got.headers[: len(EVENT) + 1]] == [
        "assay.original.ce_specversion",
        "assay.original.ce_id",
        "assay.original.ce_source",
        "assay.original.ce_type",
        "assay.original.ce_subject",
        "ce_traceparent",
        "content-type",
        "trace",
    ]


def test_a_rejection_of_what_is_no_event_is_one() -> None:
    got = answer(record([]), REJECTION)
    assert got.value
    assert check_event(got.headers, got.value)["ce_reason"] == "truncated"
    long = answer(record([]), Rejection("a" * 9000, Reason.TRUNCATED, "short"))
    assert "ce_subject" not in dict(long.headers)


def test_a_rejection_is_not_taken_for_an_event_in_structured_mode() -> None:
    structured = ("Content-Type", b"Application/CloudEvents+json; charset=utf-8")
    got = answer(record([structured]), REJECTION)
    assert got.headers[0] == ("assay.original.Content-Type", structured[1])
    assert "content-type" not in dict(got.headers)


@given(HEADERS, st.text(min_size=1, max_size=2000), st.integers(900, 6000), st.booleans())
def test_an_event_fits_its_limit(
    headers: list[tuple[str, bytes]], id: str, limit: int, rejected: bool
) -> None:
    outcome: Outcome = replace(REJECTION, id=id) if rejected else replace(VERDICT, id=id)
    headers = [(name, b"/x" if name.startswith("ce_") else value) for name, value in headers]
    try:
        got = answer(record(headers), outcome, limit=limit)
    except Unanswerable:
        assert limit < (5000 if rejected else 1500)  # the id of one is left out, the other's is bounded
        return
    assert got.size <= limit
    own = [header for header in got.headers if header[0].startswith("ce_") or header[0] == "content-type"]
    kept = {name for name, _ in headers} - {"ce_specversion", "ce_id"}
    assert got.value
    if not any(name.startswith("ce_") or (rejected and name == "content-type") for name in kept):
        check_event(own, got.value)


@pytest.mark.parametrize("source", ["", "a b", "/ä", "/a\n"])
def test_a_source_is_a_uri_reference(source: str) -> None:
    given = {"brokers": "b:1", "input": "i", "output": "o", "rejects": "r", "group": "g"}
    with pytest.raises(ValidationError):
        KafkaSettings(**given, cloudevents_source=source)


def test_what_is_really_sent_holds_to_the_schema(broker: Broker) -> None:
    topics = Topics(broker, partitions=1).create()
    topics.send([b"image"], headers=EVENT)
    topics.send([b"image", b"bad"])
    with serving(DisorderedCore(), topics.settings(cloudevents_source="/assay/test")):
        wait_until(lambda: len(topics.answers()) == 3)
    first, second = topics.read(topics.output)
    for one, subject in ((first, "17"), (second, f"{topics.input}/0/1")):
        found = check_event(one.headers, one.value)
        assert found["ce_subject"] == json.loads(one.value)["id"] == subject
        assert found["ce_id"] == f"{topics.input}/0/{one.offset}"
    (dead,) = topics.read(topics.rejects)
    assert dead.value == b"bad"
    assert check_event(dead.headers, dead.value)["ce_id"] == f"{topics.input}/0/2"

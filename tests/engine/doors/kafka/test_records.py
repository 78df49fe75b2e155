"""Records to items, and outcomes to records."""

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from assay.engine.doors.kafka.answer import Answer, to_answer
from assay.engine.doors.kafka.records import Unanswerable, to_item
from assay.engine.item import Priority
from assay.engine.outcome import Label, Outcome, Reason, Rejection, Verdict

VERDICT = Verdict("a", Label.SYNTHETIC, 0.9, {"plain": 2.0}, "b", "1.0.0")
REJECTION = Rejection("a", Reason.TRUNCATED, "the file ends in row 3 of 9")
HEADERS = st.lists(st.tuples(st.text(max_size=5), st.binary(max_size=5)), max_size=4)


def record(**changed: Any) -> Any:
    fields = {
        "topic": "in", "partition": 5, "offset": 77, "key": b"k", "value": b"image", "headers": [("h", b"1")]
    }  # fmt: skip
    return SimpleNamespace(**{**fields, **changed})


def answer(of: Any, outcome: Outcome, limit: int = 1 << 20, out: int = 1 << 20) -> Answer:
    partitions, limits = {"out": 4, "rej": 2}, {"out": out, "rej": limit}
    return to_answer(of, outcome, output="out", rejects="rej", partitions=partitions, limits=limits)


def test_an_image_is_named_by_its_header_or_its_place() -> None:
    assert to_item(record(), "assay.id").id == "in/5/77"
    named = record(headers=[("assay.id", b"old"), ("assay.id", "Bär".encode()), ("other", b"x")])
    assert to_item(named, "assay.id").id == "Bär"
    assert to_item(named, "other").id == "x"
    assert to_item(record(headers=[("assay.id", b"")]), "assay.id").id == "in/5/77"
    assert to_item(record(headers=[("assay.id", b"\xff")]), "assay.id").id == "�"


def test_an_item_is_the_raw_value_as_backlog() -> None:
    item = to_item(record(), "assay.id")
    assert (item.data, item.priority, item.bundle, item.deadline) == (b"image", Priority.BACKLOG, None, None)
    assert to_item(record(value=None), "assay.id").data == b""


@given(HEADERS, st.none() | st.binary(max_size=9))
def test_a_verdict_carries_key_and_headers_over(headers: list[tuple[str, bytes]], key: bytes | None) -> None:
    got = answer(record(headers=headers, key=key), VERDICT)
    assert (got.topic, got.partition, got.key, got.headers) == ("out", 1, key, headers)
    assert got.value is not None
    assert json.loads(got.value) == VERDICT.to_dict()


@given(HEADERS, st.none() | st.binary(max_size=9), st.none() | st.binary(max_size=9))
def test_a_rejection_is_the_record_itself(
    headers: list[tuple[str, bytes]], key: bytes | None, value: bytes | None
) -> None:
    got = answer(record(headers=headers, key=key, value=value), REJECTION)
    assert (got.topic, got.partition, got.key) == ("rej", 1, key)
    assert got.value == (b"" if key is None and value is None else value)
    assert got.headers[: len(headers)] == headers
    assert got.headers[len(headers) :] == [
        ("assay.reason", b"truncated"),
        ("assay.detail", b"the file ends in row 3 of 9"),
        ("assay.topic", b"in"),
        ("assay.partition", b"5"),
        ("assay.offset", b"77"),
    ]


def test_a_value_above_the_limit_is_left_out_and_a_header_says_so() -> None:
    got = answer(record(value=b"x" * 2000), REJECTION, limit=1500)
    assert got.value == b""
    assert got.key == b"k"
    assert got.headers[-1] == ("assay.omitted", b"2000")
    assert answer(record(value=b"x" * 1000), REJECTION, limit=1500).headers[-1] == ("assay.offset", b"77")


@given(
    st.lists(st.tuples(st.text(max_size=40), st.binary(max_size=400)), max_size=30),
    st.none() | st.binary(max_size=1000),
    st.none() | st.binary(max_size=2000),
    st.text(max_size=300),
    st.sampled_from(["verdict", "rejection"]),
    st.integers(0, 4000),
)
def test_an_answer_fits_its_limit_and_says_what_it_lacks(
    headers: list[tuple[str, bytes]], key: bytes | None, value: bytes | None, id: str, kind: str, limit: int
) -> None:
    outcome: Outcome = Rejection(id, Reason.EMPTY, "no") if kind == "rejection" else replace(VERDICT, id=id)
    of = record(headers=headers, key=key, value=value)
    whole = answer(of, outcome)
    try:
        got = answer(of, outcome, limit, limit)
    except Unanswerable:
        assert limit < 1000  # which is enough for all that is never left out
        return
    assert got.size <= limit
    notes = {name: int(value) for name, value in got.headers if name.startswith("assay.omitted")}
    if whole.size <= limit:
        assert got == whole
        assert notes == {}
        return
    assert notes
    assert got.key == (None if "assay.omitted.key" in notes else key)
    assert notes.get("assay.omitted.key", len(key or b"")) == len(key or b"")
    kept = [header for header in got.headers if header in headers]
    assert len(kept) == len(headers) - notes.get("assay.omitted.headers", 0)
    if kind == "rejection":
        lost = "assay.omitted" in notes
        assert got.value == (b"" if lost else whole.value if got.key is not None else value or b"")
        assert not lost or notes["assay.omitted"] == len(value or b"")
    else:
        assert got.value
        told = json.loads(got.value)["id"]
        assert told == ("in/5/77" if "assay.omitted.id" in notes else id)
        assert notes.get("assay.omitted.id", 0) in (0, len(id.encode()))


def test_what_is_largest_goes_first_and_the_rest_stays() -> None:
    small = [("trace", b"1"), ("more", b"2")]
    of = record(headers=[small[0], ("exif", bytes(5000)), small[1]], value=bytes(600))
    got = answer(of, REJECTION, limit=2000)
    assert (got.value, got.headers[:2], got.headers[-1]) == (
        bytes(600),
        small,
        ("assay.omitted.headers", b"1"),
    )
    long = answer(record(), replace(VERDICT, id="ä" * 5000), out=2000)
    assert long.value
    assert json.loads(long.value)["id"] == "in/5/77"
    assert long.headers == [("h", b"1"), ("assay.omitted.id", b"10000")]


def test_null_header_values_become_empty() -> None:
    assert answer(record(headers=[("h", None)]), VERDICT).headers == [("h", b"")]

"""Records to items, and outcomes to records."""

import json
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from assay.engine.doors.kafka.answer import Answer, to_answer
from assay.engine.doors.kafka.records import to_item
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


def answer(of: Any, outcome: Outcome, limit: int = 1 << 20) -> Answer:
    partitions, limits = {"out": 4, "rej": 2}, {"out": 1 << 20, "rej": limit}
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


def test_null_header_values_become_empty() -> None:
    assert answer(record(headers=[("h", None)]), VERDICT).headers == [("h", b"")]

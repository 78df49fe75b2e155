"""Fetched bytes to records: against kafka-python's own reader, and where that gives up."""

import gzip
import itertools
import struct
import sys
from collections.abc import Sequence
from typing import Any

import lz4.frame
import pytest
import snappy
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from kafka import TopicPartition
from kafka.record import MemoryRecords
from kafka.record.default_records import DefaultRecordBatchBuilder
from kafka.record.memory_records import MemoryRecordsBuilder
from kafka.record.util import calc_crc32c, encode_varint

from assay.engine.doors.kafka import batches, codecs
from assay.engine.doors.kafka.batches import FetchedRecords, RawName, Unreadable
from assay.engine.doors.kafka.codecs import unpacked

TP = TopicPartition("images", 3)
HEADER = DefaultRecordBatchBuilder.HEADER_STRUCT.size
NAMES = {1: "gzip", 2: "snappy", 3: "lz4", 4: "zstd"}

Given = tuple[bytes | None, bytes | None, Sequence[tuple[str, bytes | None]]]
"""Key, value, headers."""

RECORDS = st.lists(
    st.tuples(
        st.none() | st.binary(max_size=30),
        st.none() | st.binary(max_size=300),
        st.lists(st.tuples(st.text(max_size=5), st.none() | st.binary(max_size=9)), max_size=4),
    ),
    min_size=1,
    max_size=9,
)


def built(records: Sequence[Given], offset: int = 0, codec: int = 0) -> bytearray:
    """A batch as a broker stores it."""
    builder = MemoryRecordsBuilder(2, codec, 1 << 30)
    for key, value, headers in records:
        builder.append(1234, key, value, list(headers))
    builder.close()
    batch = bytearray(builder.buffer())
    struct.pack_into(">q", batch, 0, offset)
    return batch


def packed(content: bytes, codec: int, count: int = 1, offset: int = 0) -> bytearray:
    """A batch with a right checksum around any content."""
    batch = built([(b"", b"", [])] * count, offset)[:HEADER] + content
    struct.pack_into(">i", batch, 8, len(batch) - 12)
    struct.pack_into(">h", batch, 21, codec)
    struct.pack_into(">I", batch, 17, calc_crc32c(bytes(batch[21:])))
    return batch


def read(data: bytes, offset: int = 0) -> list[Any]:
    records = FetchedRecords(offset, TP, MemoryRecords(data))
    return list(itertools.chain.from_iterable(iter(lambda: records.take(3) if records else [], [])))


def theirs(data: bytes) -> list[Any]:
    return [record for batch in MemoryRecords(data) for record in batch]


@pytest.mark.parametrize("codec", [0, *NAMES])
@given(st.lists(RECORDS, min_size=1, max_size=3))
def test_records_are_those_that_kafka_python_reads(codec: int, each: list[list[Given]]) -> None:
    data, offset = bytearray(), 7
    for records in each:
        data += built(records, offset, codec)
        offset += len(records)
    got = read(bytes(data), 7)
    want = theirs(bytes(data))
    assert [(r.topic, r.partition) for r in got] == [TP] * len(want)
    assert [(r.offset, r.timestamp, r.key, r.value, r.headers) for r in got] == [
        (r.offset, r.timestamp, r.key, r.value, r.headers) for r in want
    ]
    start = want[len(want) // 2].offset
    assert [r.offset for r in read(bytes(data), start)] == list(range(start, offset))


@given(RECORDS, RECORDS, RECORDS, st.data())
def test_a_damaged_batch_is_named_and_its_neighbours_are_read(
    before: list[Given], damaged: list[Given], after: list[Given], data: st.DataObject
) -> None:
    first, second = len(before), len(before) + len(damaged)
    batch = built(damaged, first)
    at = data.draw(st.integers(17, len(batch) - 1))  # behind what no checksum covers
    batch[at] ^= data.draw(st.integers(1, 255))
    got = read(bytes(built(before) + batch + built(after, second)))
    assert [r.offset for r in got] == [*range(first), second - 1, *range(second, second + len(after))]
    (bad,) = (r for r in got if isinstance(r, Unreadable))
    assert (bad.topic, bad.partition, bad.first) == (*TP, first)
    assert "checksum" in bad.why
    alone = [r for r in read(bytes(batch), first) if isinstance(r, Unreadable)]
    assert alone  # whatever its fields say, no more than it holds is passed
    assert max(one.offset for one in alone) < second


@given(st.binary(max_size=200), st.sampled_from([0, 1, 2, 3, 4]), st.integers(1, 5))
def test_no_content_with_a_right_checksum_ends_in_an_error(content: bytes, codec: int, count: int) -> None:
    got = read(bytes(packed(content, codec, count, 5) + built([(b"k", b"next", [])], 5 + count)), 5)
    assert got[-1].value == b"next"
    offsets = [r.offset for r in got if isinstance(r, Unreadable)]
    assert offsets in ([], [4 + count])


@pytest.mark.parametrize("codec", NAMES)
def test_a_batch_that_unpacks_to_too_much_is_refused_on_the_way(
    codec: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codecs, "UNPACKED_BYTES", 1 << 20)
    pack = {1: gzip.compress, 2: snappy.compress, 3: lz4.frame.compress, 4: zstandard.compress}[codec]
    assert unpacked(memoryview(pack(bytes(1 << 20))), codec) == bytes(1 << 20)
    (bad,) = read(bytes(packed(pack(bytes((1 << 20) + 1)), codec)))
    assert "unpacks to more than 1 MiB" in bad.why


@pytest.mark.parametrize(("codec", "package"), [(2, "snappy"), (3, "lz4.frame"), (4, "zstandard")])
def test_a_missing_codec_says_what_to_install(
    codec: int, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = built([(b"k", bytes(1000), [])], codec=codec)
    monkeypatch.setitem(sys.modules, package, None)
    (bad,) = read(bytes(batch))
    name = {"snappy": "python-snappy", "lz4.frame": "lz4"}.get(package, package)
    assert bad.why.endswith(f"pip install {name}")
    assert NAMES[codec] in bad.why


def test_unknown_formats_and_codecs_are_named() -> None:
    later = built([(b"k", b"v", [])], 4)
    later[16] = 3
    (bad,) = read(bytes(later), 4)
    assert (bad.first, bad.offset) == (4, 4)
    assert "version 3" in bad.why
    (bad,) = read(bytes(packed(b"x", 5)))
    assert "codec 5" in bad.why


def test_blocks_of_snappy_as_java_frames_them() -> None:
    blocks = [b"one", bytes(100_000)]
    framed = codecs.XERIAL + struct.pack(">ii", 1, 1)
    for block in blocks:
        framed += struct.pack(">i", len(snappy.compress(block))) + snappy.compress(block)
    assert unpacked(memoryview(framed), 2) == b"".join(blocks)


def header_bytes(headers: Sequence[tuple[bytes, bytes | None]]) -> bytes:
    """A record's content with these headers, whose names may be any bytes."""
    body = bytearray(b"\0\0\0\x02k\x02v")  # attributes, timestamp, offset, key, value
    encode_varint(len(headers), body.append)
    for name, value in headers:
        encode_varint(len(name), body.append)
        body += name
        encode_varint(-1 if value is None else len(value), body.append)
        body += value or b""
    record = bytearray()
    encode_varint(len(body), record.append)
    return bytes(record + body)


@given(st.lists(st.tuples(st.binary(max_size=6), st.none() | st.binary(max_size=6)), max_size=5))
def test_names_of_headers_that_are_not_utf8_are_kept(headers: list[tuple[bytes, bytes | None]]) -> None:
    (record,) = read(bytes(packed(header_bytes(headers), 0)))
    assert [(name.encode(), value) for name, value in record.headers] == headers
    assert all(isinstance(name, str) for name, _ in record.headers)
    again = built([(record.key, record.value, record.headers)])  # as the producer writes it
    (record,) = read(bytes(again))
    assert [(name.encode(), value) for name, value in record.headers] == headers


def test_headers_without_number_are_counted_and_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "HEADERS", 100)
    content = header_bytes([(b"%d" % n, b"") for n in range(150)])
    (record,) = read(bytes(packed(content, 0)))
    assert record.headers[:100] == [(str(n), b"") for n in range(100)]
    assert record.headers[100:] == [("assay.unread.headers", b"50")]


def test_a_raw_name_reads_as_text() -> None:
    name = RawName.of(b"a\xff")
    assert (name, name.encode()) == ("a�", b"a\xff")
    assert type(RawName.of("ä".encode())) is str

"""Reading what was fetched: the records of a partition; where some cannot be read, why.

kafka-python's own reader raises at the first batch that it cannot read, says no offset and never gets past
it. It also refuses headers whose names are not UTF-8, and unpacks a batch to whatever size it may have.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kafka.consumer.fetcher import ConsumerRecord, Fetcher
from kafka.errors import CorruptRecordError
from kafka.protocol.consumer import IsolationLevel
from kafka.record.default_records import DefaultRecordBatch
from kafka.record.util import decode_varint

from assay.engine.doors.kafka.codecs import unpacked

HEADERS = 1 << 16
"""Headers that are read of one record; a header takes 2 bytes in a batch and some 200 here."""

Headers = list[tuple[str, bytes | None]]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Stands for the records from `first` to `offset` of a partition, which cannot be read."""

    topic: str
    partition: int
    first: int
    offset: int
    why: str


class RawName(str):
    """A header's name that is not UTF-8: reads with U+FFFD where it is not, and is sent on as it came."""

    raw: bytes

    @classmethod
    def of(cls, raw: bytes) -> str:
        """The name in `raw`, which is a plain string where it can be one."""
        try:
            return raw.decode()
        except UnicodeDecodeError:
            name = cls(raw.decode(errors="replace"))
            name.raw = raw
            return name

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        """What kafka-python writes into a batch."""
        return self.raw


class FetchedRecords(Fetcher.PartitionRecords):  # type: ignore[misc]
    """What one fetch brought of a partition, as kafka-python's fetcher takes it: `ConsumerRecord`s in offset
    order, and `Unreadable`s between them."""

    next_fetch_offset: int

    def _unpack_records(self, tp: Any, records: Any, *_: Any) -> Iterator[Any]:
        while True:
            try:
                batch = records.next_batch()
            except Exception as error:  # whatever the bytes led to; a length is wrong, so nothing follows
                yield self._unreadable(tp, self.next_fetch_offset, error)
                break
            if batch is None:
                break
            yield from self._read(tp, batch, records)
        self.drain()

    def _read(self, tp: Any, batch: Any, records: Any) -> Iterator[Any]:
        try:
            if batch.magic > 2:
                raise CorruptRecordError(f"its format, version {batch.magic}, is not known")
            if not batch.validate_crc():
                raise CorruptRecordError("its checksum is wrong, so its bytes were damaged")
            self.leader_epoch = getattr(batch, "leader_epoch", -1)
            if batch.magic < 2:
                for old in batch:
                    if not old.validate_crc():
                        raise CorruptRecordError("a checksum in it is wrong, so its bytes were damaged")
                    yield self._taken(tp, old.offset, old.timestamp, old.key, old.value, old.headers)
            elif not self._passed_over(batch):
                for record in read_batch(batch):
                    yield self._taken(tp, *record)
        except Exception as error:  # whatever the bytes led to; the batches around it are read all the same
            yield self._unreadable(tp, _end(batch, records), error)
        else:
            # The last records of a batch may have been compacted away.
            self.next_fetch_offset = max(self.next_fetch_offset, getattr(batch, "next_offset", 0))

    def _taken(
        self, tp: Any, offset: int, timestamp: int, key: bytes | None, value: bytes | None, headers: Headers
    ) -> Any:
        self.records_read += 1
        self.bytes_read += len(key or b"") + len(value or b"")
        self.next_fetch_offset = offset + 1
        sizes = (-1, -1, -1)  # which nobody asks for
        where = (tp.topic, tp.partition, self.leader_epoch, offset)
        return ConsumerRecord(*where, timestamp, 0, key, value, headers, None, *sizes)

    def _unreadable(self, tp: Any, last: int, error: Exception) -> Unreadable:
        first = self.next_fetch_offset
        last = max(first, last)
        self.next_fetch_offset = last + 1
        return Unreadable(tp.topic, tp.partition, first, last, str(error) or repr(error))

    def _passed_over(self, batch: Any) -> bool:
        """Whether none of a batch is for us: it marks a transaction's end, or the transaction was aborted."""
        if self.isolation_level == IsolationLevel.READ_COMMITTED and batch.has_producer_id():
            self._consume_aborted_transactions_up_to(batch.last_offset)
            if self._contains_abort_marker(batch):
                self.aborted_producer_ids.discard(batch.producer_id)
            elif self._is_batch_aborted(batch):
                return True
        return bool(batch.is_control_batch)


def _end(batch: Any, records: Any) -> int:
    """Offset of the last record of a batch whose own fields may be wrong; too small rather than too large,
    since the broker sends a batch again to who asks for an offset inside."""
    following = records._next_slice
    if following is not None:
        after: int = struct.unpack_from(">q", following)[0]
        if after > batch.base_offset:
            return after - 1
    span = min(batch.last_offset_delta, batch.records_count - 1) if batch.magic >= 2 else 0
    return int(batch.base_offset + max(span, 0))


Record = tuple[int, int, bytes | None, bytes | None, Headers]
"""Offset, timestamp in milliseconds, key, value, headers."""


def read_batch(batch: Any) -> Iterator[Record]:
    """The records of a batch of version 2.

    Raises:
        CorruptRecordError, ValueError, IndexError: the bytes are no records; those before have been given.
    """
    packed = memoryview(batch._buffer)[DefaultRecordBatch.HEADER_STRUCT.size :]
    data = unpacked(packed, batch.compression_type)
    position = 0
    for _ in range(batch.records_count):
        length, position = decode_varint(data, position)
        end = position + length
        if not position < end <= len(data):
            raise CorruptRecordError("a record in it ends behind the batch")
        yield _record(batch, data[position:end])
        position = end


def _record(batch: Any, data: memoryview) -> Record:
    delta, position = decode_varint(data, 1)  # behind the attributes
    offset, position = decode_varint(data, position)
    key, position = _bytes(data, position)
    value, position = _bytes(data, position)
    late = batch.timestamp_type == batch.LOG_APPEND_TIME
    timestamp = batch.max_timestamp if late else batch.first_timestamp + delta
    return batch.base_offset + offset, timestamp, key, value, _headers(data, position)


def _headers(data: memoryview, position: int) -> Headers:
    count, position = decode_varint(data, position)
    headers: Headers = []
    for _ in range(min(count, HEADERS)):
        name, position = _bytes(data, position)
        value, position = _bytes(data, position)
        headers.append((RawName.of(name or b""), value))
    if count > HEADERS:
        headers.append(("assay.unread.headers", str(count - HEADERS).encode()))
    return headers


def _bytes(data: memoryview, position: int) -> tuple[bytes | None, int]:
    length, position = decode_varint(data, position)
    if length < 0:
        return None, position
    if position + length > len(data):
        raise CorruptRecordError("a field in it ends behind its record")
    return bytes(data[position : position + length]), position + length

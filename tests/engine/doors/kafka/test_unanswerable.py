"""Records that cannot be read, or that no answer fits for, on the real broker: neighbours go on as ever."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaProducer, TopicPartition
from kafka.errors import KafkaError
from prometheus_client import REGISTRY
from support.kafka import DisorderedCore, Topics, consumer, producer, serving, wait_until

from assay.bench.broker import Broker
from assay.engine.doors.kafka import batches
from assay.engine.doors.kafka.batches import FetchedRecords, RawName
from assay.engine.errors import SetupError

MIB = 1 << 20
SKIP = {"skip_unanswerable": True}


def reasons(record: Any) -> dict[str, str]:
    return {name: value.decode() for name, value in record.headers if name.startswith("assay.")}


def unanswered(topics: Topics) -> float:
    return REGISTRY.get_sample_value("assay_kafka_unanswered_total", {"topic": topics.input}) or 0


def test_hostile_headers_are_answered_like_any(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    topics = Topics(broker, partitions=1).create()
    odd = [(RawName.of(b"\xff\xfe"), b"\xff\0"), ("", b""), ("assay.id", b"\xff" * 1000), ("trace", b"1")]
    values = [b"image", b"bad"]
    topics.send(values, headers=odd)
    for count in (5000, 5009):
        topics.send(values, headers=[(str(n), b"") for n in range(count)])
    topics.send(values, headers=[("h", bytes(4 * MIB))])
    with monkeypatch.context() as patch, serving(DisorderedCore(), topics.settings()) as served:
        patch.setattr(batches, "HEADERS", 5000)
        wait_until(lambda: topics.committed() == {0: 8}, 60)
        assert not served.failures
    for topic in (topics.output, topics.rejects):
        first, many, more, huge = raw_headers(topics, topic)
        assert [(name, value) for name, value in first][: len(odd)] == [(n.encode(), v) for n, v in odd]
        assert many[:5000] == [(b"%d" % n, b"") for n in range(5000)]
        assert more[:5001] == [*many[:5000], (b"assay.unread.headers", b"9")]
        assert huge[0] == (b"h", bytes(4 * MIB))


def raw_headers(topics: Topics, topic: str) -> list[list[tuple[bytes, bytes]]]:
    """Headers as bytes, which kafka-python's own reader does not give."""
    with consumer(topics.broker) as reader:
        reader._fetcher.PartitionRecords = FetchedRecords
        name = TopicPartition(topic, 0)
        reader.assign([name])
        end = reader.end_offsets([name])[name]
        reader.seek_to_beginning(name)
        found: list[Any] = []
        while reader.position(name) < end:
            found.extend(reader.poll(timeout_ms=200).get(name, []))
    return [[(header.encode(), value) for header, value in record.headers] for record in found]


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_every_codec_of_producers_is_read(broker: Broker, codec: str) -> None:
    topics = Topics(broker, partitions=1).create()
    values = [b"image" + bytes(100_000), b"bad" + bytes(100)]
    with producer(broker, compression_type=codec, linger_ms=50) as sender:
        for value in values:
            sender.send(topics.input, value, partition=0)
    core = DisorderedCore()
    with serving(core, topics.settings()) as served:
        wait_until(lambda: len(topics.answers()) == 2)
        assert not served.failures
    assert sorted(item.data for item in core.taken) == sorted(values)


def test_what_is_too_large_in_an_answer_is_left_out_and_named(broker: Broker) -> None:
    topics = Topics(broker, partitions=1)
    broker.create_topics({topics.input: 1})
    broker.create_topics({topics.output: 1, topics.rejects: 1}, {"max.message.bytes": "100000"})
    large = bytes(150_000)
    small = [("trace", b"1")]
    topics.send([b"image", b"bad"], key=b"k", headers=[*small, ("exif", large)])
    topics.send([b"image", b"bad"], key=large, headers=small)
    topics.send([b"image", b"bad"], headers=[*small, ("assay.id", b"i" * 150_000)])
    topics.send([b"bad" + large], key=large, headers=[("exif", large)])
    topics.send([b"image", b"bad"], headers=[("h", b"1234567890")] * 12_000)
    with serving(DisorderedCore(), topics.settings()) as served:
        wait_until(lambda: topics.committed() == {0: 9})
        assert not served.failures
    header, key, id, many = topics.read(topics.output)
    assert header.headers == [*small, ("assay.omitted.headers", b"1")]
    assert (header.key, key.key) == (b"k", None)
    assert key.headers == [*small, ("assay.omitted.key", b"150000")]
    assert id.headers == [*small, ("assay.omitted.id", b"150000"), ("assay.omitted.headers", b"1")]
    assert json.loads(id.value)["id"] == f"{topics.input}/0/4"
    assert json.loads(header.value)["label"] == json.loads(id.value)["label"] == "authentic"
    assert 0 < len(many.headers) < 12_000
    rejected = topics.read(topics.rejects)
    assert [int(reasons(record)["assay.offset"]) for record in rejected] == [1, 3, 5, 6, 8]
    assert [record.value for record in rejected] == [b"bad", b"bad", b"bad", b"", b"bad"]
    keys = [reasons(record).get("assay.omitted.key") for record in rejected]
    assert keys == [None, "150000", None, "150000", None]
    assert reasons(rejected[3])["assay.omitted"] == "150003"


@pytest.mark.usefixtures("delivery")
def test_a_limit_that_the_topic_does_not_tell_is_found(broker: Broker) -> None:
    """No batch may be larger than a segment of the topic's log, whatever `max.message.bytes` says."""
    topics = Topics(broker, partitions=1).create(rejects={"segment.bytes": str(MIB)})
    values = [b"image 0", b"bad 1", b"bad" + bytes(3 * MIB), b"bad 3", b"image 4", b"bad" + bytes(MIB // 2)]
    topics.send(values, key=b"k")
    with serving(DisorderedCore(), topics.settings()) as served:
        wait_until(lambda: topics.committed() == {0: len(values)}, 60)
        assert not served.failures
    rejected = {int(reasons(record)["assay.offset"]): record for record in topics.read(topics.rejects)}
    assert [record.value for record in rejected.values()] == [values[1], b"", values[3], values[5]]
    assert list(rejected) == [1, 2, 3, 5]
    assert reasons(rejected[2])["assay.omitted"] == str(3 * MIB + 3)
    assert all(record.key == b"k" for record in rejected.values())


@pytest.mark.usefixtures("delivery")
@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({"max.message.bytes": "150"}, "raise the topic's max.message.bytes"),
        ({"cleanup.policy": "compact"}, "does not take the answer"),  # no record without a key
    ],
)
def test_a_record_that_nothing_answers_stops_its_partition_or_is_passed(
    broker: Broker, config: dict[str, str], why: str
) -> None:
    topics = Topics(broker, partitions=2).create(rejects=config)
    topics.send([b"image 0", b"image 1", b"image 2", b"image 3", b"bad", b"image 5", b"stuck 6", b"image 7"])
    core = DisorderedCore()
    with serving(core, topics.settings()) as served:
        wait_until(lambda: bool(served.failures), 60)
        core.release()
        served.door.drain(10)
        (failure,) = served.failures
    assert isinstance(failure, SetupError)
    for part in (f"record {topics.input}/0/2 ", why, topics.rejects, "skip_unanswerable"):
        assert part in str(failure)
    assert topics.committed()[0] == 2
    assert unanswered(topics) == 1
    core = DisorderedCore()
    with serving(core, topics.settings(**SKIP)) as served:
        wait_until(lambda: bool(served.failures) or topics.lag() == 0 or core.release(), 60)  # type: ignore[func-returns-value]
        assert not served.failures
    assert unanswered(topics) == 2
    order: dict[int, list[int]] = {0: [], 1: []}
    for record in topics.read(topics.output):
        offset = int(json.loads(record.value)["id"].rpartition("/")[2])
        if offset not in order[record.partition]:
            order[record.partition].append(offset)
    assert order == {0: [0, 1, 3], 1: [0, 1, 2, 3]}


@pytest.mark.usefixtures("delivery")
@pytest.mark.parametrize("at_once", [True, False])
def test_what_the_brokers_refuse_is_found_before_and_after_the_rest_is_sent(
    broker: Broker, at_once: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    topics = Topics(broker, partitions=1).create(rejects={"cleanup.policy": "compact"})
    send = KafkaProducer.send

    def sent(self: Any, topic: str, *args: Any, **record: Any) -> Any:
        future = send(self, topic, *args, **record)
        if at_once and topic == topics.rejects:
            with suppress(KafkaError):
                future.get(30)
        return future

    core = DisorderedCore()
    values = [b"stuck image", b"bad", b"image", b"bad", b"image"]
    topics.send(values)
    monkeypatch.setattr(KafkaProducer, "send", sent)
    with serving(core, topics.settings(**SKIP)) as served:
        wait_until(lambda: len(core.taken) == len(values))
        core.release()  # so that all are sent together
        wait_until(lambda: bool(served.failures) or topics.committed() == {0: len(values)}, 60)
        assert not served.failures
    ids = {json.loads(record.value)["id"] for record in topics.read(topics.output)}
    assert ids == {f"{topics.input}/0/{offset}" for offset in (0, 2, 4)}
    assert unanswered(topics) == 2
    assert not topics.read(topics.rejects)


@pytest.mark.full
def test_a_damaged_batch_in_the_log_is_named_or_passed(tmp_path: Path) -> None:
    with Broker(tmp_path / "kafka") as broker:
        topics = Topics(broker, partitions=1).create()
        for number in range(5):
            topics.send([b"image %d" % number])
        broker.stop()
        log = next((tmp_path / "kafka" / "data" / f"{topics.input}-0").glob("*.log"))
        log.write_bytes(log.read_bytes().replace(b"image 2", b"imago 2"))
        broker.start()
        with serving(DisorderedCore(), topics.settings()) as served:
            wait_until(lambda: bool(served.failures), 60)
            served.door.drain(10)
            (failure,) = served.failures
        for part in (f"record {topics.input}/0/2 ", "checksum", "skip_unanswerable"):
            assert part in str(failure)
        assert topics.committed() == {0: 2}
        with serving(DisorderedCore(), topics.settings(**SKIP)) as served:
            wait_until(lambda: topics.committed() == {0: 5}, 60)
            assert not served.failures
        ids = [json.loads(record.value)["id"] for record in topics.read(topics.output)]
    assert ids == [f"{topics.input}/0/{offset}" for offset in (0, 1, 3, 4)]

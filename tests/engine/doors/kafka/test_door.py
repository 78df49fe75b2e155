"""The Kafka door on the real broker, over a core that finishes in any order."""

import json
import threading
import time
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from kafka.admin import ConfigResource, KafkaAdminClient
from prometheus_client import REGISTRY
from support.kafka import (
    DisorderedCore,
    Topics,
    judge,
    place,
    producer,
    serving,
    wait_until,
)

from assay.bench.broker import Broker, free_ports
from assay.engine.doors.kafka import KafkaDoor, KafkaSettings
from assay.engine.errors import AssayError, EngineFault, SetupError

MIB = 1 << 20


@pytest.fixture
def topics(broker: Broker) -> Topics:
    return Topics(broker).create()


def test_each_record_gets_one_outcome_in_the_order_of_its_partition(topics: Topics) -> None:
    values = [b"bad%d" % n if n % 7 == 3 else b"image %d" % n for n in range(600)]
    sent = topics.send(values, key=b"the key", headers=[("trace", b"1"), ("trace", b"2")])
    core = DisorderedCore(delay=0.05)
    with serving(core, topics.settings()) as served:
        wait_until(lambda: len(core.taken) == len(values))
        served.door.drain(10)
        assert not served.failures
    assert [item.id for item in core.taken[:3]] != [item.id for item in sorted(core.taken, key=repr)[:3]]
    by_place = dict(zip(sent, values, strict=True))
    for topic in (topics.output, topics.rejects):
        order = defaultdict(list)
        for record in topics.read(topic):
            assert record.key == b"the key"
            assert record.headers[:2] == [("trace", b"1"), ("trace", b"2")]
            assert record.partition == place(record)[0]
            order[record.partition].append(place(record)[1])
            value = by_place.pop(place(record))
            assert value.startswith(b"bad") == (topic == topics.rejects)
            if topic == topics.rejects:
                assert record.value == value
                assert dict(record.headers)["assay.reason"] == b"undecodable"
                assert dict(record.headers)["assay.detail"].decode() == "bad bytes: Straße 🙂"
                assert dict(record.headers)["assay.topic"].decode() == topics.input
            else:
                item = next(item for item in core.taken if item.data == value)
                assert json.loads(record.value) == judge(item).to_dict()
        assert all(offsets == sorted(offsets) for offsets in order.values())
    assert not by_place
    assert topics.lag() == 0


def test_an_offset_is_never_committed_beyond_a_gap(broker: Broker) -> None:
    topics = Topics(broker, partitions=1).create()
    topics.send([b"a", b"b", b"stuck", b"c", b"d", b"e"])
    core = DisorderedCore()
    with serving(core, topics.settings()) as served:
        wait_until(lambda: topics.committed() == {0: 2})
        time.sleep(1.2)  # two more rounds of committing
        labels = {"topic": topics.input, "partition": "0"}
        assert REGISTRY.get_sample_value("assay_kafka_lag_records", labels) == 4
        assert topics.committed() == {0: 2}
        assert len(topics.answers()) == 2
        core.release()
        wait_until(lambda: topics.committed() == {0: 6})
        assert not served.failures
    assert [place(record)[1] for record in topics.read(topics.output)] == [0, 1, 2, 3, 4, 5]


def test_what_was_stopped_comes_again(broker: Broker) -> None:
    topics = Topics(broker, partitions=1).create()
    topics.send([b"a", b"stuck", b"c"])
    with serving(DisorderedCore(), topics.settings()) as served:
        wait_until(lambda: topics.committed() == {0: 1})
        served.door.stop()
    with serving(DisorderedCore(), topics.settings()) as served:
        wait_until(lambda: len(topics.answers()) == 1)
        served.door.drain(1)  # `stuck` is not done by then
    assert topics.committed() == {0: 1}
    core = DisorderedCore()
    with serving(core, topics.settings()):
        wait_until(lambda: len(core.taken) == 2)
        core.release()
        wait_until(lambda: topics.committed() == {0: 3})
    assert [place(record)[1] for record in topics.answers()] == [0, 1, 2]


def test_odd_records_are_answered(broker: Broker) -> None:
    topics = Topics(broker, partitions=1).create()
    with producer(topics.broker) as sender:
        sender.send(topics.input, None, key=b"tombstone", partition=0)
        sender.send(topics.input, b"", partition=0)
        sender.send(topics.input, b"bad", key=b"", headers=[("assay.reason", b"older")], partition=0)
        sender.send(topics.input, b"x", key=b"n", headers=[("assay.id", b"name")], partition=0)
    core = DisorderedCore()
    with serving(core, topics.settings()):
        wait_until(lambda: len(topics.answers()) == 4)
    empty, nothing, bad = topics.read(topics.rejects)
    assert (empty.key, empty.value, dict(empty.headers)["assay.reason"]) == (b"tombstone", None, b"empty")
    assert (nothing.key, nothing.value, dict(nothing.headers)["assay.reason"]) == (None, b"", b"empty")
    assert (bad.key, bad.value) == (b"", b"bad")
    assert [value for name, value in bad.headers if name == "assay.reason"] == [b"older", b"undecodable"]
    (verdict,) = topics.read(topics.output)
    assert json.loads(verdict.value)["id"] == "name"


def test_a_rejected_value_above_the_topics_limit_is_left_out(broker: Broker) -> None:
    limit = 100_000
    topics = Topics(broker, partitions=1).create(rejects={"max.message.bytes": str(limit)})
    sizes = [10, *range(limit - 400, limit + 40, 20), limit * 30]  # through the limit in small steps
    topics.send([b"bad".ljust(size, b".") for size in sizes], key=b"k")
    with serving(DisorderedCore(), topics.settings()) as served:
        wait_until(lambda: topics.committed() == {0: len(sizes)})
        assert not served.failures
    got = topics.read(topics.rejects)
    assert [record.offset for record in got] == list(range(len(sizes)))  # so none was sent twice
    for record, size in zip(got, sizes, strict=True):
        omitted = dict(record.headers).get("assay.omitted")
        assert (omitted, len(record.value)) in ((None, size), (str(size).encode(), 0))
        assert record.key == b"k"
    kept = [len(record.value) for record in got if record.value]
    assert limit - 300 < max(kept) < limit  # the guard wastes little


@pytest.mark.usefixtures("delivery")
def test_a_limit_that_is_lowered_while_serving_costs_no_outcome(broker: Broker) -> None:
    topics = Topics(broker, partitions=1).create()
    topics.send([b"bad 1"])
    with serving(DisorderedCore(), topics.settings()) as served:
        wait_until(lambda: topics.committed() == {0: 1})
        admin = KafkaAdminClient(bootstrap_servers=topics.broker.bootstrap)
        config = {"max.message.bytes": "50000"}
        admin.alter_configs([ConfigResource("TOPIC", topics.rejects, configs=config)])
        admin.close()
        topics.send([b"bad 2", b"bad".ljust(200_000), b"good", b"bad 3"])
        wait_until(lambda: topics.committed() == {0: 5})
        assert not served.failures
    values = list(dict.fromkeys(record.value for record in topics.read(topics.rejects)))
    assert values == [b"bad 1", b"bad 2", b"", b"bad 3"]
    assert {place(record) for record in topics.read(topics.output)} == {(0, 3)}


def test_a_full_core_pauses_and_resumes(topics: Topics) -> None:
    values = [b"x" * (MIB // 2) + b"%d" % n for n in range(120)]
    topics.send(values)
    core = DisorderedCore(budget=2 * MIB, delay=0.01)
    with serving(core, topics.settings()) as served:
        wait_until(lambda: topics.lag() == 0)
        assert not served.failures
    assert core.peak <= 2 * MIB
    assert Counter(item.data for item in core.taken) == Counter(values)
    assert len(topics.read(topics.output)) == len(values)


def test_what_is_taken_is_bounded_by_the_window(topics: Topics) -> None:
    topics.send([b"stuck" + b"x" * MIB for _ in range(120)])
    core = DisorderedCore()
    with serving(core, topics.settings(window=8 * MIB, group=f"{topics.group}-2")) as served:
        wait_until(lambda: core.used > 8 * MIB)
        time.sleep(1)
        # One poll may overshoot by all that was fetched ahead: 32 MiB.
        assert core.used <= 40 * MIB + 2 * MIB
        assert not served.door._intake
        assert len(core.taken) < 120


def test_an_engine_fault_stops_the_door_and_commits_nothing_of_it(broker: Broker) -> None:
    topics = Topics(broker, partitions=1).create()
    topics.send([b"a", b"stuck", b"c"])
    core = DisorderedCore()
    with serving(core, topics.settings()) as served:
        wait_until(lambda: topics.committed() == {0: 1})
        core.break_down()
        wait_until(lambda: bool(served.failures))
        time.sleep(0.2)
        assert [type(failure) for failure in served.failures] == [EngineFault]
    assert topics.committed() == {0: 1}
    assert len(topics.answers()) == 1


def test_members_come_and_go_and_no_outcome_is_sent_twice(topics: Topics) -> None:
    """With clean hand-overs nothing comes twice: what was sent is committed before it is handed over."""
    total, stop = 0, threading.Event()

    def produce() -> None:
        nonlocal total
        while not stop.is_set():
            topics.send([b"image %d" % n for n in range(30)])
            total += 30

    source = threading.Thread(target=produce)
    source.start()
    try:
        core = DisorderedCore(delay=0.1)
        with serving(core, topics.settings()) as first:
            wait_until(lambda: len(core.taken) > 100)
            with serving(core, topics.settings()) as second:
                wait_until(lambda: len(first.door._assignment.partitions()) < 3)
                wait_until(lambda: len(second.door._assignment.partitions()) > 0)
                time.sleep(1)
                first.door.drain(10)
                wait_until(lambda: len(second.door._assignment.partitions()) == 3)
                stop.set()
                source.join()
                wait_until(lambda: topics.lag() == 0)
                second.door.drain(10)
                assert not first.failures + second.failures
    finally:
        stop.set()
        source.join()
    places = [place(record) for record in topics.answers()]
    assert len(set(places)) == total
    assert len(places) == total


def test_draining_leaves_no_lag_for_what_was_taken(topics: Topics) -> None:
    topics.send([b"image %d" % n for n in range(3000)])
    core = DisorderedCore(budget=4000, delay=0.05)
    with serving(core, topics.settings()) as served:
        wait_until(lambda: len(core.taken) > 400)
        served.door.drain(10)
        taken = len(core.taken)
    assert taken < 3000
    assert len(topics.answers()) == taken == sum(topics.committed().values())


def test_draining_leaves_to_the_next_member_what_no_worker_holds(broker: Broker) -> None:
    topics = Topics(broker, partitions=1).create()
    topics.send([b"a", b"stuck", b"queued", b"done, but behind", b"queued"])
    core = DisorderedCore()
    with serving(core, topics.settings()) as served:
        wait_until(lambda: len(core.taken) == 5 and topics.committed() == {0: 1})
        draining = threading.Thread(target=served.door.drain, args=(60,))
        draining.start()
        draining.join(1)
        assert draining.is_alive()  # a worker holds `stuck`
        core.release()
        draining.join(30)  # without an end to `queued`
        assert not draining.is_alive()
        assert not served.failures
    assert topics.committed() == {0: 2}
    assert [place(record)[1] for record in topics.answers()] == [0, 1]


def test_an_idle_group_has_offsets_and_marks_of_transactions_are_no_lag(topics: Topics) -> None:
    with serving(DisorderedCore(), topics.settings()):
        wait_until(lambda: topics.committed() == {0: 0, 1: 0, 2: 0})
        with producer(topics.broker, transactional_id=topics.name) as sender:
            sender.init_transactions()
            for end in (sender.commit_transaction, sender.abort_transaction):
                sender.begin_transaction()
                sender.send(topics.input, b"image", partition=0)
                sender.flush()
                end()
        wait_until(lambda: topics.committed()[0] == 4)  # two records, two marks
        assert len(topics.answers()) == 1


def test_a_poll_loop_with_nothing_to_do_costs_little(topics: Topics) -> None:
    with serving(DisorderedCore(), topics.settings()):
        wait_until(lambda: len(topics.committed()) == 3)
        time.sleep(0.5)
        start = time.process_time()
        time.sleep(2)
        assert time.process_time() - start < 0.5  # measured: 0.03; a busy loop takes 2


def test_missing_topics_are_named(broker: Broker) -> None:
    topics = Topics(broker)
    broker.create_topics({topics.output: 1})
    door = KafkaDoor(DisorderedCore(), topics.settings())
    with pytest.raises(SetupError, match=f"no topic {topics.input} and no topic {topics.rejects}"):
        door.start()
    door.stop()


def test_an_unreachable_broker_is_reported_with_its_cause_within_10_s(topics: Topics) -> None:
    start = time.monotonic()
    door = KafkaDoor(DisorderedCore(), topics.settings(brokers=f"127.0.0.1:{free_ports(1)[0]}"))
    with pytest.raises(SetupError, match="ECONNREFUSED"):
        door.start()
    door.stop()
    assert time.monotonic() - start < 10


def test_a_door_in_the_place_of_another_waits_for_brokers(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, delivery: str
) -> None:
    with Broker(tmp_path / "kafka") as broker:
        topics = Topics(broker).create()
        sent = topics.send([b"good"] * 6)
        broker.kill()
        core = DisorderedCore()
        door = KafkaDoor(core, topics.settings())
        failures: list[AssayError] = []
        door.on_failure(failures.append)
        door.resume()
        wait_until(lambda: caplog.text.count("; trying again") >= 4, 120)  # consumer and emitter, each again
        assert not failures
        broker.start()
        wait_until(lambda: topics.lag() == 0, 120)
        door.drain(30)
        assert not failures
        assert {place(record) for record in topics.answers()} == set(sent)


def test_waiting_for_brokers_ends_when_it_is_told_to(topics: Topics, delivery: str) -> None:
    door = KafkaDoor(DisorderedCore(), topics.settings(brokers=f"127.0.0.1:{free_ports(1)[0]}"))
    door.resume()
    door.drain(30)
    door.stop()


@pytest.mark.parametrize(
    ("changed", "cause"),
    [
        ({"security": "SSL"}, "Handshake failed"),
        ({"security": "SSL", "ca_file": "/no/such.pem"}, r"\(/no/such.pem\)"),
    ],
)
def test_tls_that_cannot_work_is_reported_with_its_cause(
    topics: Topics, changed: dict[str, str], cause: str
) -> None:
    door = KafkaDoor(DisorderedCore(), topics.settings(**changed))
    with pytest.raises(SetupError, match=cause):
        door.start()
    door.stop()


def test_settings_that_cannot_work_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"brokers": "b:9092", "input": "a", "output": "b", "rejects": "c", "group": "g"}
    with pytest.raises(ValueError, match="read and written"):
        KafkaSettings(**{**given, "rejects": "a"})
    with pytest.raises(ValueError, match="needs username and password"):
        KafkaSettings(**given, security="SASL_SSL", username="alice")
    with pytest.raises(ValueError, match="extra"):
        KafkaSettings(**given, brocker="x")
    monkeypatch.setenv("ASSAY_KAFKA_PASSWORD", "secret")
    settings = KafkaSettings(**given, security="SASL_SSL", username="alice")
    assert "secret" not in repr(settings)

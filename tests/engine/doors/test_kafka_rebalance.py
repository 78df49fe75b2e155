"""Partitions that come while the group is at work, on the real broker."""

import time

from kafka.admin import KafkaAdminClient, NewPartitions
from support.kafka import Topics

from assay.bench.broker import Broker
from assay.engine.doors.kafka import clients
from assay.engine.doors.kafka.assignment import Assignment, Rebalance


def test_a_join_that_outlasts_a_poll_is_finished_by_the_next(broker: Broker) -> None:
    """New partitions are found by this member itself, so no error of the broker makes it join again."""
    topics = Topics(broker, partitions=1).create()
    assignment = Assignment()
    consumer = clients.open_consumer(topics.settings())
    admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap)
    try:
        listener = Rebalance(assignment, consumer, commits=lambda: False, resumed=lambda partition: None)
        consumer.subscribe([topics.input], listener=listener)
        for count in (1, 2, 3):
            if count > 1:
                admin.create_partitions({topics.input: NewPartitions(count)})
            deadline = time.monotonic() + 15
            while len(assignment.partitions()) < count:
                assert time.monotonic() < deadline, f"{len(assignment.partitions())} of {count} partitions"
                consumer.poll(timeout_ms=1)
    finally:
        admin.close()
        consumer.close()

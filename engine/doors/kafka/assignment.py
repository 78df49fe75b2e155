"""The partitions that this member of the group owns now, and which of their offsets are to be committed.

Partitions come and go in the consumer's I/O thread while the thread that owns the consumer waits in `poll` or
`close`; other threads read.
"""

import logging
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from kafka import OffsetAndMetadata
from kafka.consumer.subscription_state import AsyncConsumerRebalanceListener
from kafka.errors import KafkaError

from assay.engine.doors.kafka.partition import Partition

log = logging.getLogger(__name__)

HAND_OVER_SECONDS = 1.0  # for acknowledgements of what was sent; the group waits as long

Offsets = dict[Any, Any]
"""kafka-python's `TopicPartition` -> `OffsetAndMetadata`."""


@dataclass(frozen=True, slots=True)
class Owned:
    """What one generation of the group gave this member: partitions by `TopicPartition`."""

    partitions: Mapping[Any, Partition] = field(default_factory=dict)
    membership: Any = None
    """kafka-python's `ConsumerGroupMetadata` of that generation; None before the first."""

    def uncommitted(self) -> dict[Any, int]:
        """Positions (`Partition.position`) that are not committed yet."""
        return {
            name: position
            for name, partition in self.partitions.items()
            if (position := partition.position) is not None and position != partition.committed
        }

    def committed(self, positions: Mapping[Any, int]) -> None:
        """The group's coordinator has noted `positions`."""
        for name, position in positions.items():
            if partition := self.partitions.get(name):
                partition.committed = position


def offsets(positions: Mapping[Any, int]) -> Offsets:
    """`positions` as kafka-python commits them."""
    return {name: OffsetAndMetadata(position, "", -1) for name, position in positions.items()}


class Assignment:
    """Owned partitions by `TopicPartition`."""

    def __init__(self) -> None:
        self._owned = Owned()  # replaced as a whole, so that other threads may read it

    @property
    def owned(self) -> Owned:
        """What is owned at this moment, and by which membership."""
        return self._owned

    def partitions(self) -> Mapping[Any, Partition]:
        """What is owned at this moment."""
        return self._owned.partitions

    @property
    def bytes(self) -> int:
        """Size of all records that were taken and have no acknowledged outcome."""
        return sum(partition.bytes for partition in self.partitions().values())

    @property
    def busy(self) -> bool:
        """Whether an outcome is still to come or to be acknowledged."""
        return any(partition.busy for partition in self.partitions().values())

    def suspend(self) -> None:
        """The group is rebalancing: send nothing, and wait a moment until all that was sent is acknowledged.

        Outcomes are sent in offset order, so with that a commit covers each of them and none comes twice.
        """
        partitions = self.partitions().values()
        for partition in partitions:
            partition.suspend()
        deadline = time.monotonic() + HAND_OVER_SECONDS
        while time.monotonic() < deadline and not all(one.settled for one in partitions):
            time.sleep(0.005)

    def assign(self, names: Collection[Any], membership: Any = None) -> list[Partition]:
        """The group gave us exactly these -> those that we had before, which go on where they were.

        kafka-python keeps the position of a partition that stays, so what was polled of it must stay too.
        """
        before = self.partitions()
        now = {name: before.get(name) or Partition() for name in names}
        self._owned = Owned(now, membership)
        for name in before.keys() - now.keys():
            before[name].close()
        kept = [before[name] for name in before.keys() & now.keys()]
        for partition in kept:
            partition.resume()
        return kept

    def lag(self, ends: Callable[[Any], int | None]) -> dict[Any, int]:
        """Records behind the committed offset, of partitions where it and the end (by `ends`) are known."""
        return {
            name: end - partition.committed
            for name, partition in self.partitions().items()
            if partition.committed is not None and (end := ends(name)) is not None
        }


class Rebalance(AsyncConsumerRebalanceListener):  # type: ignore[misc]
    """Keeps `assignment` as the group decides, and commits before partitions are handed over.

    It awaits that commit: the thread it runs in also sends the heartbeats. `commits` says whether it shall;
    `resumed` is called with each partition that stays. Relies on eager assignors: all partitions are
    revoked, then all that are ours are assigned.
    """

    def __init__(
        self,
        assignment: Assignment,
        consumer: Any,
        commits: Callable[[], bool],
        resumed: Callable[[Partition], None],
    ) -> None:
        self._assignment = assignment
        self._consumer = consumer
        self._commits = commits
        self._resumed = resumed

    async def on_partitions_revoked(self, revoked: Collection[Any]) -> None:
        # kafka-python 3.0.12 never finishes a join that new partitions (not the broker) called for and that
        # outlasts one `poll`: the next sees nothing to join for. This keeps the join wanted until it is done.
        self._consumer._coordinator.request_rejoin()
        try:
            self._assignment.suspend()
            owned = self._assignment.owned
            if self._commits() and (positions := owned.uncommitted()):
                await self._consumer.commit_async(offsets(positions))
                owned.committed(positions)
        except KafkaError as error:
            log.warning("offsets were not committed before the hand-over, so records come again: %s", error)

    async def on_partitions_assigned(self, assigned: Collection[Any]) -> None:
        log.info("assigned: %s", ", ".join(sorted(f"{name.topic}/{name.partition}" for name in assigned)))
        # Only now: a member that is joining has its new generation already, but still its old partitions.
        for partition in self._assignment.assign(assigned, self._consumer.group_metadata()):
            self._resumed(partition)

    async def on_partitions_lost(self, lost: Collection[Any]) -> None:
        log.warning("the group went on without this member: others get its unfinished records")
        self._assignment.assign([])

"""At least once: outcomes leave as they become ready, and offsets are committed behind what was acknowledged.

After a failure an outcome may arrive twice, never not at all.
"""

import time
from typing import Any

from kafka.errors import KafkaError

from assay.engine.doors.kafka import clients
from assay.engine.doors.kafka.emitter import INVALID, SILENCE_SECONDS, TOO_LARGE, Broken, Emitter, Refused
from assay.engine.doors.kafka.partition import Partition, Taken


class StreamEmitter(Emitter):
    """Keeps outcomes flowing; who owns the consumer commits their offsets."""

    def _open(self) -> Any:
        return clients.open_producer(self._settings, self._limits)

    def _send(self, partition: Partition) -> None:
        self._hand_over(partition, partition.ready())

    def _resume(self) -> None:
        for partition in self._assignment.partitions().values():
            if self._fault is None:
                self._hand_over(partition, partition.resend())

    def _watch(self) -> None:
        """kafka-python can lose sight of a partition's leader for good; silence is the only sign."""
        limit = time.monotonic() - SILENCE_SECONDS
        partitions = self._assignment.partitions().values()
        if any((since := partition.stalled_since) and since < limit for partition in partitions):
            self._fault = TimeoutError(f"no acknowledgement for {SILENCE_SECONDS:.0f} s")

    def _hand_over(self, partition: Partition, ready: list[Taken]) -> None:
        """Give outcomes to the producer."""
        generation = self._generation
        for taken in ready:
            answer = self._answer(partition, taken)
            if answer is None:
                if partition.halted:
                    return
                continue
            try:
                sent = self._producer.send(
                    answer.topic,
                    value=answer.value,
                    key=answer.key,
                    headers=answer.headers,
                    partition=answer.partition,
                )
            except KafkaError as error:
                self._fault = error  # what is left of `ready` counts as sent, and is sent again too
                return
            sent.add_callback(lambda _, taken=taken: self._acknowledged(partition, taken))
            sent.add_errback(
                lambda error, taken=taken, answer=answer: self._undelivered(
                    generation, Refused(partition, taken, answer, error)
                )
            )

    def _undelivered(self, generation: int, what: Refused) -> None:
        """Called in the producer's thread. Of a batch the record that is to blame is not always the first,
        and behind it all that was sent fails with its error."""
        refused = isinstance(what.error, TOO_LARGE + INVALID)
        if refused and self._refused is None and generation == self._generation:
            self._refused = what
        self._events.put(Broken(generation, what.error))

"""Which answer of a transaction is to blame where the brokers refuse one, in whatever order they say so."""

from collections.abc import Sequence
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from kafka.errors import (
    InvalidProducerEpochError,
    InvalidRecordError,
    KafkaError,
    KafkaTimeoutError,
    UnknownError,
)
from kafka.future import Future as Sent

from assay.engine.doors.kafka import KafkaSettings, transactions
from assay.engine.doors.kafka.answer import Answer
from assay.engine.doors.kafka.assignment import Assignment
from assay.engine.doors.kafka.partition import Partition, Taken
from assay.engine.doors.kafka.transactions import Part, TransactionEmitter

REFUSED = InvalidRecordError("it has no key")
BYSTANDER = KafkaError("part of a batch which had an invalid record")


class Producer:
    """Sends until `raises` records are sent; while it is flushed, records fail or arrive as `ends` tells."""

    def __init__(self, ends: Sequence[tuple[int, Exception | None]], raises: int = 99) -> None:
        self.ends, self.raises = ends, raises
        self.sent: list[Any] = []

    def send(self, *_: Any, **__: Any) -> Any:
        if len(self.sent) == self.raises:
            raise KafkaError("cannot perform send")
        self.sent.append(Sent())
        return self.sent[-1]

    def flush(self, _: float) -> None:
        ends, self.ends = self.ends, ()
        for number, error in ends:
            self.sent[number].failure(error) if error else self.sent[number].success(None)
        if ends:
            raise UnknownError("Future not done")  # a batch was split
        if not all(one.is_done for one in self.sent):
            raise KafkaTimeoutError


@pytest.fixture
def emitter() -> TransactionEmitter:
    settings = KafkaSettings(brokers="b:1", input="i", output="o", rejects="r", group="g")
    nothing: Any = lambda *_: None  # noqa: E731
    return TransactionEmitter(settings, Assignment(), nothing, nothing, nothing)


@pytest.fixture
def parts() -> list[Part]:
    records = [SimpleNamespace(offset=offset) for offset in range(4)]
    answer = Answer("o", 0, None, b"", [])
    return [(Partition(), Taken(record, 1, Future()), answer) for record in records]


@pytest.mark.parametrize(
    ("ends", "raises"),
    [
        ([(0, None), (1, None), (2, REFUSED), (3, None)], 99),
        ([(2, REFUSED), (0, REFUSED), (1, REFUSED), (3, REFUSED)], 99),  # kept back, and ended with its error
        ([(2, REFUSED), (3, REFUSED), (1, None), (0, REFUSED)], 99),
        ([(0, None), (1, BYSTANDER), (2, REFUSED), (3, BYSTANDER)], 99),
        ([(1, None), (0, None), (2, REFUSED)], 3),  # so fast that the next is not taken any more
        ([(2, REFUSED), (1, REFUSED), (0, None)], 3),
    ],
)
def test_the_one_that_failed_first_is_to_blame(
    emitter: TransactionEmitter, parts: list[Part], ends: Any, raises: int
) -> None:
    with pytest.raises(KafkaError):
        emitter._produce(Producer(ends, raises), parts)
    assert emitter._refused is not None
    assert emitter._refused.taken is parts[2][1]


@pytest.mark.parametrize("number", range(4))
def test_a_fenced_producer_is_not_waited_for(
    emitter: TransactionEmitter, parts: list[Part], number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transactions, "SILENCE_SECONDS", 0.0)
    with pytest.raises(InvalidProducerEpochError):
        emitter._produce(Producer([(number, InvalidProducerEpochError())]), parts)
    assert emitter._refused is None


def test_nobody_is_to_blame_for_a_send_that_failed_alone(
    emitter: TransactionEmitter, parts: list[Part]
) -> None:
    with pytest.raises(KafkaError, match="cannot perform send"):
        emitter._produce(Producer([(0, None)], raises=1), parts)
    assert emitter._refused is None

import threading
import time
from collections.abc import Callable

import pytest

from assay.engine.worker.pipeline import pipelined


class Front:
    """Hands out numbers, then is gone; keeps what was decoded and answered, in order."""

    def __init__(self, batches: list[int], lone: frozenset[int] = frozenset()) -> None:
        self.batches = iter(batches)
        self.lone = lone
        self.log: list[tuple[str, int]] = []
        self.slow: Callable[[str, int], None] = lambda what, batch: None

    def receive(self) -> int:
        try:
            return next(self.batches)
        except StopIteration:
            raise EOFError from None

    def decode(self, batch: int) -> str:
        self.log.append(("decode", batch))
        self.slow("decode", batch)
        self.log.append(("decoded", batch))
        return f"pixels {batch}"

    def answer(self, batch: int, decoded: str) -> None:
        assert decoded == f"pixels {batch}"
        self.log.append(("answer", batch))
        self.slow("answer", batch)
        self.log.append(("answered", batch))

    def run(self) -> None:
        pipelined(self.receive, lambda batch: batch in self.lone, self.decode, self.answer)

    def when(self, what: str, batch: int) -> int:
        return self.log.index((what, batch))


def test_batches_are_answered_in_order_until_the_front_is_gone() -> None:
    front = Front(list(range(20)))
    with pytest.raises(EOFError):
        front.run()
    assert [batch for what, batch in front.log if what == "answered"] == list(range(20))


def test_the_next_batch_is_decoded_while_one_is_answered() -> None:
    """Without the overlap this hangs: each batch waits in `answer` until the next one is decoded."""
    front = Front([0, 1, 2, 3])
    decoded = [threading.Event() for _ in range(4)]

    def slow(what: str, batch: int) -> None:
        if what == "decode":
            decoded[batch].set()
        elif batch < 3:
            assert decoded[batch + 1].wait(10)

    front.slow = slow
    with pytest.raises(EOFError):
        front.run()


def test_nothing_is_decoded_beside_a_lone_image() -> None:
    front = Front([0, 1, 2, 3, 4], lone=frozenset({2}))
    front.slow = lambda what, batch: time.sleep(0.01)
    with pytest.raises(EOFError):
        front.run()
    assert front.when("answered", 1) < front.when("decode", 2)
    assert front.when("answered", 2) < front.when("decode", 3)


def test_a_fault_in_decoding_comes_after_the_answers_before_it() -> None:
    """The front blames the oldest batch that is unanswered: that must be the one at fault."""
    front = Front([0, 1, 2, 3])

    def slow(what: str, batch: int) -> None:
        if (what, batch) == ("decode", 2):
            raise RuntimeError("the decoder broke")
        time.sleep(0.01)

    front.slow = slow
    with pytest.raises(RuntimeError, match="the decoder broke"):
        front.run()
    assert [batch for what, batch in front.log if what == "answered"] == [0, 1]


def test_a_fault_in_scoring_ends_it() -> None:
    front = Front([0, 1, 2])

    def slow(what: str, batch: int) -> None:
        if what == "answer":
            raise RuntimeError("the detector broke")

    front.slow = slow
    with pytest.raises(RuntimeError, match="the detector broke"):
        front.run()
    assert ("answered", 0) not in front.log

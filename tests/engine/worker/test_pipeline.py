import threading
import time
from collections.abc import Callable
from functools import partial

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
        pipelined(self.receive, lambda batch: batch in self.lone, [self.decode], self.answer)

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


class Stages:
    """Three batches or more at a time, of which each says where it is."""

    def __init__(self, count: int, lone: frozenset[int] = frozenset()) -> None:
        self.batches = iter(range(count))
        self.lone = lone
        self.busy: dict[str, int] = {}
        self.log: list[tuple[str, int]] = []
        self.changed = threading.Condition()
        self.until: Callable[[str, int], bool] = lambda step, batch: True

    def step(self, name: str, batch: int) -> int:
        with self.changed:
            self.busy[name] = batch
            self.log.append((name, batch))
            self.changed.notify_all()
            assert self.changed.wait_for(lambda: self.until(name, batch), 30), (name, batch, self.busy)
            return batch

    def receive(self) -> int:
        try:
            return next(self.batches)
        except StopIteration:
            raise EOFError from None

    def run(self) -> None:
        steps = [partial(self.step, "check"), partial(self.step, "decode")]
        with pytest.raises(EOFError):
            pipelined(
                self.receive,
                lambda batch: batch in self.lone,
                steps,
                lambda batch, made: self.step("answer", batch) and None,
            )


def test_a_batch_is_checked_while_one_is_decoded_and_one_is_answered() -> None:
    """Without the overlap this hangs: nothing goes on before all three are busy with a batch each."""
    stages = Stages(8)
    stages.until = lambda step, batch: (
        batch > 5
        or all(
            stages.busy.get(name, -1) >= batch + ahead
            for name, ahead in (("check", 2), ("decode", 1))
            if step == "answer"
        )
    )
    stages.run()
    assert [batch for step, batch in stages.log if step == "answer"] == list(range(8))


def test_pixels_of_two_batches_lie_on_the_device_and_no_more() -> None:
    stages = Stages(6)
    stages.until = lambda step, batch: (
        step != "answer" or stages.busy["check"] >= min(batch + 2, 5)  # whatever can be ahead is
    )
    stages.run()
    for place, (step, batch) in enumerate(stages.log):
        if step == "decode":
            answered = [number for name, number in stages.log[:place] if name == "answer"]
            assert batch <= len(answered) + 1


@pytest.mark.parametrize("lone", [0, 2, 4])
def test_a_lone_image_takes_each_step_with_nothing_beside_it(lone: int) -> None:
    stages = Stages(5, frozenset({lone}))
    stages.run()
    own = [place for place, (_, batch) in enumerate(stages.log) if batch == lone]
    assert [stages.log[place][0] for place in own] == ["check", "decode", "answer"]
    assert own == list(range(own[0], own[0] + 3))


@pytest.mark.parametrize("step", ["check", "decode"])
def test_a_fault_in_any_step_comes_after_the_answers_before_it(step: str) -> None:
    stages = Stages(5)
    right = stages.step

    def wrong(name: str, batch: int) -> int:
        if (name, batch) == (step, 3):
            raise RuntimeError("broken")
        return right(name, batch)

    stages.step = wrong  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="broken"):
        pipelined(
            stages.receive,
            lambda batch: False,
            [lambda batch: stages.step("check", batch), lambda batch: stages.step("decode", batch)],
            lambda batch, made: stages.step("answer", batch) and None,
        )
    assert [batch for name, batch in stages.log if name == "answer"] == [0, 1, 2]

"""The bridge loses no wake-up, hands each future over once, and batches what it may."""

import asyncio
import itertools
import threading
from collections import Counter
from concurrent.futures import Future

import pytest
from support.stub_core import StubCore, judge

from assay.engine.doors.bridge import Bridge
from assay.engine.doors.turns import HEAVY, IMAGES
from assay.engine.errors import EngineFault, SetupError
from assay.engine.item import Item
from assay.engine.outcome import Outcome, Verdict

THREADS = 4
EACH = 2000


class Recording(StubCore):
    def __init__(self) -> None:
        super().__init__()
        self.batches: list[list[int]] = []

    def submit(self, items, wait=False):  # type: ignore[no-untyped-def]
        self.batches.append([len(item.data) for item in items])
        return super().submit(items, wait)


def test_every_future_is_delivered_once_however_threads_race() -> None:
    async def scenario() -> Counter[Future[Outcome]]:
        loop = asyncio.get_running_loop()
        bridge = Bridge(StubCore(), loop)  # type: ignore[arg-type]
        delivered: Counter[Future[Outcome]] = Counter()
        futures = [[Future[Outcome]() for _ in range(EACH)] for _ in range(THREADS)]
        for future in itertools.chain(*futures):
            bridge.watch(future, lambda done: delivered.update([done]))
        outcome = judge(Item("a", b"x"))
        threads = [
            threading.Thread(target=lambda share=share: [each.set_result(outcome) for each in share])
            for share in futures
        ]
        for thread in threads:
            thread.start()
        async with asyncio.timeout(20):
            while delivered.total() < THREADS * EACH:
                await asyncio.sleep(0.001)
        await asyncio.sleep(0.01)
        return delivered

    delivered = asyncio.run(scenario())
    assert len(delivered) == THREADS * EACH
    assert set(delivered.values()) == {1}


def test_calls_of_one_turn_are_submitted_together() -> None:
    core = Recording()

    async def scenario() -> list[Outcome]:
        bridge = Bridge(core, asyncio.get_running_loop())  # type: ignore[arg-type]
        return await asyncio.gather(*(bridge.score(Item(str(n), b"x%d" % n)) for n in range(50)))

    outcomes = asyncio.run(scenario())
    assert [outcome.id for outcome in outcomes] == [str(n) for n in range(50)]
    assert [len(batch) for batch in core.batches] == [50]


def test_a_turn_has_no_more_calls_than_belong_in_it() -> None:
    core = Recording()
    small, large = [1] * (2 * IMAGES + 3), [HEAVY // 2 + 1] * 3 + [2 * HEAVY, 1, 1]

    async def scenario() -> list[Outcome]:
        bridge = Bridge(core, asyncio.get_running_loop())  # type: ignore[arg-type]
        return await asyncio.gather(*(bridge.score(Item("", b"x" * size)) for size in small + large))

    assert len(asyncio.run(scenario())) == len(small + large)
    assert [size for batch in core.batches for size in batch] == small + large
    assert all(len(batch) <= IMAGES for batch in core.batches)
    assert all(sum(batch) <= HEAVY or len(batch) == 1 for batch in core.batches)


def test_a_cancelled_call_cancels_its_item() -> None:
    core = StubCore()
    core.gate.clear()

    async def scenario() -> None:
        bridge = Bridge(core, asyncio.get_running_loop())  # type: ignore[arg-type]
        kept, left = (asyncio.create_task(bridge.score(Item(name, b"x"))) for name in ("kept", "left"))
        await asyncio.sleep(0.05)
        left.cancel()
        with pytest.raises(asyncio.CancelledError):
            await left
        async with asyncio.timeout(5):
            while core.used > 1:
                await asyncio.sleep(0.01)
        core.gate.set()
        assert (await kept).id == "kept"

    asyncio.run(scenario())


def test_a_call_cancelled_before_it_was_submitted_is_not() -> None:
    core = StubCore()

    async def scenario() -> None:
        bridge = Bridge(core, asyncio.get_running_loop())  # type: ignore[arg-type]
        left = asyncio.create_task(bridge.score(Item("left", b"x")))
        asyncio.get_running_loop().call_soon(left.cancel)
        with pytest.raises(asyncio.CancelledError):
            await left
        await asyncio.sleep(0.01)

    asyncio.run(scenario())
    assert core.taken == []


def test_a_lost_engine_reaches_the_caller() -> None:
    core = StubCore()
    core.gate.clear()

    async def scenario() -> None:
        bridge = Bridge(core, asyncio.get_running_loop())  # type: ignore[arg-type]
        waiting = asyncio.create_task(bridge.score(Item("a", b"x")))
        await asyncio.sleep(0.05)
        core.fault()
        with pytest.raises(EngineFault):
            await waiting
        with pytest.raises(EngineFault):  # submit itself raises now
            await bridge.score(Item("b", b"x"))

    asyncio.run(scenario())


def test_a_bundle_that_is_unloaded_meanwhile_fails_its_own_calls_alone() -> None:
    core = StubCore()

    async def scenario() -> list[Outcome | BaseException]:
        bridge = Bridge(core, asyncio.get_running_loop())  # type: ignore[arg-type]
        calls = [bridge.score(Item(str(n), b"x", "second" if n % 3 == 1 else None)) for n in range(9)]
        del core.bundles["second"]
        return await asyncio.gather(*calls, return_exceptions=True)

    for number, outcome in enumerate(asyncio.run(scenario())):
        if number % 3 == 1:
            assert isinstance(outcome, SetupError)
        else:
            assert isinstance(outcome, Verdict)
            assert outcome.id == str(number)


def test_futures_that_finish_after_the_loop_are_dropped() -> None:
    future: Future[Outcome] = Future()

    async def scenario() -> None:
        Bridge(StubCore(), asyncio.get_running_loop()).watch(future, lambda _: None)  # type: ignore[arg-type]

    asyncio.run(scenario())
    future.set_result(judge(Item("a", b"x")))

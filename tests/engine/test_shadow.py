"""A second bundle beside the one that answers: which images it sees, what is counted, whom it cannot harm."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY
from support.bundles import brightness_graph, plain_bundle
from support.images import encode, photograph

from assay.engine import shadow as shadow_module
from assay.engine.bundle import Bundle
from assay.engine.core import Core
from assay.engine.errors import BundleError
from assay.engine.item import Item
from assay.engine.outcome import Outcome, Reason, Rejection, Verdict
from assay.engine.settings import MIB, Settings
from assay.engine.shadow import Shadow, chosen
from assay.engine.ticket import Ticket
from assay.engine.worker.process import WorkerLost

INLINE = Settings(workers=0)


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.001)


def images(count: int) -> list[bytes]:
    return [encode(photograph(48, 64, seed=seed)) for seed in range(count)]


def left_out(why: str) -> float:
    return REGISTRY.get_sample_value("assay_shadow_left_out_total", {"why": why}) or 0.0


@pytest.fixture
def other(tmp_path: Path) -> Bundle:
    """Says the opposite, and takes no image with a side below 48."""
    folder = plain_bundle(tmp_path / "other", name="opposite", graph=brightness_graph(-8.0), min_side=48)
    return Bundle.load(folder)


class Seen:
    """What a shadow reported."""

    def __init__(self, shadow: Shadow) -> None:
        self.pairs: dict[str, tuple[Verdict, Outcome]] = {}
        shadow.on_score(self._note)

    def _note(self, verdict: Verdict, outcome: Outcome) -> None:
        assert outcome.id not in self.pairs
        self.pairs[outcome.id] = verdict, outcome


@pytest.fixture
def core(bundle: Bundle) -> Iterator[Core]:
    core = Core([bundle], INLINE)
    yield core
    core.stop()


def answers(core: Core, data: list[bytes]) -> list[Outcome]:
    futures = core.submit([Item(str(number), one) for number, one in enumerate(data)])
    return [future.result(60) for future in futures]


@given(st.binary(), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_holds_the_smaller_one(data: bytes, one: float, other: float) -> None:
    digest = sha256(data).digest()
    assert not chosen(digest, 0)
    assert chosen(digest, 1)
    assert chosen(digest, max(one, other)) or not chosen(digest, min(one, other))
    assert chosen(digest, one) == (int(digest.hex()[:16], 16) / 2**64 < one)


def test_the_share_is_scored_and_compared(core: Core, other: Bundle) -> None:
    shadow = Shadow(other, 0.5, INLINE)
    seen = Seen(shadow)
    core.on_verdict.append(shadow.see)
    data = images(24)
    outcomes = answers(core, [*data, b"none"])
    wanted = {str(number) for number, one in enumerate(data) if chosen(sha256(one).digest(), 0.5)}
    assert 4 < len(wanted) < 20
    until(lambda: seen.pairs.keys() >= wanted)
    shadow.stop()
    assert seen.pairs.keys() == wanted
    for name, (verdict, outcome) in seen.pairs.items():
        assert isinstance(outcome, Verdict)
        assert verdict == outcomes[int(name)]
        assert verdict.bundle == "brightness"
        assert (outcome.bundle, outcome.scores["plain"]) == (
            "opposite", pytest.approx(-verdict.scores["plain"], abs=1e-4)
        )  # fmt: skip
        labels = {
            "bundle": "brightness", "answered": verdict.label.value,
            "shadow": "opposite", "outcome": outcome.label.value,
        }  # fmt: skip
        assert REGISTRY.get_sample_value("assay_shadow_pairs_total", labels)
    assert REGISTRY.get_sample_value("assay_shadow_probability_count", {"bundle": "opposite"})


class Stand:
    """A worker of the shadow that stands still until it is let, and then does as it is told."""

    description = "still"
    pid = None

    def __init__(self, let: threading.Event, loses: bool) -> None:
        self._let, self._loses = let, loses
        self._counts: deque[int] = deque()

    def check(self) -> None: ...

    def send(self, tickets: Sequence[Ticket]) -> None:
        self._counts.append(len(tickets))

    def receive(self) -> list[Outcome]:
        assert self._let.wait(60)
        if self._loses:
            raise WorkerLost("it is gone")
        return [Rejection("", Reason.UNDECODABLE, "as told")] * self._counts.popleft()

    def interrupt(self) -> None:
        self._let.set()

    def kill(self) -> None: ...


@pytest.mark.parametrize("loses", [False, True])
def test_one_that_stands_still_or_is_lost_harms_nobody(
    core: Core, other: Bundle, loses: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    let = threading.Event()
    starts = iter([Stand(let, loses)])

    def start(*_: object) -> Stand:
        try:
            return next(starts)
        except StopIteration:
            raise WorkerLost("there is no other") from None

    monkeypatch.setattr("assay.engine.inline.InlineWorker", start)
    monkeypatch.setattr(shadow_module, "ROOM", 1 * MIB)
    shadow = Shadow(other, 1.0, INLINE)
    seen = Seen(shadow)
    core.on_verdict.append(shadow.see)
    before = left_out("no_room")
    outcomes = answers(core, images(1) * 400)
    assert all(isinstance(outcome, Verdict) for outcome in outcomes)
    until(lambda: left_out("no_room") > before)
    assert not seen.pairs
    let.set()
    if loses:
        gone = left_out("no_worker")
        until(lambda: left_out("no_worker") > gone or shadow._lost)
        answers(core, images(1))
        until(lambda: left_out("no_worker") > gone)
        assert not seen.pairs
    else:
        until(lambda: len(seen.pairs) == 400 - (left_out("no_room") - before))
        until(lambda: shadow._budget.used == 0)
        assert {outcome.reason for _, outcome in seen.pairs.values() if isinstance(outcome, Rejection)} == {
            Reason.UNDECODABLE
        }
    assert core.serving
    shadow.stop()


def test_images_too_small_for_it_are_left_out(core: Core, other: Bundle) -> None:
    shadow = Shadow(other, 1.0, INLINE)
    core.on_verdict.append(shadow.see)
    before = left_out("too_small")
    assert isinstance(answers(core, [encode(photograph(40, 64))])[0], Verdict)
    until(lambda: left_out("too_small") == before + 1)
    shadow.stop()


def test_one_that_cannot_be_served_says_so(tmp_path: Path) -> None:
    folder = plain_bundle(tmp_path / "broken", graph=b"no graph")
    with pytest.raises(BundleError, match="broken"):
        Shadow(Bundle.load(folder), 0.1, INLINE)


def test_an_image_is_hashed_once_by_cache_and_shadow_together(
    bundle: Bundle, other: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[bytes] = []

    def counting(data: bytes) -> object:
        hashed.append(data)
        return sha256(data)

    monkeypatch.setattr("assay.engine.ticket.hashlib", SimpleNamespace(sha256=counting))
    data = images(4)
    for cache in (MIB, 0):
        core = Core([bundle], INLINE, cache)
        shadow = Shadow(other, 0.5, INLINE)
        core.on_verdict.append(shadow.see)
        answers(core, data)
        core.stop()
        shadow.stop()
        assert sorted(hashed) == sorted(data)
        hashed.clear()


def test_its_defects_stay_with_it(core: Core, other: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> bool:
        raise OverflowError("a defect")

    monkeypatch.setattr(shadow_module, "chosen", fail)
    shadow = Shadow(other, 1.0, INLINE)
    core.on_verdict.append(shadow.see)
    assert all(isinstance(outcome, Verdict) for outcome in answers(core, images(3)))
    shadow.stop()

import random
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future, wait
from time import monotonic

import numpy as np
import pytest
from support.images import encode, evil, good

from assay.engine.admission import Header
from assay.engine.admission import admit as real_admit
from assay.engine.bundle import Bundle
from assay.engine.core import Core
from assay.engine.engine import Engine
from assay.engine.errors import EngineFault, SetupError
from assay.engine.item import Item, Priority
from assay.engine.outcome import Outcome, Reason, Rejection, Verdict
from assay.engine.settings import MIB, Limits, Settings

BRIGHT, DARK = good()["jpeg 4:2:0"].data, good()["png rgb"].data


def items(count: int, data: bytes = BRIGHT) -> list[Item]:
    return [Item(str(number), data) for number in range(count)]


def test_every_input_gets_its_own_single_outcome_among_bad_neighbours(core: Core) -> None:
    small = frozenset({Reason.TOO_SMALL})
    samples = [
        (name, one.data, small if min(one.pixels.shape[:2]) < 8 else None) for name, one in good().items()
    ]
    samples += [(name, one.data, one.reasons) for name, one in evil().items()]
    random.Random(1).shuffle(samples)
    futures = core.submit([Item(name, data) for name, data, _ in samples], wait=True)
    for (name, _, reasons), future in zip(samples, futures, strict=True):
        outcome = future.result(60)
        assert outcome.id == name
        if reasons is None:
            assert isinstance(outcome, Verdict), outcome
        else:
            assert isinstance(outcome, Rejection), name
            assert outcome.reason in reasons


@pytest.mark.parametrize("name", ["jpeg 4:2:0", "png rgb"])
def test_the_score_is_what_the_network_computes(core: Core, name: str) -> None:
    sample = good()[name]
    outcome = core.submit([Item(name, sample.data)])[0].result(60)
    assert isinstance(outcome, Verdict)
    # the network's answer is 8 times the mean of values in -1..1; resizing keeps the mean up to its edges
    assert outcome.scores["plain"] == pytest.approx(8 * (sample.pixels.mean() / 127.5 - 1), abs=0.3)
    assert outcome.probability == pytest.approx(1 / (1 + np.exp(-outcome.scores["plain"] / 2)), abs=1e-6)
    assert outcome.seconds.keys() == {"queue", "held", "decode", "view", "classify"}


def test_workers_and_the_same_process_agree(core: Core, inline: Core) -> None:
    samples = [Item(name, one.data) for name, one in good().items() if min(one.pixels.shape[:2]) >= 8]
    for ours, theirs in zip(core.submit(samples), inline.submit(samples), strict=True):
        one, other = ours.result(60), theirs.result(60)
        assert isinstance(one, Verdict)
        assert isinstance(other, Verdict)
        assert one.scores == other.scores


def test_a_passed_deadline_is_answered_without_scoring(core: Core) -> None:
    late = Item("late", BRIGHT, deadline=monotonic() - 1)
    outcome = core.submit([late])[0].result(60)
    assert isinstance(outcome, Rejection)
    assert outcome.reason is Reason.DEADLINE


def test_a_defect_of_admission_hurts_only_the_image_that_found_it(
    inline: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    def admit(data: bytes, *limits: object) -> Header:
        if data == DARK:
            raise OverflowError("too large an index")
        return real_admit(data, *limits)  # type: ignore[arg-type]

    monkeypatch.setattr("assay.engine.core.core.admit", admit)
    outcomes = [future.result(60) for future in inline.submit([*items(2), Item("bad", DARK), *items(2)])]
    refused = [outcome for outcome in outcomes if isinstance(outcome, Rejection)]
    assert [(outcome.id, outcome.reason) for outcome in refused] == [("bad", Reason.INTERNAL)]
    assert "OverflowError" in refused[0].detail


def test_an_unknown_bundle_takes_none_of_the_items(core: Core) -> None:
    with pytest.raises(SetupError, match="'nobody' is not served here; served: brightness"):
        core.submit([Item("1", BRIGHT), Item("2", BRIGHT, bundle="nobody")])
    assert core._budget.used == 0


def test_an_id_is_in_the_budget(inline: Core, bundle: Bundle) -> None:
    short, long = (inline._admit(Item("i" * size, BRIGHT), bundle, Future()).bytes for size in (1, 1001))
    assert long - short == 1000


@pytest.fixture
def narrow(bundle: Bundle) -> Iterator[Core]:
    """A core whose budget holds only a few images."""
    limits = Limits(max_bytes=1 * MIB, max_pixels=100_000)
    core = Core([bundle], Settings(workers=0, memory=4 * MIB, limits=limits))
    yield core
    core.stop()


def test_without_room_items_are_overloaded_and_kept_ones_are_answered(narrow: Core) -> None:
    outcomes = [future.result(60) for future in narrow.submit(items(500))]
    reasons = {outcome.reason for outcome in outcomes if isinstance(outcome, Rejection)}
    assert reasons == {Reason.OVERLOADED}
    assert any(isinstance(outcome, Verdict) for outcome in outcomes)
    assert narrow._budget.used == 0


def test_offer_takes_a_prefix_and_never_overloads(narrow: Core) -> None:
    left, outcomes = items(500), []
    while left:
        futures = narrow.offer(left)
        assert len(futures) <= len(left)
        left = left[len(futures) :]
        outcomes += [future.result(60) for future in futures]
    assert len(outcomes) == 500
    assert all(isinstance(outcome, Verdict) for outcome in outcomes)


def test_waiting_for_room_scores_everything_within_the_budget(narrow: Core) -> None:
    most = 0
    stop = threading.Event()

    def watch() -> None:
        nonlocal most
        while not stop.wait(0.0005):
            most = max(most, narrow._budget.used)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        outcomes = [future.result(60) for future in narrow.submit(items(500), wait=True)]
    finally:
        stop.set()
        watcher.join()
    assert all(isinstance(outcome, Verdict) for outcome in outcomes)
    assert 0 < most <= narrow._budget.limit(Priority.BACKLOG)


def test_cancelled_items_are_dropped_and_their_bytes_returned(inline: Core) -> None:
    futures = inline.submit(items(200))
    cancelled = [future for future in futures[100:] if future.cancel()]
    assert cancelled
    wait(futures, 60)
    for future in cancelled:
        with pytest.raises(CancelledError):
            future.result()
    assert inline._budget.used == 0


def test_interactive_items_overtake_the_backlog(inline: Core) -> None:
    order: list[str] = []
    backlog = inline.submit([Item(f"backlog-{number}", BRIGHT) for number in range(100)])
    urgent = inline.submit([Item("urgent", BRIGHT, priority=Priority.INTERACTIVE)])
    for future in [*backlog, *urgent]:
        future.add_done_callback(lambda done: order.append(done.result().id))
    wait([*backlog, *urgent], 60)
    assert order.index("urgent") < 30


def test_stopping_answers_what_was_taken_and_refuses_what_comes_later(bundle: Bundle) -> None:
    core = Core([bundle], Settings(workers=1))
    futures = core.submit(items(100))
    core.stop()
    assert all(isinstance(future.result(0), Verdict) for future in futures)
    with pytest.raises(EngineFault, match="stopped"):
        core.submit(items(1))
    assert not core.serving


def test_stopping_at_once_leaves_no_future_open(bundle: Bundle) -> None:
    core = Core([bundle], Settings(workers=1))
    futures = core.submit(items(2000))
    core.stop(0.0)
    for future in futures:
        assert future.done()
        assert isinstance(_settled(future), Verdict | EngineFault)
    assert core._budget.used == 0


def _settled(future: "Future[Outcome]") -> Outcome | BaseException:
    return future.exception(0) or future.result(0)


def test_a_budget_below_the_largest_image_is_refused_at_the_start(bundle: Bundle) -> None:
    with pytest.raises(SetupError, match="too small"):
        Core([bundle], Settings(workers=0, memory=100 * MIB))


def test_an_image_that_the_budget_can_never_hold_is_refused_not_waited_for(narrow: Core) -> None:
    heavy = encode(np.zeros((310, 320, 3), np.uint8), "WEBP", lossless=True)
    fits = encode(np.zeros((310, 320, 3), np.uint8), "JPEG")
    narrow._budget.total = 2 * MIB
    first, second = narrow.submit([Item("heavy", heavy), Item("fits", fits)], wait=True)
    outcome = first.result(60)
    assert isinstance(outcome, Rejection)
    assert outcome.reason is Reason.TOO_MANY_PIXELS
    assert "memory budget" in outcome.detail
    assert isinstance(second.result(60), Verdict)


def test_no_bundle_or_one_twice_is_refused(bundle: Bundle) -> None:
    for bundles in ([], [bundle, bundle]):
        with pytest.raises(SetupError, match="at least one bundle"):
            Core(bundles, Settings(workers=0))


def test_the_engine_takes_one_or_many(bundle: Bundle) -> None:
    with Engine(bundle, settings=Settings(workers=0)) as engine:
        assert isinstance(engine.score(BRIGHT), Verdict)
        outcomes = engine.score([BRIGHT, b"", DARK])
        assert [type(outcome) for outcome in outcomes] == [Verdict, Rejection, Verdict]
        assert [outcome.id for outcome in outcomes] == ["0", "1", "2"]
        assert engine.score([]) == []

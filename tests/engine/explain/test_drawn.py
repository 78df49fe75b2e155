"""Evidence that a worker draws within an outcome: the verdict stays, and the batch is its own."""

import base64
import io
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support import apn, fusing, lnp
from support.bundles import plain_bundle
from support.images import encode, photograph

from assay.engine.admission import Header
from assay.engine.bundle import Bundle
from assay.engine.core import Core
from assay.engine.core.queue import BatchLimits, Queue
from assay.engine.item import Item, Priority
from assay.engine.outcome import Outcome, Reason, Rejection, Verdict
from assay.engine.settings import Settings
from assay.engine.ticket import Ticket

MAKERS: dict[str, Callable[[Path], Path]] = {
    "plain": plain_bundle,
    "fusing": fusing.brightness_bundle,
    "apn": apn.bands_bundle,
    "lnp": lnp.mean_bundle,
}


def scored(core: Core, *items: Item) -> list[Outcome]:
    return [future.result(60) for future in core.submit(items)]


def drawn(data: bytes) -> Item:
    return Item("a", data, priority=Priority.INTERACTIVE, drawn=True)


def without_pictures(verdict: Outcome) -> tuple[Any, ...]:
    assert isinstance(verdict, Verdict)
    evidence = {name: each for name, each in verdict.evidence.items() if name != "pictures"}
    return verdict.label, verdict.probability, verdict.scores, evidence, verdict.doubts


@pytest.mark.parametrize("kind", MAKERS)
def test_pictures_come_beside_the_served_verdict(kind: str, tmp_path: Path) -> None:
    core = Core([Bundle.load(MAKERS[kind](tmp_path))], Settings(workers=0))
    data = encode(photograph(300, 420))
    first, second = scored(core, drawn(data), replace(drawn(data), drawn=False))
    assert without_pictures(first) == without_pictures(second)
    assert isinstance(first, Verdict)
    pictures = first.evidence["pictures"]
    assert len(pictures) > 1
    for each in pictures:
        with Image.open(io.BytesIO(base64.b64decode(each["webp"], validate=True))) as image:
            assert (image.format, image.size) == ("WEBP", (each["width"], each["height"]))
    core.stop()


def test_a_worker_process_draws_and_refuses_as_it_scores(tmp_path: Path) -> None:
    core = Core([Bundle.load(plain_bundle(tmp_path))], Settings(workers=1))
    data = encode(photograph(300, 420))
    outcomes = scored(core, drawn(data), drawn(data[: len(data) // 2]), drawn(b"text"), drawn(data))
    assert isinstance(outcomes[0], Verdict)
    assert outcomes[0].evidence["pictures"]
    assert without_pictures(outcomes[0]) == without_pictures(outcomes[3])
    reasons = [outcome.reason for outcome in outcomes[1:3] if isinstance(outcome, Rejection)]
    assert reasons == [Reason.TRUNCATED, Reason.UNSUPPORTED_FORMAT]
    core.stop()


@pytest.mark.parametrize(
    "order", [(True, False, False), (False, True, False), (False, False, True), (True, True)]
)
def test_what_is_drawn_is_alone_in_its_batch(order: tuple[bool, ...]) -> None:
    queue = Queue(BatchLimits(16, 1 << 20, 1 << 30))
    tickets = [
        Ticket(replace(drawn(b"one"), drawn=each), "first", Header("jpeg", 8, 8), 10, number, Future())
        for number, each in enumerate(order)
    ]
    queue.put(tickets)
    batches = []
    while len(queue):
        batches.append(queue.take(wait=True))
    assert [ticket for batch in batches for ticket in batch] == tickets
    assert all(len(batch) == 1 for batch in batches if any(ticket.item.drawn for ticket in batch))
    assert len(batches) < len(order) or order in ((False, True, False), (True, True))

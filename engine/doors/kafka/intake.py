"""From a polled record to the core: what the core has no room for yet waits here, in the order of the poll.

Only the thread that owns the consumer calls it."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence, Set
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice, takewhile
from typing import Any, Protocol

from assay.engine import telemetry
from assay.engine.core.together import together
from assay.engine.doors.kafka.batches import Unreadable
from assay.engine.doors.kafka.claims import Claims
from assay.engine.doors.kafka.partition import Partition, Taken
from assay.engine.doors.kafka.records import Unanswerable, record_size, to_item
from assay.engine.doors.kafka.references import check_installed, read_root, reference
from assay.engine.doors.kafka.settings import KafkaSettings
from assay.engine.item import Item
from assay.engine.outcome import Outcome

OFFER = 64  # records offered to the core at once


class Core(Protocol):
    """What this door needs of the core."""

    def offer(self, items: Sequence[Item]) -> list[Future[Outcome]]:
        """Takes items from the front while there is room."""


@dataclass(frozen=True, slots=True)
class _Held:
    """A record that was polled and that the core has not taken yet."""

    partition: Partition
    record: Any
    item: Item | None  # of an `Unreadable` none
    reference: bytes | None = None


class Intake:
    """Has a length: records that wait here.

    `changed` is called from any thread when there is more to offer; `finished` with the partition of each
    record that `core` took, and its outcome.

    Raises:
        SetupError: what reads references is not installed.
    """

    def __init__(
        self,
        core: Core,
        settings: KafkaSettings,
        changed: Callable[[], None],
        finished: Callable[[Partition, Future[Outcome]], None],
    ) -> None:
        self._core = core
        self._id_header = settings.id_header
        self._finished = finished
        self._held: deque[_Held] = deque()
        self._claims = _claims(core, settings, changed) if settings.reference_roots else None

    def __len__(self) -> int:
        return len(self._held)

    @property
    def reading(self) -> int:
        """Bytes that are reserved for what records refer to."""
        return self._claims.used if self._claims else 0

    def partitions(self) -> Set[Partition]:
        """Those of which a record waits here."""
        return {held.partition for held in self._held}

    def hold(self, polled: Mapping[Any, Sequence[Any]], owned: Mapping[Any, Partition]) -> None:
        """Take records that a poll brought, of those partitions that are `owned` after it, and let go of
        those whose partitions went away in it."""
        if any(held.partition.closed for held in self._held):
            self._held = deque(held for held in self._held if not held.partition.closed)
        for name, records in polled.items():
            if partition := owned.get(name):
                for record in records:
                    readable = not isinstance(record, Unreadable)
                    item = to_item(record, self._id_header) if readable else None
                    said = reference(record) if item and self._claims else None
                    self._held.append(_Held(partition, record, item, said))

    def clear(self) -> None:
        """Let go of what waits: neither taken nor committed, it is polled again by the next member."""
        self._held.clear()

    def offer(self) -> None:
        """Offer what waits, while the core has room."""
        if self._claims and not self._offer_read(self._claims):
            return
        while self._held:
            ahead = list(islice(self._held, OFFER))
            items = [held.item for held in takewhile(_has_bytes, ahead) if held.item]
            futures = self._core.offer(items) if items else [self._without_bytes(ahead[0])]
            with together():  # what is answered at once
                for held, future in zip(ahead, futures, strict=False):
                    self._held.popleft()
                    trace = held.item.trace if held.item else None
                    held.partition.take(Taken(held.record, record_size(held.record), future, trace))
                    future.add_done_callback(partial(self._finished, held.partition))
            if len(futures) < len(items):
                return

    def close(self) -> None:
        """Read nothing more of what records refer to."""
        if self._claims:
            self._claims.close()

    def _offer_read(self, claims: Claims) -> bool:
        """Offer what records referred to -> whether the core has room for more."""
        claims.expire()
        while claims.read:
            claim, data = claims.read[0]
            if claim.outcome.done():  # taken back
                claims.read.popleft()
                claims.drop(claim)
                continue
            futures = self._core.offer([replace(claim.item, data=data)])
            if not futures:
                return False
            claims.read.popleft()
            claims.offered(claim, futures[0])
        return True

    def _without_bytes(self, held: _Held) -> Future[Outcome]:
        if held.item and held.reference and self._claims:
            return self._claims.take(held.item, held.reference)
        failed: Future[Outcome] = Future()
        failed.set_exception(Unanswerable(f"it cannot be read: {held.record.why}"))
        return failed


def _has_bytes(held: _Held) -> bool:
    return held.item is not None and held.reference is None


def _claims(core: Any, settings: KafkaSettings, changed: Callable[[], None]) -> Claims:
    check_installed(settings.reference_roots)
    bundle = next(iter(core.bundles))
    return Claims(
        [read_root(url) for url in settings.reference_roots],
        settings.reference_seconds,
        core.settings.limits,
        settings.window,
        changed,
        lambda rejection: telemetry.count(rejection, bundle),
    )

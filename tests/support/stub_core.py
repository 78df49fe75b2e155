"""A core without an engine, for tests of doors: it scores by looking at the bytes, when it is told to."""

import hashlib
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from types import SimpleNamespace

from assay.engine.errors import EngineFault, SetupError
from assay.engine.item import Item
from assay.engine.outcome import Label, Outcome, Reason, Rejection, Verdict
from assay.engine.settings import Limits


def judge(item: Item) -> Outcome:
    """The outcome of an item, a pure function of its bytes: `bad...` is undecodable."""
    if not item.data:
        return Rejection(item.id, Reason.EMPTY, "there are no bytes")
    if item.data.startswith(b"bad"):
        return Rejection(item.id, Reason.UNDECODABLE, "bad bytes", {"bytes": len(item.data)})
    probability = int.from_bytes(hashlib.sha256(item.data).digest()[:4], "big") / 2**32
    label = Label.SYNTHETIC if probability > 0.5 else Label.AUTHENTIC
    return Verdict(
        item.id, label, probability, {"stub": probability}, item.bundle or "first", "1.0.0",
        {"boxes": [[0, 1, 2.5]], "face": None}, {"decode": 0.25},
    )  # fmt: skip


class StubCore:
    """Has the methods of `Core`. `room` is its budget in encoded bytes; `gate` is cleared to hold images."""

    def __init__(self, room: int = 1 << 40) -> None:
        self.bundles = {
            name: SimpleNamespace(name=name, version="1.0.0", kind="plain") for name in ("first", "second")
        }
        self.settings = SimpleNamespace(limits=Limits())
        self.room = room
        self.refusing: float | None = None
        self.used = 0
        self.taken: list[Item] = []
        self.on_verdict: list[Callable[..., None]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.serving = True
        self._waiting: deque[tuple[Item, Future[Outcome]]] = deque()
        self._changed = threading.Condition()
        self._watchers: list[Callable[[EngineFault], None]] = []
        self._thread = threading.Thread(target=self._score, daemon=True)
        self._thread.start()

    def submit(self, items: Sequence[Item], wait: bool = False) -> list[Future[Outcome]]:
        futures = []
        for item in items:
            while not (taken := self.offer([item])) and wait:
                time.sleep(0.001)
            if not taken:
                taken = [Future()]
                taken[0].set_result(Rejection(item.id, Reason.OVERLOADED, "no room"))
            futures += taken
        return futures

    def pause(self, coming: int = 0) -> float | None:
        return self.refusing

    def offer(self, items: Sequence[Item]) -> list[Future[Outcome]]:
        if not self.serving:
            raise EngineFault("no worker is left")
        for item in items:
            if item.bundle is not None and item.bundle not in self.bundles:
                raise SetupError(f"no bundle {item.bundle}")
        futures: list[Future[Outcome]] = []
        with self._changed:
            for item in items:
                if self.used + len(item.data) > self.room:
                    break
                self.used += len(item.data)
                self.taken.append(item)
                futures.append(Future())
                self._waiting.append((item, futures[-1]))
            self._changed.notify()
        return futures

    def on_fault(self, callback: Callable[[EngineFault], None]) -> None:
        self._watchers.append(callback)

    def fault(self) -> None:
        """Loses the last worker."""
        self.serving = False
        error = EngineFault("no worker is left")
        with self._changed:
            while self._waiting:
                future = self._waiting.popleft()[1]
                if future.set_running_or_notify_cancel():
                    future.set_exception(error)
        for watcher in self._watchers:
            watcher(error)

    def stop(self, timeout: float | None = None) -> None:
        self.serving = False
        with self._changed:
            self._changed.notify()
        self.gate.set()
        self._thread.join()

    def _score(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or not self.serving)
            while not self.gate.wait(0.01):
                if self._reap():
                    break
            with self._changed:
                if not self._waiting:
                    if self.serving:
                        continue
                    return
                item, future = self._waiting.popleft()
                self.used -= len(item.data)
            if future.set_running_or_notify_cancel():
                late = item.deadline is not None and item.deadline < time.monotonic()
                future.set_result(Rejection(item.id, Reason.DEADLINE, "too late") if late else judge(item))

    def _reap(self) -> bool:
        """While the gate is shut: frees cancelled images; true when the first one's deadline has passed."""
        with self._changed:
            for pair in [pair for pair in self._waiting if pair[1].cancelled()]:
                self._waiting.remove(pair)
                self.used -= len(pair[0].data)
            first = self._waiting[0][0] if self._waiting else None
            return not self.serving or bool(first and first.deadline and first.deadline < time.monotonic())


class Switch:
    """Whether a server is ready, as a test says."""

    on = True

    def __call__(self) -> bool:
        return self.on

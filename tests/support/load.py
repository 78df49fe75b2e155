"""A clock that tests turn, and targets that answer by it: loops without waiting."""

import heapq
import itertools
import threading
from collections.abc import Callable

from assay.engine.load.target import Answer, Answered
from assay.engine.outcome import Label, Verdict

VERDICT = Verdict(
    "", Label.AUTHENTIC, 0.1, {"stub": -2.0}, "stub", "1.0.0", {}, {"queue": 0.25, "decode": 0.5}
)


class HandClock:
    """Time passes only where somebody waits, and then by leaps to what is due next."""

    def __init__(self) -> None:
        self.time = 100.0
        self._order = itertools.count()
        self._due: list[tuple[float, int, Callable[[], object]]] = []

    def now(self) -> float:
        return self.time

    def wait(self, changed: threading.Condition, until: float) -> None:
        if self._due and self._due[0][0] <= until:
            when, _, call = heapq.heappop(self._due)
            self.time = max(self.time, when)
            call()
        else:
            self.time = max(self.time, until)

    def call(self, when: float, what: Callable[[], object]) -> None:
        heapq.heappush(self._due, (when, next(self._order), what))


class OneByOne:
    """Scores an image in `seconds`, one after the other, and nothing during `stall` (start and end)."""

    place = "a stub"

    def __init__(
        self,
        clock: HandClock,
        seconds: float,
        stall: tuple[float, float] = (0.0, 0.0),
        holds: int = 10_000,
        answer: Callable[[int], Answer] = lambda number: VERDICT,
    ) -> None:
        self.holds = holds
        self.numbers: list[int] = []
        self.under_way = self.most = 0
        self._clock = clock
        self._seconds = seconds
        self._stall = stall
        self._answer = answer
        self._free = clock.now()

    def send(self, number: int, answered: Answered) -> None:
        self.numbers.append(number)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        end = max(self._free, self._clock.now()) + self._seconds
        if self._stall[0] < end <= self._stall[1]:
            end = self._stall[1] + self._seconds
        self._free = end

        def done() -> None:
            self.under_way -= 1
            answered(self._answer(number))

        self._clock.call(end, done)

    def close(self) -> None:
        """Nothing to give up."""

"""Sends images to a target, open or closed loop, and writes down what comes back."""

import threading
from collections.abc import Callable, Sequence
from functools import partial
from heapq import heappop, heappush
from time import process_time

from assay.engine.errors import AssayError, SetupError
from assay.engine.load.arrivals import MOST
from assay.engine.load.clock import Clock, WallClock
from assay.engine.load.samples import Samples
from assay.engine.load.target import PAUSE, Answer, Failure, Target
from assay.engine.outcome import Reason, Rejection

FIRST = 60.0
"""Seconds within which the first answer has to come."""
PATIENCE = 30.0
"""Seconds that are given to what is unanswered when the last image was sent."""
LATE = 1.0
"""Seconds of lateness after which a client stops: it cannot keep this rate up."""
LOST = 100
"""Images in a row without an outcome, after which a target may be lost: a full server refuses many."""
LOST_SECONDS = 2.0
"""Seconds without any outcome after which it is."""
TICK = 0.2
"""Seconds between looks of whoever watches."""

Watch = Callable[[float, int], None]
"""Told the seconds since a loop began, and how many images were answered."""


REST = 0.1
"""Seconds for which a place of a closed loop rests whose image was refused, where the server names none."""


class Lost(AssayError):
    """The target answers no more; `samples` are those until then."""

    def __init__(self, sentence: str, samples: Samples) -> None:
        super().__init__(sentence)
        self.samples = samples


class Stopped(Exception):
    """Somebody pressed Ctrl-C; `samples` are those until then."""

    def __init__(self, samples: Samples) -> None:
        super().__init__()
        self.samples = samples


class Loop:
    """Sends images to one target, one round after the other. Every image of it has another number.

    watch: told how far a round is, every `TICK`; window: called with True when the warm-up is over, and with
    False when the last answer is there or was given up.
    """

    def __init__(
        self,
        target: Target,
        clock: Clock | None = None,
        watch: Watch = lambda seconds, answered: None,
        window: Callable[[bool], object] = lambda open: None,
    ) -> None:
        self._target = target
        self._clock = clock or WallClock()
        self._watch = watch
        self._window = window
        self._changed = threading.Condition()
        self._number = 0
        self._begin(Samples())

    def closed(self, outstanding: int, warm_up: float, seconds: float) -> Samples:
        """Keep `outstanding` images under way for `seconds`, after `warm_up` seconds since the first answer.

        Raises SetupError where no image gets an outcome at first, Lost or Stopped later.
        """
        samples = Samples()
        return self._run(samples, partial(self._closed, samples, outstanding, warm_up, seconds))

    def open(self, moments: Sequence[float], warm_up: float, seconds: float) -> Samples:
        """Send an image at each of `moments`, in seconds from now and in order, whatever comes back: those of
        `seconds` count that follow on `warm_up`.

        Raises Lost or Stopped.
        """
        samples = Samples()
        return self._run(samples, partial(self._open, samples, moments, warm_up, seconds))

    def _begin(self, samples: Samples) -> None:
        with self._changed:
            self._samples = samples  # late answers of the round before go to the samples of that
            self._answered = self._under_way = self._failed = 0
            self._failure = Failure("", "")
            self._last = self._clock.now()
            """When the last outcome came."""
            self._heard = False
            """Whether the thread that sends waits for answers."""
            self._resting: list[float] = []
            """A heap of the moments until which places of a closed loop rest: if one that is refused asked
            again at once, refusals would be measured."""
        self._start = self._next_look = self._clock.now()

    def _run(self, samples: Samples, send: Callable[[], None]) -> Samples:
        self._begin(samples)
        used = process_time()
        try:
            try:
                send()
            finally:
                now = self._clock.now()
                samples.ended = min(samples.ended, now)
                samples.client_cores = (process_time() - used) / max(now - self._start, 1e-9)
            self._wait(self._clock.now() + PATIENCE, lambda: not self._under_way)
        except KeyboardInterrupt:
            raise Stopped(samples) from None
        finally:
            self._window(False)
        return samples

    def _closed(self, samples: Samples, outstanding: int, warm_up: float, seconds: float) -> None:
        for _ in range(outstanding):
            self._send(self._clock.now())
        self._wait(self._start + FIRST, lambda: bool(self._answered) or not self._under_way)
        if not self._answered:
            why = self._failure.sentence or f"no answer came within {FIRST:g} s"
            raise SetupError(f"{self._target.place}: {why}")
        self._keep(outstanding, self._clock.now() + warm_up)
        self._window(True)
        samples.began = self._clock.now()
        self._keep(outstanding, samples.began + seconds)

    def _keep(self, outstanding: int, until: float) -> None:
        while len(self._samples.sent) < MOST:
            self._wait(until, lambda: self._under_way + self._at_rest() < outstanding)
            if (now := self._clock.now()) >= until:
                return
            self._send(now)

    def _at_rest(self) -> int:
        now = self._clock.now()
        while self._resting and self._resting[0] <= now:
            heappop(self._resting)
        return len(self._resting)

    def _open(self, samples: Samples, moments: Sequence[float], warm_up: float, seconds: float) -> None:
        samples.began = self._start + warm_up
        samples.ended = samples.began + seconds
        begun = False
        for moment in moments:
            due = self._start + moment
            if not begun and due >= samples.began:
                begun = self._begin_window(samples)
            self._wait(due)
            if self._clock.now() - due > LATE:
                samples.fell_behind = "client"
                return
            if self._under_way >= self._target.holds:
                samples.fell_behind = "server"
                return
            self._send(due)
        if not begun:
            self._begin_window(samples)
        self._wait(samples.ended)

    def _begin_window(self, samples: Samples) -> bool:
        self._wait(samples.began)
        self._window(True)
        return True

    def _send(self, intended: float) -> None:
        with self._changed:
            place = self._samples.add(intended, self._clock.now())
            self._under_way += 1
        self._number += 1
        self._target.send(self._number, partial(self._note, self._samples, place))

    def _note(self, samples: Samples, place: int, answer: Answer) -> None:
        with self._changed:
            now = self._clock.now()
            samples.note(place, answer, now)
            if samples is not self._samples:
                return
            self._under_way -= 1
            if (rest := _rest(answer)) is not None:
                heappush(self._resting, now + rest)
            if isinstance(answer, Failure):
                self._failed += 1
                self._failure = answer
            else:
                self._failed = 0
                self._last = now
                self._answered += 1
            if self._heard:
                self._changed.notify()

    def _wait(self, until: float, done: Callable[[], bool] | None = None) -> None:
        """Until a moment, or until something is `done` by answers. Raises Lost."""
        while True:
            now = self._clock.now()
            if now >= self._next_look:
                self._next_look = now + TICK
                self._watch(now - self._start, self._answered)
            with self._changed:
                if self._failed >= LOST and now - self._last >= LOST_SECONDS:
                    raise Lost(f"{self._target.place}: {self._failure.sentence}", self._samples)
                if now >= until or (done and done()):
                    return
                self._heard = done is not None
                rested = next((end for end in self._resting[:1] if end > now), until)
                self._clock.wait(self._changed, min(until, self._next_look, rested))
                self._heard = False


def _rest(answer: Answer) -> float | None:
    """Seconds for which whoever sent an image should send no other; None where it was taken."""
    if isinstance(answer, Failure):
        return REST
    if isinstance(answer, Rejection) and answer.reason is Reason.OVERLOADED:
        return float(answer.about.get(PAUSE, REST))
    return None

"""What a loop writes down of each image: when it was to be sent, was sent and was answered, and with what."""

from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from assay.engine.load.target import Answer, Failure
from assay.engine.outcome import Reason, Rejection, Verdict

VERDICT, REJECTED = 1, 2
CACHED = ("cached", "shared")
"""Stages of a verdict that was not computed for this image."""


@dataclass
class Samples:
    """Times are those of the loop's clock, in seconds; an image that was not answered has NaN.

    Counted are images that were to be sent in `began..ended`; what was before is warm-up.
    """

    began: float = float("inf")
    ended: float = float("inf")
    intended: "array[float]" = field(default_factory=lambda: array("d"))
    sent: "array[float]" = field(default_factory=lambda: array("d"))
    answered: "array[float]" = field(default_factory=lambda: array("d"))
    scored: "array[int]" = field(default_factory=lambda: array("b"))
    """`VERDICT`, `REJECTED` (for what it is, not for want of room), or 0."""
    rejections: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    stages: Counter[str] = field(default_factory=Counter)
    """Seconds of all counted verdicts together."""
    bundles: Counter[str] = field(default_factory=Counter)
    cached: int = 0
    fell_behind: Literal["client", "server"] | None = None
    """Why the loop ended early: the client could not send, or the server left too many unanswered."""
    client_cores: float = 0.0
    """Processor time of this process while it sent, by the clock's time."""

    def add(self, intended: float, now: float) -> int:
        """An image that is about to be sent -> its place."""
        self.intended.append(intended)
        self.sent.append(now)
        self.answered.append(float("nan"))
        self.scored.append(0)
        return len(self.sent) - 1

    def note(self, place: int, answer: Answer, now: float) -> None:
        """The answer to the image at `place`."""
        self.answered[place] = now
        if isinstance(answer, Verdict):
            self.scored[place] = VERDICT
        elif isinstance(answer, Rejection) and answer.reason is not Reason.OVERLOADED:
            self.scored[place] = REJECTED
        if not self.began <= self.intended[place] < self.ended:
            return
        if isinstance(answer, Failure):
            self.failures[answer.kind] += 1
        elif isinstance(answer, Verdict):
            self.bundles[f"{answer.bundle} {answer.version}"] += 1
            self.cached += any(stage in answer.seconds for stage in CACHED)
            for stage, seconds in answer.seconds.items():
                self.stages[stage] += seconds  # type: ignore[assignment]  # a Counter adds any number
        else:
            self.rejections[answer.reason.value] += 1

    @property
    def counted(self) -> NDArray[np.bool_]:
        """Which images are no warm-up."""
        intended = np.array(self.intended)
        return (intended >= self.began) & (intended < self.ended)

    @property
    def latencies(self) -> NDArray[np.float64]:
        """Seconds from the intended moment to the verdict, of counted images that have one."""
        chosen: NDArray[np.bool_] = self.counted & (np.array(self.scored) == VERDICT)
        taken: NDArray[np.float64] = np.array(self.answered) - np.array(self.intended)
        return taken[chosen]

    @property
    def lateness(self) -> NDArray[np.float64]:
        """Seconds by which the client itself sent counted images too late."""
        late: NDArray[np.float64] = np.array(self.sent) - np.array(self.intended)
        return late[self.counted]

    @property
    def unanswered(self) -> int:
        """Images without an answer when the loop ended to send, those of the warm-up included."""
        answered = np.array(self.answered)
        return int((~(answered < self.ended)).sum())

    def answers_between(self, start: float, end: float) -> int:
        """How many answers came in a span of time, those of the warm-up included."""
        return int(self._between(start, end).sum())

    def images_between(self, start: float, end: float) -> int:
        """Of these, verdicts and rejections of images for what they are."""
        return int((self._between(start, end) & (np.array(self.scored) > 0)).sum())

    def verdicts_between(self, start: float, end: float) -> int:
        """Of these, verdicts."""
        return int((self._between(start, end) & (np.array(self.scored) == VERDICT)).sum())

    def _between(self, start: float, end: float) -> NDArray[np.bool_]:
        answered: NDArray[np.float64] = np.array(self.answered)
        return (answered >= start) & (answered < end)

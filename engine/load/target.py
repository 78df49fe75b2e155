"""What load is sent to."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from assay.engine.outcome import Outcome


@dataclass(frozen=True, slots=True)
class Failure:
    """An image without an outcome: the kind of error in a word, to be counted, and a sentence."""

    kind: str
    sentence: str


PAUSE = "pause"
"""In `about` of a rejection as `overloaded`: the seconds after which to come again, as the server says."""

Answer = Outcome | Failure
Answered = Callable[[Answer], None]


class Target(Protocol):
    """A way for images to be scored.

    place: where they go, as people name it; holds: most images that it takes before they are answered.
    """

    place: str
    holds: int

    def send(self, number: int, answered: Answered) -> None:
        """Send image `number`, which was not sent before, and return at once; `answered` is called once, from
        any thread, perhaps before this returns."""

    def close(self) -> None:
        """Give up what is unanswered; `answered` may or may not be called for it."""

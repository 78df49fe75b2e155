"""How much waits for the workers at a moment, and when a caller that is refused should come again."""

from typing import NamedTuple

LEAST_PAUSE = 0.1
"""Seconds that a refused caller is told to wait at least."""


class Pressure(NamedTuple):
    """`ahead`: seconds that an interactive image which comes now waits for a worker; `each`: by how much one
    makes the next wait; `full`: whether the byte budget has no room."""

    ahead: float
    each: float
    full: bool

    def pause(self, coming: int, most: float) -> float | None:
        """See `Core.pause`; `most` is the setting `queue_seconds`."""
        ahead = self.ahead + coming * self.each
        if ahead > most or self.full:
            return max(LEAST_PAUSE, ahead)
        return None

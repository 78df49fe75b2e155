"""Learning rates over a run, and when to stop."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

FLOOR = 1e-6
"""A plateau schedule stops rather than go below this rate."""


@dataclass
class Plateau:
    """A rate that is divided after `patience` epochs without improvement, by ten as in CNNDetection.

    Below `FLOOR` it stops, or, if `endless`, goes on at that rate, as the published code of Fusing does.
    """

    lr: float
    patience: int
    factor: float = 10.0
    endless: bool = False
    stale: int = 0

    def resumed(self, state: Mapping[str, Any]) -> Self:
        """This schedule where one with these fields has come to."""
        return replace(self, **state)

    def at(self, step: int) -> float:
        """The rate of step `step` (from 0)."""
        return self.lr

    def step(self, improved: bool) -> bool:
        """Takes in how an epoch went; true when the run should stop."""
        self.stale = 0 if improved else self.stale + 1
        if not self.patience or self.stale < self.patience:
            return False
        self.stale = 0
        if self.lr / self.factor < FLOOR * (1 - 1e-9) and not self.endless:
            return True
        self.lr = max(self.lr / self.factor, FLOOR)
        return False


@dataclass
class Cosine:
    """A linear rise to `lr` over the first twentieth of `steps`, then half a cosine down to zero."""

    lr: float
    patience: int
    steps: int
    stale: int = 0

    def resumed(self, state: Mapping[str, Any]) -> Self:
        """The same, over its own number of steps: of a run that is made longer the rest falls more slowly."""
        return replace(self, stale=state["stale"])

    def at(self, step: int) -> float:
        """The rate of step `step` (from 0)."""
        rise = max(1, self.steps // 20)
        if step < rise:
            return self.lr * (step + 1) / rise
        return self.lr * (1 + math.cos(math.pi * (step - rise) / max(1, self.steps - rise))) / 2

    def step(self, improved: bool) -> bool:
        """Takes in how an epoch went; true when the run should stop."""
        self.stale = 0 if improved else self.stale + 1
        return bool(self.patience) and self.stale >= self.patience


@dataclass
class Staircase:
    """A rate that is divided by ten after every `step_size` steps, however the epochs go."""

    lr: float
    step_size: int

    def resumed(self, state: Mapping[str, Any]) -> Self:
        """The same: its rate follows from the step alone."""
        return self

    def at(self, step: int) -> float:
        """The rate of step `step` (from 0)."""
        return self.lr * 0.1 ** (step // self.step_size)

    def step(self, improved: bool) -> bool:
        """Takes in how an epoch went; never stops."""
        return False

"""How a network is fitted: optimiser, learning rate, schedule, and when to stop. Needs no torch."""

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

Epochs: TypeAlias = Annotated[int, Field(ge=1)]
LearningRate: TypeAlias = Annotated[float, Field(ge=0)]


class FitSettings(BaseModel):
    """How a network is fitted, by AdamW (with `weight_decay` 0 it is Adam) or by SGD with momentum 0.9.

    A plateau schedule stops when it would fall below a rate of 1e-6, unless it is `endless`; a cosine
    schedule rises to `lr` first and stops when the patience is used up. A patience of 0 never stops. A
    staircase never stops.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    epochs: Epochs
    """At most this many epochs."""
    lr: LearningRate = 1e-4
    """Learning rate."""
    optimizer: Literal["adam", "sgd"] = "adam"
    """Optimiser; adam is AdamW."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Weight decay."""
    accumulate: Annotated[int, Field(ge=1)] = 1
    """Compute a step in this many parts, for less memory."""
    schedule: Literal["plateau", "cosine", "staircase"] = "plateau"
    """plateau: divide the rate when patience runs out. cosine: fall to zero. staircase: divide it by ten at
    fixed steps."""
    patience: Annotated[int, Field(ge=0)] = 5
    """Epochs without improvement to wait for; 0: no limit."""
    factor: Annotated[float, Field(ge=1)] = 10.0
    """What a plateau divides the rate by."""
    endless: bool = False
    """Go on at a rate of 1e-6 instead of stopping there."""
    step_size: Annotated[int, Field(ge=1)] = 20_000
    """Steps after which a staircase divides the rate by ten."""
    monitor: str = "accuracy"
    """Validated figure, larger being better, that picks the best epoch."""
    min_delta: Annotated[float, Field(ge=0)] = 1e-3
    """By how much an epoch must improve to count."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """bf16: mixed precision, weights staying fp32."""
    ema_decay: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Decay of a moving average of the weights, which is then what is validated and kept; 0: none."""


RENAMED = {
    "rate": "lr",
    "divide": "factor",
    "every": "step_size",
    "delta": "min_delta",
    "average": "ema_decay",
}
"""Spellings of version 0.1, still read in `run.json` and on the command line."""

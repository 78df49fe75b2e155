"""What a detector is: a function of decoded images and graphs."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from assay.engine.bundle import Manifest

Image = NDArray[np.uint8]
"""A decoded image: (H, W, 3) uint8 RGB, at stored size and orientation."""

Arrays = tuple[NDArray[np.float32], ...]

Graph = Callable[..., Arrays]
"""A graph: float32 arrays, N first, in the manifest's order of inputs -> a tuple in its order of outputs."""


@dataclass(frozen=True, slots=True)
class Detection:
    """A detector's word on one image: the logit of synthetic, and what it looked at.

    `chosen` are the indices that decided where it looked, if any did: what parity compares as integers.
    `distance`: how far the image is from those that were trained on, where the graph says so. `scores`: of
    detectors within this one, the logit of each, by name.
    """

    logit: float
    evidence: dict[str, Any] = field(default_factory=dict)
    chosen: tuple[int, ...] = ()
    distance: float | None = None
    scores: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Choice:
    """A graph whose `outputs` choose indices. It runs in fp32 whatever the precision of the rest, because a
    flipped index changes a whole crop or band. `graph` is its name in the bundle: of one file a detector may
    ask for two executors."""

    graph: str
    outputs: tuple[str, ...]


class Stopwatch:
    """Seconds by stage, summed over a batch."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + perf_counter() - start


class Detector(Protocol):
    """Scores a batch for one bundle. One detection per image, in order."""

    def __call__(
        self, images: Sequence[Image], graphs: Mapping[str, Graph], watch: Stopwatch
    ) -> list[Detection]: ...


class Detect(Protocol):
    """A kind's function: what its `Detector` does, given a manifest and its checked parameters."""

    def __call__(
        self,
        images: Sequence[Image],
        graphs: Mapping[str, Graph],
        manifest: Manifest,
        parameters: Any,
        watch: Stopwatch,
    ) -> list[Detection]: ...


Tap = Callable[[str, Arrays, Arrays], None]
"""Told of a call of a graph: its name, inputs and outputs."""


def tapped(graphs: Mapping[str, Graph], names: Iterable[str], tap: Tap) -> dict[str, Graph]:
    """`graphs`, of which those of these names tell `tap` each time."""

    def tapping(name: str) -> Graph:
        def call(*arrays: NDArray[np.float32]) -> Arrays:
            outputs = graphs[name](*arrays)
            tap(name, arrays, outputs)
            return outputs

        return call

    return {**graphs, **{name: tapping(name) for name in names}}

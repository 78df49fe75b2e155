"""What the protocol counts of each model since the server started: requests, images, and where time went."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from assay.engine.bundle import Bundle
from assay.engine.outcome import Outcome, Verdict

INPUT_STAGES = ("decode", "view")
"""Stages that make tensors of files."""
WAITING = ("queue", "shared", "cached")
"""Stages in which nothing is done for the image: it waits, or its outcome was there."""
SECOND = 1_000_000_000


@dataclass(slots=True)
class Duration:
    """How often something was done, and the nanoseconds of all times together."""

    count: int = 0
    ns: int = 0

    def add(self, seconds: float) -> None:
        self.count += 1
        self.ns += int(seconds * SECOND)


@dataclass(slots=True)
class Statistics:
    """Of one model. A request counts once in each duration; `images` counts verdicts."""

    last: int = 0
    """Milliseconds since 1970 of the last answer."""
    images: int = 0
    requests: int = 0
    success: Duration = field(default_factory=Duration)
    fail: Duration = field(default_factory=Duration)
    queue: Duration = field(default_factory=Duration)
    input: Duration = field(default_factory=Duration)
    infer: Duration = field(default_factory=Duration)

    def answered(self, outcomes: Sequence[Outcome], seconds: float) -> None:
        """A request got its response `seconds` after it came."""
        scored = [outcome.seconds for outcome in outcomes if isinstance(outcome, Verdict)]
        self.last = int(time.time() * 1000)
        self.images += len(scored)
        self.requests += 1
        self.success.add(seconds)
        waited = [sum(one.get(stage, 0.0) for stage in WAITING) for one in scored]
        self.queue.add(max(waited, default=0.0))
        spent = sum(sum(one.values()) for one in scored) - sum(waited)
        made = sum(one.get(stage, 0.0) for one in scored for stage in INPUT_STAGES)
        self.input.add(made)
        self.infer.add(max(spent - made, 0.0))

    def failed(self, seconds: float) -> None:
        """A request for the model ended without a response."""
        self.fail.add(seconds)

    def plus(self, other: "Statistics") -> "Statistics":
        """Of what both counted."""
        last, *sums = zip(self.said(), other.said(), strict=True)
        return Statistics.heard([max(last), *map(sum, sums)])

    def said(self) -> list[int]:
        """Everything as numbers, for another process."""
        durations = (self.success, self.fail, self.queue, self.input, self.infer)
        return [
            self.last,
            self.images,
            self.requests,
            *(n for each in durations for n in (each.count, each.ns)),
        ]

    @classmethod
    def heard(cls, said: Sequence[int]) -> "Statistics":
        """What `said()` told."""
        durations = [Duration(count, ns) for count, ns in zip(said[3::2], said[4::2], strict=True)]
        last, images, requests = said[:3]
        return cls(last, images, requests, *durations)


class Counted:
    """The statistics of each version of each bundle; one that takes over begins at nought."""

    def __init__(self) -> None:
        self._of: dict[tuple[str, str], Statistics] = {}
        self._elsewhere: dict[tuple[str, str], Statistics] = {}

    def total(self, bundle: Bundle) -> Statistics:
        """With what other processes of the same server counted."""
        key = (bundle.name, bundle.version)
        return self._of.get(key, Statistics()).plus(self._elsewhere.get(key, Statistics()))

    def said(self) -> list[tuple[str, str, list[int]]]:
        """What was counted here, for the others."""
        return [(*key, each.said()) for key, each in self._of.copy().items()]

    def hear(self, said: Iterable[Sequence[Any]]) -> None:
        """What all others counted."""
        self._elsewhere = {(name, version): Statistics.heard(each) for name, version, each in said}

    def of(self, bundle: Bundle) -> Statistics:
        return self._of.setdefault((bundle.name, bundle.version), Statistics())

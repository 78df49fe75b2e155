"""A whole measurement: way after way, on each a closed loop and then an open one at each rate."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from assay.engine.errors import SetupError
from assay.engine.load.arrivals import poisson
from assay.engine.load.loop import Loop, Lost, Stopped
from assay.engine.load.machine import machine
from assay.engine.load.meter import Meter
from assay.engine.load.result import Result, Round, Source, Way, WayName
from assay.engine.load.samples import Samples
from assay.engine.load.summary import Asked, summary
from assay.engine.load.ways import Opened, Ways

STOPPED = "stopped by Ctrl-C"

Watch = Callable[[str, float, int], None]
"""Told what runs in words, the seconds since the session's first loop began, without what lay between the
loops, and the images that were answered in this one."""


@dataclass(frozen=True)
class Rate:
    """Images a second; `share`: of those that the closed loop gave."""

    value: float
    share: bool = False


@dataclass(frozen=True)
class Plan:
    """What is measured on each way."""

    ways: Sequence[WayName]
    rates: Sequence[Rate]
    outstanding: int
    warm_up: float
    seconds: float

    @property
    def total(self) -> float:
        """About the seconds that all loops take."""
        return len(self.ways) * (1 + len(self.rates)) * (self.warm_up + self.seconds)


class Session:
    """Measures `plan`; `result` says what is known, also when `run` was broken off."""

    def __init__(
        self,
        plan: Plan,
        ways: Ways,
        versions: Iterable[tuple[str, str]],
        watch: Watch = lambda what, seconds, answered: None,
    ) -> None:
        self._plan = plan
        self._ways = ways
        self._watch = watch
        self._machine = machine(versions)
        self._when = datetime.now(UTC).isoformat(timespec="seconds")
        self._courses: list[_Course] = []
        self._passed = 0.0
        self._words = ""

    def run(self) -> Result:
        """Ctrl-C ends it early.

        Raises Lost where a target does not answer any more, SetupError, BundleError or EngineFault where
        there is none; `result` has what was measured before.
        """
        try:
            for way in self._plan.ways:
                with self._ways.open(way) as opened:
                    self._measure(way, opened)
        except (KeyboardInterrupt, Stopped):
            return self.result(STOPPED)
        return self.result()

    def result(self, ended: str | None = None) -> Result:
        """What is known so far; `ended` says why it is not all."""
        images = self._ways.images
        return Result(
            when=self._when,
            machine=self._machine,
            images=Source(source=images.source, images=len(images), mean_bytes=images.mean_bytes),
            ways=[course.known() for course in self._courses if course.rounds],
            ended=ended,
        )

    def _measure(self, way: WayName, opened: Opened) -> None:
        course = _Course(way, opened, self._ways.settings.devices)
        self._courses.append(course)
        loop = Loop(opened.target, watch=self._look, window=course.meter)
        for rate in (None, *self._plan.rates):
            asked = self._asked(rate, course)
            self._words = f"{way}: {asked}"
            try:
                course.note(asked, self._load(loop, asked))
            except Stopped as early:
                course.note(asked, early.samples)
                raise
            except Lost as early:
                course.note(asked, early.samples)
                opened.check()
                raise
            except SetupError:
                opened.check()
                raise
            opened.check()
            self._passed += self._plan.warm_up + self._plan.seconds

    def _look(self, seconds: float, answered: int) -> None:
        self._watch(self._words, self._passed + seconds, answered)

    def _asked(self, rate: Rate | None, course: "_Course") -> Asked:
        plan = self._plan
        if rate is None:
            return Asked(plan.warm_up, plan.seconds, outstanding=plan.outstanding)
        if not rate.share:
            return Asked(plan.warm_up, plan.seconds, rate=rate.value)
        most = course.rounds[0].images_per_second
        if not most:
            raise SetupError(
                f"{course.opened.target.place}: no image had a verdict, so there is no share of its images/s:"
                " give --rates as images/s, or images that can be scored"
            )
        return Asked(plan.warm_up, plan.seconds, rate=rate.value * most)

    def _load(self, loop: Loop, asked: Asked) -> Samples:
        if asked.rate is None:
            return loop.closed(self._plan.outstanding, asked.warm_up, asked.seconds)
        before, counted = poisson(asked.rate, asked.warm_up, 1), poisson(asked.rate, asked.seconds)
        moments = [*before.tolist(), *(asked.warm_up + counted).tolist()]
        return loop.open(moments, asked.warm_up, asked.seconds)


class _Course:
    """A way that is measured: what is known of it."""

    def __init__(self, way: WayName, opened: Opened, devices: Sequence[int]) -> None:
        self.opened = opened
        self.meter = Meter(opened.processes, devices)
        self.rounds: list[Round] = []
        self._way = way
        self._bundles: dict[str, None] = {}
        self._memory: Mapping[str, int] = {}

    def note(self, asked: Asked, samples: Samples) -> None:
        """A round is over. One that was broken off in its warm-up says nothing, but for why."""
        if samples.ended > samples.began or samples.fell_behind:
            alone = self._way is not WayName.FOLDER
            self.rounds.append(summary(asked, samples, self.meter, alone))
        self._bundles |= dict.fromkeys(samples.bundles)
        self._memory = {**self._memory, **self.opened.processes.peak_memory()}
        self.meter.reset()

    def known(self) -> Way:
        """At least one round is over."""
        return Way(
            way=self._way,
            place=self.opened.target.place,
            started=self.opened.started,
            bundle=", ".join(self._bundles),
            runs=self.opened.runs,
            rounds=list(self.rounds),
            peak_memory=self._memory,
        )

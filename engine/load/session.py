"""A whole measurement: way after way, on each a closed loop and then an open one at each rate."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from assay.engine.errors import SetupError
from assay.engine.load.arrivals import poisson
from assay.engine.load.images import Images
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

    def __str__(self) -> str:
        return f"{100 * self.value:g}% of that" if self.share else f"{self.value:g}/s"


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
        self._done: list[Way] = []
        self._passed = 0

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
        images = self._ways.images
        return Result(
            when=self._when,
            machine=self._machine,
            images=_source(images),
            ways=self._done,
            ended=ended,
        )

    def _measure(self, way: WayName, opened: Opened) -> None:
        meter = Meter(opened.processes, self._ways.settings.devices)
        words = ""
        loop = Loop(
            opened.target,
            watch=lambda seconds, answered: self._watch(words, self._before + seconds, answered),
            window=meter,
        )
        rounds: list[Round] = []
        scored: list[Samples] = []

        def note(asked: Asked, samples: Samples) -> None:
            """One round more is known of this way."""
            if samples.ended > samples.began:
                scored.append(samples)
                rounds.append(summary(asked, samples, meter, alone=way is not WayName.FOLDER))
                self._done = [each for each in self._done if each.way != way]
                self._done.append(_way(way, opened, rounds, scored))

        plan = self._plan
        for rate in (None, *plan.rates):
            words = f"{way}: {plan.outstanding} at a time" if rate is None else f"{way}: {rate}"
            meter.reset()
            asked = self._asked(rate, rounds, opened)
            try:
                note(asked, self._load(loop, asked))
            except (Stopped, Lost) as early:
                note(asked, early.samples)
                if isinstance(early, Lost):
                    opened.check()
                raise
            except SetupError:
                opened.check()
                raise
            self._passed += 1

    @property
    def _before(self) -> float:
        return self._passed * (self._plan.warm_up + self._plan.seconds)

    def _asked(self, rate: Rate | None, rounds: Sequence[Round], opened: Opened) -> Asked:
        plan = self._plan
        if rate is None:
            return Asked(plan.warm_up, plan.seconds, outstanding=plan.outstanding)
        if not rate.share:
            return Asked(plan.warm_up, plan.seconds, rate=rate.value)
        most = rounds[0].images_per_second
        if not most:
            raise SetupError(
                f"{opened.target.place}: no image had a verdict, so there is no share of its images/s: give "
                "--rates as images/s, or images that can be scored"
            )
        return Asked(plan.warm_up, plan.seconds, rate=rate.value * most)

    def _load(self, loop: Loop, asked: Asked) -> Samples:
        if asked.rate is None:
            return loop.closed(self._plan.outstanding, asked.warm_up, asked.seconds)
        before, counted = poisson(asked.rate, asked.warm_up, 1), poisson(asked.rate, asked.seconds)
        moments = [*before.tolist(), *(asked.warm_up + counted).tolist()]
        return loop.open(moments, asked.warm_up, asked.seconds)


def _source(images: Images) -> Source:
    return Source(source=images.source, images=len(images), mean_bytes=images.mean_bytes)


def _way(way: WayName, opened: Opened, rounds: Sequence[Round], scored: Sequence[Samples]) -> Way:
    bundles = dict.fromkeys(bundle for samples in scored for bundle in samples.bundles)
    return Way(
        way=way,
        place=opened.target.place,
        started=opened.started,
        bundle=", ".join(bundles),
        runs=opened.runs,
        rounds=list(rounds),
        peak_memory=dict(opened.processes.peak_memory()),
    )

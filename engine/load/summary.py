"""What is said of a round, from its samples and its meter."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from assay.engine.load.arrivals import in_words
from assay.engine.load.latency import latency, percentile
from assay.engine.load.meter import Meter
from assay.engine.load.result import Moment, Outcomes, Round
from assay.engine.load.samples import VERDICT, Samples

BUSY = 0.9
"""Share of a core above which a client of one Python process is at its end."""
LATENESS = 0.01
"""Seconds of lateness of a client, at the 99th percentile, that are borne at any latency."""
LATENESS_SHARE = 0.25
"""Of the latency there that are borne, too."""
KEPT, QUEUED = 0.9, 16
"""Share of the images that a server answers while they come, if it keeps up; more than so many were left."""
MOMENTS, IMAGES = 100, 4
"""Most parts of a round that are told of by themselves, and how many images one has at least in the mean."""


@dataclass(frozen=True)
class Asked:
    """A load: of a closed loop `outstanding` images, of an open one a `rate` in images/s."""

    warm_up: float
    seconds: float
    outstanding: int | None = None
    rate: float | None = None

    def __str__(self) -> str:
        return f"{in_words(self.rate)}/s" if self.rate else f"{self.outstanding} at a time"


def summary(asked: Asked, samples: Samples, meter: Meter, alone: bool) -> Round:
    """`alone`: this process is a client, and no part of the engine that it measures."""
    counted = samples.counted
    measured = max(0.0, samples.ended - samples.began)
    late = np.sort(samples.lateness)
    lateness = percentile(late, 0.99) if len(late) and asked.rate else None
    problem = _problem(asked, samples, lateness, alone)
    verdicts = int((counted & (np.array(samples.scored) == VERDICT)).sum())
    told = sum(samples.rejections.values()) + sum(samples.failures.values())
    given = samples.verdicts_between(samples.began, samples.ended)
    images = samples.images_between(*meter.span) if meter.span else 0
    return Round(
        loop="open" if asked.rate else "closed",
        outstanding=asked.outstanding,
        rate=asked.rate,
        warm_up=asked.warm_up,
        seconds=measured,
        sent=int(counted.sum()),
        images_per_second=given / measured if measured else 0.0,
        outcomes=Outcomes(
            verdicts=verdicts,
            rejections=dict(samples.rejections),
            errors=dict(samples.failures),
            unanswered=int(counted.sum()) - verdicts - told,
        ),
        cached=samples.cached,
        latency=None if problem and problem.startswith(CLIENT) else latency(samples.latencies),
        stages=_each(samples.stages, verdicts),
        cpu=_each(meter.cpu, images),
        joules=meter.joules / images if meter.joules is not None and images else None,
        client_lateness=lateness,
        client_cores=samples.client_cores,
        problem=problem,
        moments=_moments(samples, measured),
    )


CLIENT = "the client could not keep up"


def _problem(asked: Asked, samples: Samples, lateness: float | None, alone: bool) -> str | None:
    busy = alone and samples.client_cores > BUSY
    if asked.rate is None:
        if not busy:
            return None
        return (
            f"the client was busy with {samples.client_cores:.2f} of the one core that it can use: the "
            "server may give more than this"
        )
    sent = len(samples.sent)
    sending = max(samples.ended - samples.sent[0], 1e-9) if sent else 1.0
    if samples.fell_behind == "client" or (samples.fell_behind and busy):
        return (
            f"{CLIENT}: it sent {in_words(sent / sending)} images/s, and {in_words(asked.rate)} were asked "
            "for; lower the rate, or send from several machines"
        )
    if samples.fell_behind:
        return (
            f"the server fell behind: {samples.unanswered} images were unanswered after {sending:.1f} s, and "
            "no more were sent"
        )
    times = samples.latencies
    borne = max(LATENESS, LATENESS_SHARE * percentile(np.sort(times), 0.99) if len(times) else 0.0)
    if lateness is not None and lateness > borne:
        return (
            f"{CLIENT}: one image of a hundred was sent {1000 * lateness:.0f} ms late or more; lower the "
            "rate, or give the client a core of its own"
        )
    answers = samples.answers_between(samples.began, samples.ended)
    if samples.unanswered > QUEUED and answers < KEPT * samples.counted.sum():
        measured = samples.ended - samples.began
        return (
            f"the server could not keep up: it answered {in_words(answers / measured)} images/s; the longer "
            "such a load lasts, the longer is the latency"
        )
    return None


def _each(sums: Mapping[str, float], images: int) -> dict[str, float]:
    return {name: value / images for name, value in sums.items()} if images else {}


def _moments(samples: Samples, measured: float) -> list[Moment]:
    """Parts of equal length, short enough that a stall is seen, and long enough that few are empty."""
    if not measured:
        return []
    counted = samples.counted
    parts = min(MOMENTS, max(1, int(counted.sum()) // IMAGES))
    begun = np.array(samples.intended)[counted] - samples.began
    taken = (np.array(samples.answered) - np.array(samples.intended))[counted]
    place = np.minimum((begun * parts / measured).astype(int), parts - 1)
    images = np.bincount(place, minlength=parts)
    longest = np.full(parts, -1.0)
    scored = np.array(samples.scored)[counted] == VERDICT
    np.maximum.at(longest, place[scored], taken[scored])
    return [
        Moment(
            second=(number + 1) * measured / parts,
            images=int(images[number]),
            longest=float(longest[number]) if longest[number] >= 0 else None,
        )
        for number in range(parts)
    ]

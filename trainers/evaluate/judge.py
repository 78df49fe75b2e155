"""Bundles scored as they are served, under each treatment and at each level of each sweep."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from assay.engine.bundle import Bundle
from assay.engine.detectors import Detector, Graph
from assay.engine.errors import SetupError
from assay.trainers.data.augment import Pixels
from assay.trainers.data.samples import Sample
from assay.trainers.evaluate.metrics import Evaluation, Row
from assay.trainers.evaluate.score import Alter, Scored, score
from assay.trainers.evaluate.sweep import Level, Sweep
from assay.trainers.evaluate.treatment import Treatment

Advance = Callable[[int], None]


@dataclass(frozen=True)
class Swept:
    """All images at one level of a sweep; `refused` were left too small, or could not be read at all."""

    sweep: Sweep
    level: Level
    row: Row
    refused: int


@dataclass(frozen=True)
class Case:
    """A bundle, under the name that tables give it, and its verdicts under one treatment."""

    name: str
    bundle: Bundle
    precision: str
    treatment: Treatment
    evaluation: Evaluation
    swept: tuple[Swept, ...] = ()


def named(bundles: Mapping[str, Bundle]) -> dict[str, Bundle]:
    """Bundles by what was asked for -> by a name for tables: their own, unless two have the same."""
    names = [bundle.name for bundle in bundles.values()]
    return {
        bundle.name if names.count(bundle.name) == 1 else asked: bundle for asked, bundle in bundles.items()
    }


def judge(
    name: str,
    bundle: Bundle,
    graphs: Mapping[str, Graph],
    precision: str,
    samples: Sequence[Sample],
    treatments: Sequence[Treatment],
    sweeps: Sequence[Sweep] = (),
    advance: Advance = lambda count: None,
    detect: Detector | None = None,
) -> Iterator[Case]:
    """A case a treatment; `detect` as of `score`. Raises SetupError where a bundle can score no image."""

    def evaluated(alter: Alter | None) -> Evaluation:
        manifest = bundle.manifest
        domain = manifest.domain
        measured = domain is not None
        scored = score(samples, manifest, graphs, advance, detect, alter, measured)
        return Evaluation(_some(name, scored), manifest.calibration, manifest.thresholds, domain)

    for treatment in treatments:
        plain = evaluated(treatment.alter)
        swept = []
        for sweep in sweeps:
            for level in sweep.levels:
                found = evaluated(_then(treatment.alter, level))
                swept.append(Swept(sweep, level, found.overall(), len(found.scored.unreadable)))
        yield Case(name, bundle, precision, treatment, plain, tuple(swept))


def passes(treatments: Sequence[Treatment], sweeps: Sequence[Sweep]) -> int:
    """How many times `judge` scores all images."""
    return len(treatments) * (1 + sum(len(sweep.levels) for sweep in sweeps))


def refused(cases: Sequence[Case]) -> set[Path]:
    """The files that no bundle could score."""
    return set.intersection(*(set(case.evaluation.scored.unreadable) for case in cases))


def _then(first: Alter | None, second: Alter) -> Alter:
    def both(pixels: Pixels) -> Pixels:
        return second(first(pixels) if first else pixels)

    return both


def _some(name: str, scored: Scored) -> Scored:
    if not scored.samples:
        raise SetupError(
            f"{name} can score none of the {len(scored.unreadable)} images: corrupt, or too small for it"
        )
    return scored

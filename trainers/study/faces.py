"""Tables 1, 2, 4, 5 and 6 of the face paper: accuracy by classifier, and by one other thing varied."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from assay.engine.errors import SetupError
from assay.trainers.data.samples import Sample
from assay.trainers.kinds.lnp.fit import scorer_of
from assay.trainers.kinds.lnp.run import LnpRun
from assay.trainers.study.kept import Kept
from assay.trainers.study.method import Method, decides_of

Varied: TypeAlias = Literal["nothing", "sam", "channels", "attention"]
FREE: Mapping[Varied, frozenset[str]] = {
    "nothing": frozenset(),
    "sam": frozenset({"sam", "point", "mask", "outside"}),
    "channels": frozenset({"channels"}),
    "attention": frozenset({"attended", "attention", "normalise"}),
}
"""Settings in which the runs of a table may differ, beside those of `ALWAYS_FREE`."""
ABOUT: Mapping[Varied, str] = {
    "nothing": "the classifier alone",
    "sam": "whether the face is cut out",
    "channels": "the channels of a spectrum",
    "attention": "what is attended to, and how",
}
ALWAYS_FREE = frozenset({"classifier", "weights", "seed", "cache"})
TITLES = {"resnet34": "ResNet-34", "resnet50": "ResNet-50", "mobilenet_v2": "MobileNetV2"}
FUSIONS = {"none": "AS+PS+LNP", "all": "Att(AS+PS+LNP)", "spectra": "Att(AS+PS)+LNP"}


@dataclass(frozen=True)
class Judgement:
    """One run.

    accuracy: in percent, photographs and synthetic images weighing the same.
    """

    run: str
    variant: str
    classifier: str
    seed: int
    accuracy: float


def variant(run: LnpRun, varied: Varied) -> str:
    """What a row of the table is called that the run belongs to."""
    if varied == "sam":
        return "with SAM" if run.sam else "without SAM"
    if varied == "channels":
        return "1-channel" if run.spectra.grey else "3-channel"
    if varied == "attention":
        form = "" if run.attention == "normalised" or run.attended == "none" else f", {run.attention}"
        return FUSIONS[run.attended] + form + ("" if run.normalise == "channels" else ", as they are")
    return "accuracy in %"


def evaluate(
    folders: Sequence[Path],
    samples: Sequence[Sample],
    varied: Varied,
    device: str = "auto",
    kept: Kept | None = None,
) -> tuple[list[Judgement], list[Method]]:
    """Each run's best network on `samples`, computed on `device`, parts that lie in `kept` being taken; and
    what was judged, which knows the files that were left out.

    Raises SetupError where runs differ in what is not compared.
    """
    runs = {folder: LnpRun.read(folder) for folder in folders}
    shared = set(LnpRun.model_fields) - ALWAYS_FREE - FREE[varied]
    one, *others = runs
    for other in others:
        differing = sorted(name for name in shared if getattr(runs[one], name) != getattr(runs[other], name))
        if differing:
            raise SetupError(
                f"{one} and {other} differ in {', '.join(differing)}: their accuracies do not compare what "
                f"the table is about, which is {ABOUT[varied]}; --vary says what it is"
            )
    found: list[Judgement] = []
    judged: list[Method] = []
    for folder, run in runs.items():
        method = Method(str(folder), scorer_of(folder, device), decides_of(folder, device), kept)
        scored = method.score(samples, None)
        judged.append(method)
        right = (scored.logits > 0) == (scored.labels == 1)
        accuracy = 100 * float(np.mean([right[scored.labels == label].mean() for label in (0, 1)]))
        name, title = variant(run, varied), TITLES[run.classifier]
        found.append(Judgement(str(folder), name, title, run.seed, accuracy))
    return found, judged


def table(judgements: Sequence[Judgement]) -> list[list[object]]:
    """A header of classifiers and a row a variant, accuracies in percent and means over runs."""
    there = [title for title in TITLES.values() if any(one.classifier == title for one in judgements)]
    variants = list(dict.fromkeys(one.variant for one in judgements))
    rows: list[list[object]] = [["", *there]]
    for name in variants:
        rows.append([name, *(_mean(judgements, name, title) for title in there)])
    return rows


def records(judgements: Sequence[Judgement]) -> list[list[object]]:
    """A header and a row a run, for CSV."""
    names = [field.name for field in fields(Judgement)]
    return [list(names), *([getattr(one, name) for name in names] for one in judgements)]


def dots(judgements: Sequence[Judgement]) -> tuple[list[str], dict[str, list[tuple[float, float]]]]:
    """Classifiers by place, and each run's accuracy at the place of its classifier, by variant."""
    there = [title for title in TITLES.values() if any(one.classifier == title for one in judgements)]
    curves: dict[str, list[tuple[float, float]]] = {}
    for one in judgements:
        curves.setdefault(one.variant, []).append((float(there.index(one.classifier)), one.accuracy))
    return there, curves


def _mean(judgements: Sequence[Judgement], name: str, title: str) -> str:
    values = [one.accuracy for one in judgements if (one.variant, one.classifier) == (name, title)]
    return f"{np.mean(values):.2f}" if values else ""

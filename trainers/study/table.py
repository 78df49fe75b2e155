"""Table 2 of the Fusing paper: how well each method detects each family of generators."""

import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from assay.engine.report.markdown import table
from assay.trainers.evaluate.metrics import average_precision
from assay.trainers.evaluate.score import Scored

FAMILIES = {
    "Seen (ProGAN)": ("progan",),
    "Conditional GANs": ("gaugan", "stargan", "cyclegan", "pix2pix"),
    "Unconditional GANs": ("stylegan", "stylegan2", "stylegan3", "biggan", "wgan", "vaegan"),
    "Perceptual loss": ("crn", "imle"),
    "Low-level vision": ("seeingdark", "sitd", "san"),
    "DeepFakes": (
        "deepfake",
        "ff++",
        "faceforensics++",
        "faceforensics",
        "celebdf",
        "celebdfv1",
        "celebdfv2",
    ),
    "Others": ("transformers", "tamingtransformers", "bgm"),
}
"""The paper's families with their generators by names of folders, in lower case and without what stands
between words; any other generator is its own family."""

_FAMILY = {generator: family for family, generators in FAMILIES.items() for generator in generators}


def family(generator: str) -> str:
    """The family of a generator by the name of its folder."""
    return _FAMILY.get(re.sub(r"[\s_().-]", "", generator.lower()), generator)


@dataclass(frozen=True)
class Line:
    """One method's average precisions in percent.

    generators: by generator, against the photographs of its pool. families: means over a family's generators,
    in the paper's order.
    total: the mean over all generators (Total mAP). pooled: of all images together (Global AP).
    """

    method: str
    generators: Mapping[str, float]
    families: Mapping[str, float]
    total: float
    pooled: float


def line(method: str, scored: Scored) -> Line:
    """The figures of one method. Photographs of other pools stand in where a generator's pool has none."""
    labels = scored.labels
    pools = np.array([sample.pool for sample in scored.samples])
    groups = np.array([sample.group for sample in scored.samples])
    generators: dict[str, float] = {}
    for name in sorted(set(groups[labels == 1].tolist())):
        synthetic = (labels == 1) & (groups == name)
        photos = (labels == 0) & np.isin(pools, np.unique(pools[synthetic]))
        both = synthetic | (photos if photos.any() else labels == 0)
        generators[name] = 100 * average_precision(labels[both], scored.logits[both])
    families: dict[str, list[float]] = defaultdict(list)
    for name, precision in generators.items():
        families[family(name)].append(precision)
    as_printed = {name: place for place, name in enumerate(FAMILIES)}
    in_order = sorted(families, key=lambda name: as_printed.get(name, len(as_printed)))
    return Line(
        method,
        generators,
        {name: float(np.mean(families[name])) for name in in_order},
        float(np.mean(list(generators.values()))),
        100 * average_precision(labels, scored.logits),
    )


def markdown(lines: Sequence[Line]) -> str:
    """Methods by families, as the paper prints them; the best of each column in bold."""
    header, rows = _cells(lines, "families")
    there = [[value for _, row in rows if (value := row[place]) is not None] for place in range(len(header))]
    best = [max(values, default=None) for values in there]
    printed = [["", *header]]
    for method, row in rows:
        cells = [
            "" if value is None else f"**{value:.3f}**" if value == most else f"{value:.3f}"
            for value, most in zip(row, best, strict=True)
        ]
        printed.append([method, *cells])
    return table(printed)


def records(lines: Sequence[Line]) -> list[list[object]]:
    """A header and a row a method, with every generator, for CSV."""
    header, rows = _cells(lines, "generators")
    printed: list[list[object]] = [["method", *header]]
    for method, row in rows:
        printed.append([method, *("" if value is None else value for value in row)])
    return printed


def dots(lines: Sequence[Line]) -> tuple[list[str], dict[str, list[tuple[float, float]]]]:
    """The columns of `markdown`, and each method's figures by the place of their column."""
    header, rows = _cells(lines, "families")
    return header, {
        method: [(float(place), value) for place, value in enumerate(row) if value is not None]
        for method, row in rows
    }


def _cells(lines: Sequence[Line], which: str) -> tuple[list[str], list[tuple[str, list[float | None]]]]:
    """Columns, and a row a method. A generator is missing where the method could score none of its images;
    the means of such a method would not be over the same as those of the others, and are missing, too."""
    names = dict.fromkeys(name for one in lines for name in getattr(one, which))
    order = [name for name in FAMILIES if name in names] + [name for name in names if name not in FAMILIES]
    everything = {name for one in lines for name in one.generators}
    rows: list[tuple[str, list[float | None]]] = []
    for one in lines:
        values = getattr(one, which)
        totals = (one.total, one.pooled) if everything == set(one.generators) else (None, None)
        cells = [values.get(name) if _is_whole(name, one, everything) else None for name in order]
        rows.append((one.method, [*cells, *totals]))
    return [*order, "Total mAP", "Global AP"], rows


def _is_whole(name: str, one: Line, everything: Collection[str]) -> bool:
    """Whether a method has all generators of a family, or the generator of that name."""
    return {generator for generator in everything if name in (generator, family(generator))} <= set(
        one.generators
    )

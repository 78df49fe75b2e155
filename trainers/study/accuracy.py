"""Tables 1 to 3 of the APN paper: accuracy at probability 0.5 across generators and across scenes."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from assay.engine.errors import SetupError
from assay.trainers.data.samples import Sample
from assay.trainers.evaluate.score import Scored

REAL, AVERAGE, MAP = "Real", "Average", "mAP"
GENIMAGE = (
    *("stable_diffusion_v_1_4", "stable_diffusion_v_1_5", "wukong"),
    *("ADM", "BigGAN", "glide", "Midjourney", "VQDM"),
)
"""GenImage's generators by their folders, in the paper's order."""
Columns = dict[str, float]
"""Accuracy in percent by column of a table, its average last."""


def by_generator(scored: Scored) -> Columns:
    """Table 1: of each generator's images together with the photographs of its pool, and their mean.

    Accuracy is the share of all images that are told right, as GenImage's authors take it.
    """
    right, labels = told_right(scored), scored.labels
    pools = np.array([sample.pool for sample in scored.samples])
    columns: Columns = {}
    for name, synthetic in _generators(scored).items():
        photos = (labels == 0) & np.isin(pools, np.unique(pools[synthetic]))
        if not photos.any():
            raise SetupError(f"{name} has no photographs beside it, which accuracy across generators needs")
        columns[name] = 100 * float(right[synthetic | photos].mean())
    return _averaged(columns)


def by_folder(scored: Scored) -> Columns:
    """Table 2: of the shared photographs, which are a column of their own, and of each generator's images."""
    right, labels = told_right(scored), scored.labels
    if not (labels == 0).any():
        raise SetupError("there are no photographs among the images, which are a column of their own")
    columns = {REAL: 100 * float(right[labels == 0].mean())}
    columns |= {name: 100 * float(right[synthetic].mean()) for name, synthetic in _generators(scored).items()}
    return _averaged(columns)


def by_scene(scores: Mapping[str, tuple[Scored, Scored]], pairs: Mapping[str, str]) -> Columns:
    """Table 3: two columns for each generator of `pairs`, its names in the scene trained on and in the other.

    scores: by generator in the scene trained on, the images of both scenes as the network scores them whose
        columns these are.

    In the scene trained on accuracy is that of table 1; in the other, whose photographs are shared, the mean
    of the accuracy on photographs and that on synthetic images. The averages come last.
    """
    columns: Columns = {}
    for one, same in pairs.items():
        trained, other = scores[one]
        known, new = by_generator(trained), by_folder(other)
        columns[f"{one}, trained scene"] = known[one]
        columns[f"{one}, other scene"] = (new[REAL] + new[same]) / 2
    for scene in ("trained scene", "other scene"):
        values = [value for name, value in columns.items() if name.endswith(scene) and name != AVERAGE]
        columns[f"{AVERAGE}, {scene}"] = float(np.mean(values))
    columns[AVERAGE] = (columns[f"{AVERAGE}, trained scene"] + columns[f"{AVERAGE}, other scene"]) / 2
    return columns


def of_generator(samples: Sequence[Sample], generator: str) -> list[Sample]:
    """A generator's images and the photographs beside them; nothing where it has made none of the samples."""
    pools = {sample.pool for sample in samples if sample.label and sample.group == generator}
    return [one for one in samples if one.pool in pools and (not one.label or one.group == generator)]


def fall(
    scores: Mapping[str, tuple[Scored, Scored]], pairs: Mapping[str, str], stranger: Scored | None
) -> Columns:
    """Figure 1 (a): the first generator of `pairs` in the scene trained on, another generator's images there,
    which are `stranger`, and the first one in the other scene."""
    first = next(iter(pairs))
    columns = by_scene({first: scores[first]}, {first: pairs[first]})
    unseen = (
        {name: value for name, value in by_generator(stranger).items() if name != AVERAGE} if stranger else {}
    )
    return {
        f"{first}, trained scene": columns[f"{first}, trained scene"],
        **{f"{name}, trained scene": value for name, value in unseen.items()},
        f"{first}, other scene": columns[f"{first}, other scene"],
    }


def shares_photographs(samples: Sequence[Sample]) -> bool:
    """Whether several generators stand beside the same photographs, as in DiffusionForensics."""
    beside: dict[str, set[str]] = defaultdict(set)
    for sample in samples:
        if sample.label:
            beside[sample.pool].add(sample.group)
    return any(len(generators) > 1 for generators in beside.values())


def need_generators(samples: Sequence[Sample], wanted: Iterable[str]) -> None:
    """Raises SetupError naming the generators there are where one that is `wanted` has made no sample."""
    there = as_printed(sample.group for sample in samples if sample.label)
    if missing := [name for name in wanted if name not in there]:
        raise SetupError(f"no images of {', '.join(missing)}; there are {', '.join(there)}")


def as_printed(names: Iterable[str]) -> list[str]:
    """Each name once: GenImage's in the paper's order, then others in their own."""
    places = {name: place for place, name in enumerate(GENIMAGE)}
    return sorted(dict.fromkeys(names), key=lambda name: places.get(name, len(places)))


def comparable(found: Mapping[str, Columns]) -> dict[str, Columns]:
    """Columns by method, all in one order, means last, without the means of a method that lacks a column.

    A generator is missing where the method could score none of its images.
    """
    columns = [name for each in found.values() for name in each if not _is_mean(name)]
    means = [name for each in found.values() for name in each if _is_mean(name)]
    return {
        method: {
            name: each[name]
            for name in dict.fromkeys([*columns, *means])
            if name in each and (not _is_mean(name) or set(columns) <= set(each))
        }
        for method, each in found.items()
    }


def told_right(scored: Scored) -> NDArray[np.bool_]:
    """(n,) whether each image is on its side of probability 0.5, before calibration; 0.5 is authentic."""
    right: NDArray[np.bool_] = (scored.logits > 0) == (scored.labels == 1)
    return right


def _generators(scored: Scored) -> dict[str, NDArray[np.bool_]]:
    groups = np.array([sample.group for sample in scored.samples])
    synthetic = scored.labels == 1
    names = as_printed(sorted(set(groups[synthetic].tolist())))
    return {name: synthetic & (groups == name) for name in names}


def _is_mean(name: str) -> bool:
    return name == MAP or name.startswith(AVERAGE)


def _averaged(columns: Columns) -> Columns:
    return {**columns, AVERAGE: float(np.mean(list(columns.values())))}

"""Ensembles of small made bundles, whose members' logits can be computed by themselves."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from support import fusing
from support.bundles import brightness_graph, plain_bundle

from assay.engine.bundle import Bundle
from assay.engine.detectors.ensemble import Stop
from assay.trainers.ensemble.assemble import assemble, with_stop
from assay.trainers.ensemble.layer import Layer


def members_in(folder: Path) -> list[Bundle]:
    """The brightness of the whole image, that of its middle with half the gain, and a `fusing` detector."""
    centre = {
        "resize": "none",
        "size": 32,
        "crop": "centre",
        "small": "wrap",
        "mean": [0.5] * 3,
        "std": [1] * 3,
    }
    return [
        Bundle.load(plain_bundle(folder / "first", "whole")),
        Bundle.load(plain_bundle(folder / "second", "middle.part", brightness_graph(4.0), view=centre)),
        Bundle.load(fusing.brightness_bundle(folder / "third", name="patches")),
    ]


def ensemble_bundle(
    folder: Path,
    weights: Sequence[float] = (0.5, 0.25, 2.0),
    bias: float = -0.75,
    stop: Stop | None = None,
    **changed: Any,
) -> Path:
    """Write an ensemble of `members_in` -> its folder; `changed` are fields of the manifest."""
    members = members_in(folder / "members")[: len(weights)]
    named = {"name": "several", "version": "1.0.0", "licence": "Apache-2.0", **changed}
    bundle = assemble(members, Layer(tuple(weights), bias), folder / "bundle", **named)
    return (with_stop(bundle, stop) if stop else bundle).path

"""What a probe's bundle says of itself: how it was trained, in the manifest and on its card."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from assay.engine.bundle import Manifest, sha256_of
from assay.trainers.data.samples import Sample
from assay.trainers.export.bundle import Calibrated
from assay.trainers.probe.backbone import Backbone
from assay.trainers.probe.features import Features
from assay.trainers.probe.fit import Probe


def training(
    file: Path, backbone: Backbone, features: Features, probe: Probe, **recipe: object
) -> dict[str, Any]:
    """`trained_on` of the manifest."""
    return {
        "backbone": file.name,
        "backbone_sha256": sha256_of(file),
        "output": backbone.output,
        "rows": features.values.shape[0] * features.values.shape[1],
        "inverse_penalty": probe.strength,
        "held_out_loss": None if probe.loss != probe.loss else round(probe.loss, 4),
        **recipe,
    }


def text(manifest: Manifest, train: Sequence[Sample], held_out: Sequence[Sample], done: Calibrated) -> str:
    """The card, as Markdown."""
    trained, limits = manifest.trained_on, manifest.thresholds
    error = (
        "not known, too few images" if done.choice.error != done.choice.error else f"{done.choice.error:.3f}"
    )
    return f"""# {manifest.name} {manifest.version}

A logistic layer on output `{trained["output"]}` of `{trained["backbone"]}`, which is as it came (SHA-256
`{trained["backbone_sha256"]}`). Licence: {manifest.licence}.

## Training data

Trained on {counted(train)}, altered by the recipe `{trained["recipe"]}` (draws: {trained["draws"]}, seed:
{trained["seed"]}). Calibrated on {counted(held_out)}, which it was not trained on.

| split | class | source or generator | images |
|---|---|---|---|
{_rows("train", train)}
{_rows("held out", held_out)}

## What its verdicts mean

`synthetic` is at probability {limits.synthetic:.4f} and above, `authentic` at {limits.authentic:.4f} and
below, `uncertain` between. Expected calibration error on held-out {done.choice.folds}: {error}.

It knows what the table names. Of other generators and other cameras nothing is known until it is measured:
`assay evaluate` on images of sources that are not in the table says how good it is.
"""


def counted(samples: Sequence[Sample]) -> str:
    synthetic = sum(sample.label for sample in samples)
    return f"{len(samples) - synthetic} photographs and {synthetic} synthetic images"


def _rows(split: str, samples: Sequence[Sample]) -> str:
    counts = Counter((sample.label, sample.group) for sample in samples)
    return "\n".join(
        f"| {split} | {'synthetic' if label else 'photographs'} | {group} | {count} |"
        for (label, group), count in sorted(counts.items())
    )

"""Training the `plain` kind: from a run's settings to a fitted network, judged as it will be served."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn

from assay.engine.bundle import SCHEMA, Bundle, Calibration, GraphSpec, Manifest, Thresholds
from assay.kernels import ViewRule
from assay.trainers.data.augment import VALIDATION, Step, altering, recipe
from assay.trainers.data.dataset import Batch, random_view
from assay.trainers.data.samples import Sample
from assay.trainers.evaluate.metrics import Evaluation
from assay.trainers.evaluate.score import Scorer, score, torch_graph
from assay.trainers.export.bundle import export_bundle
from assay.trainers.export.options import ExportOptions
from assay.trainers.fit import checkpoint
from assay.trainers.fit.begin import begin
from assay.trainers.fit.device import device_of
from assay.trainers.fit.loop import Fit
from assay.trainers.fit.losses import binary_cross_entropy
from assay.trainers.fit.run import BEST
from assay.trainers.kinds import Crop
from assay.trainers.kinds.plain.network import Plain
from assay.trainers.kinds.plain.run import PlainRun, Views
from assay.trainers.kinds.plain.stages import Mix, Stages

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's


def make_fit(
    run: PlainRun, folder: Path, weights: Path | None, traces: Path | None, workers: int, device: str = "auto"
) -> Fit:
    """The fit of a run, ready to start or to resume. Raises SetupError about data, weights or processes."""
    start = begin(run, device)
    rank = start.rank
    torch.manual_seed(run.seed)
    model = network_of(run)
    if weights is not None:
        model.load_backbone(weights)
    if traces is not None:
        assert isinstance(model.network, Stages)
        model.network.load_traces(traces)
    model.to(memory_format=torch.channels_last)
    rules = {"stored": native_view(run.crop_side), "reduced": reduced_view(run.crop_side)}
    chosen = rules.values() if run.views == "both" else [rules[run.views]]
    # These recipes size images themselves; of others a part is enough, unless all of it is reduced.
    whole = run.recipe in ("shared", "mixed") or run.views != "stored"
    prepare = random_view(recipe(run.recipe, run.crop_side), *chosen, whole=whole)

    def loss(network: nn.Module, batch: Batch) -> Tensor:
        images = batch.images.to(rank.device, non_blocking=True, memory_format=torch.channels_last)
        labels = batch.labels.to(rank.device)
        if not run.mixup:
            return binary_cross_entropy(network(images), labels, run.smoothing)
        mix = Mix.draw(run.mixup, len(labels), rank.device)
        return binary_cross_entropy(network(images, mix), mix(labels.float()), run.smoothing)

    return Fit(
        model,
        batches=start.batches(prepare, workers, balance=run.balance),
        steps=start.steps,
        loss=loss,
        validate=validator(start.held_out, template_of(run), VALIDATION if run.altered_validation else ()),
        settings=run.fit,
        folder=folder,
        rank=rank,
        lr_scales={"network.features": run.layers_lr_scale} if run.trained_layers else {},
    )


def network_of(run: PlainRun) -> Plain:
    """The network of a run, its weights at random."""
    return Plain(run.backbone, trained_layers=run.trained_layers, traces=bool(run.traces))


def native_view(size: int, crop: Crop = "centre") -> ViewRule:
    """Views of original pixels: no resizing, because resizing wipes out what generators leave behind."""
    return ViewRule(resize="none", size=size, crop=crop, small="wrap", mean=MEAN, std=STD)


def reduced_view(size: int, crop: Crop = "centre") -> ViewRule:
    """Views of the whole image, its shorter side made the view's: what is shown, not how it was stored."""
    return ViewRule(resize="short_side", size=size, crop=crop, mean=MEAN, std=STD)


def export_run(folder: Path, out: Path, options: ExportOptions) -> Bundle:
    """Writes the best or the last network of the run in `folder` as a bundle, not yet calibrated."""
    run = PlainRun.read(folder)
    model = network_of(run)
    model.load_state_dict(checkpoint.load_state(options.weights(folder)))
    manifest = options.manifest(template_of(run, options.crop, options.min_side), run)
    return export_bundle({"classify": model}, manifest, out, programs=options.programs)


def scorer_of(folder: Path, device: str = "auto") -> Scorer:
    """Scores samples on `device` by the best network of the run in `folder`, as it would be served."""
    run = PlainRun.read(folder)
    model = network_of(run)
    model.load_state_dict(checkpoint.load_state(folder / BEST))
    classify = {"classify": torch_graph(model.eval().to(device_of(device)))}
    return lambda samples, alter: score(samples, template_of(run), classify, alter=alter)


def template_of(run: PlainRun, crop: Crop = "centre", min_side: int = 64) -> Manifest:
    """How the network of a run is served."""
    return manifest_template(run.size, crop, min_side, run.views)


def manifest_template(
    size: int, crop: Crop = "centre", min_side: int = 64, views: Views = "stored"
) -> Manifest:
    """A manifest that says how such a network is served, before it has a name, a file and a calibration.

    Of both views, the crops of stored pixels come first and one of the reduced image last.
    """
    more = {"more_views": [asdict(reduced_view(size))]} if views == "both" else {}
    return Manifest(
        schema_=SCHEMA,
        kind="plain",
        name="draft",
        version="0",
        licence="",
        view=reduced_view(size, crop) if views == "reduced" else native_view(size, crop),
        min_side=min_side,
        parameters=more,
        graphs={
            "classify": GraphSpec(
                file="classify.onnx",
                sha256="",
                inputs={"image": ("N", 3, size, size)},
                outputs={"logit": ("N", 1)},
            )
        },
        thresholds=Thresholds(synthetic=0.5, authentic=math.nextafter(0.5, 0)),
    )


def validator(
    samples: Sequence[Sample], manifest: Manifest, steps: Sequence[Step] = ()
) -> Callable[[nn.Module], Mapping[str, float]]:
    """Judges a network on `samples` as `manifest` cuts them, altered by `steps` -> `Evaluation.figures`."""

    def validate(network: nn.Module) -> Mapping[str, float]:
        scored = score(samples, manifest, {"classify": torch_graph(network)}, alter=altering(steps))
        return Evaluation(scored, Calibration(), manifest.thresholds).figures()

    return validate

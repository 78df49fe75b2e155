"""Training `fusing`: from a run's settings to a fitted network, judged as it will be served."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from assay.engine.bundle import Bundle, Calibration
from assay.engine.detectors import Detection, Detector, Graph, Image, Stopwatch
from assay.engine.errors import SetupError
from assay.kernels import ViewRule, view
from assay.trainers.data.augment import VALIDATION, Step, altering, recipe
from assay.trainers.data.samples import Sample
from assay.trainers.evaluate.metrics import Evaluation
from assay.trainers.evaluate.score import Scored, Scorer, score
from assay.trainers.export.options import ExportOptions
from assay.trainers.fit import checkpoint
from assay.trainers.fit.begin import begin
from assay.trainers.fit.device import device_of
from assay.trainers.fit.loop import Fit
from assay.trainers.fit.losses import binary_cross_entropy
from assay.trainers.fit.run import BEST
from assay.trainers.kinds.fusing.bundle import SIZE, export, manifest_template, torch_graphs
from assay.trainers.kinds.fusing.network import Fusing
from assay.trainers.kinds.fusing.originals import Originals, collate, original_and_view
from assay.trainers.kinds.fusing.run import FusingRun


def make_fit(run: FusingRun, folder: Path, weights: Path | None, workers: int, device: str = "auto") -> Fit:
    """The fit of a run, ready to start or to resume. Raises SetupError about data, weights or processes."""
    start = begin(run, device)
    rank = start.rank
    torch.manual_seed(run.seed)
    model = Fusing(run.backbone, run.patches)
    model.hold = run.hold_statistics
    if weights is not None:
        model.load_backbone(weights)
    model.to(memory_format=torch.channels_last)  # twice as fast on a CPU
    prepare = original_and_view(recipe(run.recipe, SIZE), manifest_template().view)

    def loss(network: nn.Module, batch: Originals) -> Tensor:
        images = [image.to(rank.device, non_blocking=True) for image in batch.images]
        logits = network(images, batch.views.to(rank.device, non_blocking=True), run.crop)
        return binary_cross_entropy(logits, batch.labels.to(rank.device))

    return Fit(
        model,
        batches=start.batches(prepare, workers, collate=collate),
        steps=start.steps,
        loss=loss,
        validate=validator(start.held_out, VALIDATION if run.altered_validation else ()),
        settings=run.fit,
        folder=folder,
        rank=rank,
        lr_scales={"resnet.": run.backbone_lr_scale},
    )


def validator(
    samples: Sequence[Sample], steps: Sequence[Step] = ()
) -> Callable[[nn.Module], Mapping[str, float]]:
    """Judges a network on `samples`, each altered by `steps` -> `Evaluation.figures`."""
    manifest = manifest_template()

    def validate(network: nn.Module) -> Mapping[str, float]:
        assert isinstance(network, Fusing)
        scored = scored_by(network, samples, altering(steps))
        return Evaluation(scored, Calibration(), manifest.thresholds).figures()

    return validate


def scored_by(
    network: Fusing, samples: Sequence[Sample], alter: Callable[[Image], Image] | None = None
) -> Scored:
    """Scores `samples` by the served chain, or by the network itself where it is an ablation."""
    manifest = manifest_template()
    if network.patches == "selected":
        return score(samples, manifest, torch_graphs(network), alter=alter)
    detect = forward_detector(network.eval(), manifest.view)
    return score(samples, manifest, {}, detect=detect, alter=alter)


def scorer_of(folder: Path, device: str = "auto") -> Scorer:
    """Scores samples on `device` by the best network of the run in `folder`."""
    run = FusingRun.read(folder)
    network = Fusing(run.backbone, run.patches)
    network.load_state_dict(checkpoint.load_state(folder / BEST))
    network.to(device_of(device))
    return lambda samples, alter: scored_by(network, samples, alter)


def forward_detector(network: Fusing, rule: ViewRule) -> Detector:
    """A detector that runs `network` as it is on views by `rule`, for what the engine does not serve."""

    def detect(images: Sequence[Image], graphs: Mapping[str, Graph], watch: Stopwatch) -> list[Detection]:
        device = network.get_parameter("fc.weight").device
        originals = [torch.tensor(image, device=device) for image in images]
        views = torch.from_numpy(view(images, rule)).to(device)
        with torch.inference_mode():
            logits = network(originals, views).flatten().tolist()
        return [Detection(logit) for logit in logits]

    return detect


def export_run(folder: Path, out: Path, options: ExportOptions) -> Bundle:
    """Writes the best or the last network of the run in `folder` as a bundle, not yet calibrated.

    Raises SetupError where the run is an ablation, which the engine does not serve.
    """
    run = FusingRun.read(folder)
    if run.patches != "selected":
        raise SetupError(
            f"{folder}: patches {run.patches!r} are an ablation, which the engine does not serve"
        )
    model = Fusing(run.backbone)
    model.load_state_dict(checkpoint.load_state(options.weights(folder)))
    manifest = options.manifest(manifest_template(options.min_side), run)
    return export(model, out, manifest, programs=options.programs)

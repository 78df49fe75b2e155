"""Training the classifier of `lnp` on patterns that a denoiser, itself not trained any further, finds."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import torch
from rich.progress import track
from torch import Tensor, nn

from assay.engine.bundle import Bundle, Calibration, Manifest
from assay.engine.detectors import Graph
from assay.engine.detectors.lnp.detector import spectra
from assay.engine.errors import SetupError
from assay.engine.outcome import Refused
from assay.trainers import dlpack as bridge
from assay.trainers.data.augment import Pixels, recipe
from assay.trainers.data.read import read_pixels
from assay.trainers.data.samples import Sample
from assay.trainers.evaluate.metrics import Evaluation
from assay.trainers.evaluate.score import Alter, Scored, Scorer, score, torch_graph
from assay.trainers.export.options import ExportOptions
from assay.trainers.fit import checkpoint
from assay.trainers.fit.begin import begin
from assay.trainers.fit.device import device_of
from assay.trainers.fit.loop import Fit
from assay.trainers.fit.losses import binary_cross_entropy
from assay.trainers.fit.run import BEST, LAST
from assay.trainers.kinds import Crop
from assay.trainers.kinds.lnp.bundle import export, manifest_template
from assay.trainers.kinds.lnp.denoiser.network import Pattern
from assay.trainers.kinds.lnp.face_cutter import FaceCutter
from assay.trainers.kinds.lnp.network import LNP
from assay.trainers.kinds.lnp.patterns import Patterns
from assay.trainers.kinds.lnp.run import LnpRun
from assay.trainers.kinds.lnp.source import load_denoiser
from assay.trainers.kinds.lnp.views import Views, loader, pattern_or_view

DENOISER = "denoiser.pt"
"""Its weights lie in the folder of every run, so that a run can be resumed and exported by itself."""
MASKS, PATTERNS = "masks", "patterns"
"""Folders of a run's cache."""


def network_of(run: LnpRun) -> LNP:
    """A classifier of the run's form with random weights."""
    planes: Literal[2, 6] = 2 if run.spectra.grey else 6
    return LNP(
        run.classifier,
        attended=run.attended,
        attention=run.attention,
        planes=planes,
        normalise=run.normalise,
    )


def manifest_of(run: LnpRun, min_side: int = 1, crop: Crop = "centre") -> Manifest:
    """A manifest that says how such a network is served."""
    return manifest_template(run.size, run.spectra, min_side, run.resize, crop)


def cache_of(run: LnpRun, folder: Path) -> Path:
    """The folder of masks and patterns of the run in `folder`."""
    return run.cache or folder / "cache"


def cutter_of(run: LnpRun, folder: Path) -> FaceCutter:
    return FaceCutter(run.sam, run.cut, cache_of(run, folder) / MASKS)


def make_fit(
    run: LnpRun, folder: Path, weights: Path | None, denoiser: Path | None, workers: int, device: str = "auto"
) -> Fit:
    """The fit of a run, ready to start or to resume.

    denoiser: as `load_denoiser` takes it; None resumes with that of the run. Raises SetupError about data,
    weights, models or processes.
    """
    start = begin(run, device)
    rank = start.rank
    if denoiser is None and not (folder / DENOISER).exists():
        raise SetupError("name a --denoiser: a run of `assay train denoiser`, or a file of its weights")
    found = load_denoiser(denoiser or folder / DENOISER)
    patterns = Patterns(Pattern(found, run.form), cache_of(run, folder) / PATTERNS, rank.device)
    cutter = cutter_of(run, folder)
    torch.manual_seed(run.seed)
    model = network_of(run)
    if weights is not None:
        model.load_backbone(weights)
    model.to(memory_format=torch.channels_last)
    if rank.first and denoiser is not None:
        folder.mkdir(parents=True, exist_ok=True)
        checkpoint.save({"model": found.state_dict()}, folder / DENOISER)
    if run.sam is not None:
        cut_out([*start.train, *start.held_out][rank.number :: rank.world], cutter)
    prepare = pattern_or_view(recipe(run.recipe, run.size), manifest_of(run).view, cutter, patterns.store)

    def batches(epoch: int) -> Iterable[Views]:
        return loader(
            start.train,
            prepare,
            batch=start.micro_batch,
            ways=run.ways,
            seed=run.seed,
            epoch=epoch,
            workers=workers,
            rank=rank,
        )

    def loss(network: nn.Module, batch: Views) -> Tensor:
        given = completed(batch, patterns).to(rank.device)
        given = turned(given) if run.turn else given
        logits = network(given, bridge.call(spectra, given, run.spectra))
        return binary_cross_entropy(logits, batch.labels.to(rank.device))

    return Fit(
        model,
        batches=batches,
        steps=start.steps,
        loss=loss,
        validate=validator(run, start.held_out, patterns, cutter),
        settings=run.fit,
        folder=folder,
        rank=rank,
    )


def completed(batch: Views, patterns: Patterns) -> Tensor:
    """(B, 3, S, S): the patterns of a batch, those computed that it holds only the views of."""
    missing = ~batch.found
    if not missing.any():
        return batch.images
    images = batch.images.clone()
    (computed,) = patterns(images[missing].numpy())
    images[missing] = torch.from_numpy(computed)
    return images


def turned(patterns: Tensor) -> Tensor:
    """Square maps (B, C, S, S) turned by a random multiple of 90 degrees and perhaps mirrored, all alike.

    The phases of a pattern are like no other's. Seen twice, they are learnt by heart; turned, they change.
    """
    turns, mirrored = torch.randint(4, ()).item(), torch.randint(2, ()).item()
    found = torch.rot90(patterns, int(turns), (2, 3))
    return found.flip(3) if mirrored else found


def cut_out(samples: Sequence[Sample], cutter: FaceCutter) -> None:
    """Puts the masks of all samples into the cutter's cache; unreadable files are left for later to count."""
    for sample in track(samples, "cutting out faces", transient=True):
        try:
            cutter.mask(read_pixels(sample.path))
        except (OSError, Refused):
            continue


def validator(
    run: LnpRun, samples: Sequence[Sample], patterns: Graph, cutter: FaceCutter
) -> Callable[[nn.Module], Mapping[str, float]]:
    """Judges a network on the centre views of `samples`, without augmentation -> `Evaluation.figures`."""
    manifest = manifest_of(run)

    def validate(network: nn.Module) -> Mapping[str, float]:
        graphs = {"denoise": patterns, "classify": torch_graph(network)}
        scored = score(samples, manifest, graphs, alter=cutter.cut)
        return Evaluation(scored, Calibration(), manifest.thresholds).figures()

    return validate


def load_run(folder: Path, best: bool = True) -> tuple[LnpRun, Pattern, LNP]:
    """The run in `folder`, its denoiser and its best or last classifier, in eval mode."""
    run = LnpRun.read(folder)
    classifier = network_of(run)
    classifier.load_state_dict(checkpoint.load_state(folder / (BEST if best else LAST)))
    return run, Pattern(load_denoiser(folder / DENOISER), run.form).eval(), classifier.eval()


def scored_by(
    folder: Path,
    samples: Sequence[Sample],
    alter: Callable[[Pixels], Pixels] | None = None,
    device: str = "auto",
) -> Scored:
    """Scores `samples` on `device` by the best network of a run, with its cutter and its cache."""
    return scorer_of(folder, device)(samples, alter)


def scorer_of(folder: Path, device: str = "auto") -> Scorer:
    """Scores samples on `device` by the best network of a run, with its cutter and its cache."""
    run, denoiser, classifier = load_run(folder)
    cutter, place = cutter_of(run, folder), device_of(device)
    patterns = Patterns(denoiser, cache_of(run, folder) / PATTERNS, place)
    graphs: dict[str, Graph] = {"denoise": patterns, "classify": torch_graph(classifier.to(place))}

    def scored(samples: Sequence[Sample], alter: Alter | None) -> Scored:
        def cut(pixels: Pixels) -> Pixels:
            return cutter.cut(alter(pixels) if alter else pixels)

        return score(samples, manifest_of(run), graphs, alter=cut)

    return scored


def export_run(folder: Path, out: Path, options: ExportOptions) -> Bundle:
    """Writes the denoiser and the best or the last classifier of a run as a bundle, not yet calibrated."""
    run, denoiser, classifier = load_run(folder, options.best)
    manifest = options.manifest(manifest_of(run, options.min_side, options.crop), run)
    cutter = cutter_of(run, folder)
    return export(denoiser, classifier, out, manifest, cutter=cutter, programs=options.programs)

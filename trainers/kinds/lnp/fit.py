"""Training the classifier of `lnp` on patterns that a denoiser, itself not trained any further, finds."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal

import torch
from rich.progress import track
from torch import Tensor, nn

from assay.engine.bundle import Bundle, Calibration, Manifest
from assay.engine.detectors import Graph
from assay.engine.detectors.lnp.detector import Parameters, spectra
from assay.engine.outcome import Refused
from assay.trainers import dlpack as bridge
from assay.trainers.data.augment import Pixels, recipe
from assay.trainers.data.read import read_pixels
from assay.trainers.data.samples import Sample, of_split, read_samples
from assay.trainers.evaluate.metrics import Judged
from assay.trainers.evaluate.score import Scored, score, torch_graph
from assay.trainers.fit import checkpoint
from assay.trainers.fit.distributed import Rank
from assay.trainers.fit.loop import BEST, LAST, Fit
from assay.trainers.fit.losses import binary_cross_entropy
from assay.trainers.fit.run import Record
from assay.trainers.kinds.lnp.attention import AttentionForm
from assay.trainers.kinds.lnp.bundle import Resize, draft, export
from assay.trainers.kinds.lnp.denoiser.network import Form, Pattern
from assay.trainers.kinds.lnp.face_cutter import CutSettings, FaceCutter
from assay.trainers.kinds.lnp.network import LNP, Attended, Classifier
from assay.trainers.kinds.lnp.patterns import Patterns
from assay.trainers.kinds.lnp.source import load_denoiser
from assay.trainers.kinds.lnp.views import Views, loader, pattern_or_view
from assay.trainers.kinds.plain.fit import Crop

DENOISER = "denoiser.pt"
"""Its weights lie in the folder of every run, so that a run can be resumed and exported by itself."""
SCALINGS = {
    "log": Parameters(),
    "paper": Parameters(norm="forward", amplitude="linear", centred=False),
    "published": Parameters(amplitude="power", exponent=0.8, grey=(0.11, 0.59, 0.30)),
}
"""How spectra are scaled, by name; `paper` is the face paper, `published` the code of Liu et al."""
MASKS, PATTERNS = "masks", "patterns"
"""Folders of a run's cache."""


class PatternRun(Record):
    """A run of the kind `lnp`; `weights` are those of the classifier."""

    elsewhere: ClassVar[set[str]] = {"sam", "cache", "size", "spectra"}
    classifier: Classifier
    attended: Attended
    attention: AttentionForm
    spectra: Parameters
    """How spectra are scaled, and of how many channels they are."""
    form: Form
    """Of patterns."""
    size: int
    """Side of a view in pixels."""
    resize: Resize
    """Whether views are original pixels or the whole image made smaller."""
    ways: int
    """In how many ways each training image is cut and altered."""
    turn: bool
    """Whether patterns are turned and mirrored in training."""
    sam: Path | None
    """Folder of the model that cuts out faces; without, images stay whole."""
    cut: CutSettings
    cache: Path
    """Folder of masks and patterns; runs with the same denoiser may share it."""

    def network(self) -> LNP:
        """A classifier of this run's form with random weights."""
        planes: Literal[2, 6] = 2 if self.spectra.grey else 6
        return LNP(self.classifier, attended=self.attended, attention=self.attention, planes=planes)

    def manifest(self, min_side: int = 1, crop: Crop = "centre") -> Manifest:
        return draft(self.size, self.spectra, min_side, self.resize, crop)

    def cutter(self) -> FaceCutter:
        return FaceCutter(self.sam, self.cut, self.cache / MASKS)


def make_fit(run: PatternRun, folder: Path, weights: Path | None, denoiser: Path | None, workers: int) -> Fit:
    """The fit of a run, ready to start or to resume.

    denoiser: as `load_denoiser` takes it; None resumes with that of the run. Raises SetupError about data,
    weights, models or processes.
    """
    rank = Rank()
    part = rank.part(run.batch, run.fit.accumulate)
    samples = read_samples(run.data, run.min_side)
    train, held_out = of_split(samples, "train"), of_split(samples, "val")
    found = load_denoiser(denoiser or folder / DENOISER)
    patterns = Patterns(Pattern(found, run.form), run.cache / PATTERNS, rank.device)
    cutter = run.cutter()
    torch.manual_seed(run.seed)
    model = run.network()
    if weights is not None:
        model.load_backbone(weights)
    model.to(memory_format=torch.channels_last)
    if rank.first and denoiser is not None:
        folder.mkdir(parents=True, exist_ok=True)
        checkpoint.save({"model": found.state_dict()}, folder / DENOISER)
    if run.sam is not None:
        cut_out([*train, *held_out][rank.number :: rank.world], cutter)
    prepare = pattern_or_view(recipe(run.recipe, run.size), run.manifest().view, cutter, patterns.store)

    def batches(epoch: int) -> Iterable[Views]:
        return loader(
            train,
            prepare,
            batch=part,
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
        steps=max(1, len(train) // rank.world // part),
        loss=loss,
        validate=validator(run, held_out, patterns, cutter),
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
    run: PatternRun, samples: Sequence[Sample], patterns: Graph, cutter: FaceCutter
) -> Callable[[nn.Module], Mapping[str, float]]:
    """Judges a network on the centre views of `samples`, without augmentation -> `Judged.figures`."""
    manifest = run.manifest()

    def validate(network: nn.Module) -> Mapping[str, float]:
        graphs = {"denoise": patterns, "classify": torch_graph(network)}
        scored = score(samples, manifest, graphs, alter=cutter.cut)
        return Judged(scored, Calibration(), manifest.thresholds).figures()

    return validate


def load_run(folder: Path, best: bool = True) -> tuple[PatternRun, Pattern, LNP]:
    """The run in `folder`, its denoiser and its best or last classifier, in eval mode."""
    run = PatternRun.read(folder)
    classifier = run.network()
    classifier.load_state_dict(checkpoint.load_state(folder / (BEST if best else LAST)))
    return run, Pattern(load_denoiser(folder / DENOISER), run.form).eval(), classifier.eval()


def scored_by(
    folder: Path, samples: Sequence[Sample], alter: Callable[[Pixels], Pixels] | None = None
) -> Scored:
    """Scores `samples` by the best network of the run in `folder`, with its cutter and its cache."""
    run, denoiser, classifier = load_run(folder)
    cutter, device = run.cutter(), Rank().device
    patterns = Patterns(denoiser, run.cache / PATTERNS, device)
    graphs: dict[str, Graph] = {"denoise": patterns, "classify": torch_graph(classifier.to(device))}

    def cut(pixels: Pixels) -> Pixels:
        return cutter.cut(alter(pixels) if alter else pixels)

    return score(samples, run.manifest(), graphs, alter=cut)


def export_run(
    folder: Path,
    out: Path,
    *,
    name: str,
    version: str,
    licence: str,
    best: bool,
    crop: Crop,
    min_side: int,
    programs: bool = False,
) -> Bundle:
    """Writes the denoiser and the best or the last classifier of a run as a bundle, not yet calibrated."""
    run, denoiser, classifier = load_run(folder, best)
    manifest = run.manifest(min_side, crop).model_copy(update=run.names(name, version, licence))
    return export(denoiser, classifier, out, manifest, cutter=run.cutter(), programs=programs)

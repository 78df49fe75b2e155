"""Training a baseline: by the recipe of `plain`, on native crops, judged and served as a plain detector."""

from pathlib import Path

import torch
from torch import Tensor, nn

from assay.engine.bundle import Bundle, Manifest
from assay.engine.errors import SetupError
from assay.kernels import ViewRule
from assay.trainers.data.augment import VALIDATION, recipe
from assay.trainers.data.dataset import Batch, random_view
from assay.trainers.evaluate.score import Scorer, score, torch_graph
from assay.trainers.export.bundle import export_bundle
from assay.trainers.export.options import ExportOptions
from assay.trainers.fit import checkpoint
from assay.trainers.fit.begin import begin
from assay.trainers.fit.device import device_of
from assay.trainers.fit.loop import Fit
from assay.trainers.fit.losses import binary_cross_entropy
from assay.trainers.fit.run import BEST, LAST
from assay.trainers.kinds import Crop
from assay.trainers.kinds.baseline.dct_cnn import DctCnn
from assay.trainers.kinds.baseline.f3net import F3Net
from assay.trainers.kinds.baseline.gramnet import GramNet
from assay.trainers.kinds.baseline.lgrad import LGrad
from assay.trainers.kinds.baseline.network import Baseline
from assay.trainers.kinds.baseline.run import BaselineRun, Name
from assay.trainers.kinds.baseline.sia import Sia
from assay.trainers.kinds.baseline.spec import Spec
from assay.trainers.kinds.baseline.swin_t import SwinT
from assay.trainers.kinds.plain.fit import manifest_template, validator

BASELINES: dict[Name, type[Baseline]] = {
    "spec": Spec,
    "dct_cnn": DctCnn,
    "f3net": F3Net,
    "gramnet": GramNet,
    "sia": Sia,
    "swin_t": SwinT,
    "lgrad": LGrad,
}


def network_of(run: BaselineRun) -> Baseline:
    """A network of the run with random weights."""
    if run.transform is not None:
        return LGrad(run.size, run.transform)
    return BASELINES[run.name](run.size)


def template_of(run: BaselineRun, crop: Crop = "centre", min_side: int = 64) -> Manifest:
    """How the network of a run is served."""
    made = BASELINES[run.name]
    rule = ViewRule(resize="none", size=run.size, crop=crop, small="wrap", mean=made.mean, std=made.std)
    return manifest_template(run.size, crop, min_side).model_copy(update={"view": rule})


def make_fit(
    run: BaselineRun,
    folder: Path,
    weights: Path | None,
    transform: Path | None,
    workers: int,
    device: str = "auto",
) -> Fit:
    """The fit of a run, ready to start or to resume.

    transform: the folder of the run whose best network is LGrad's other one, where it is not to be resumed.
    Raises SetupError about data, weights or processes.
    """
    start = begin(run, device)
    rank = start.rank
    torch.manual_seed(run.seed)
    model = network_of(run)
    if weights is not None:
        model.load_backbone(weights)
    if transform is not None:
        assert isinstance(model, LGrad)
        model.transform.load_state_dict(checkpoint.load_state(transform / BEST))
    prepare = random_view(recipe(run.recipe, run.size), template_of(run).view)

    def loss(network: nn.Module, batch: Batch) -> Tensor:
        logits = network(batch.images.to(rank.device, non_blocking=True))
        return binary_cross_entropy(logits, batch.labels.to(rank.device))

    return Fit(
        model,
        batches=start.batches(prepare, workers),
        steps=start.steps,
        loss=loss,
        validate=validator(start.held_out, template_of(run), VALIDATION if run.altered_validation else ()),
        settings=run.fit,
        folder=folder,
        rank=rank,
    )


def trained(folder: Path, *, best: bool = True) -> tuple[BaselineRun, Baseline]:
    """The run in `folder` and its best or last network. Raises SetupError where there is none."""
    run = BaselineRun.read(folder)
    model = network_of(run)
    model.load_state_dict(checkpoint.load_state(folder / (BEST if best else LAST)))
    return run, model.eval()


def scorer_of(folder: Path, device: str = "auto") -> Scorer:
    """Scores samples on `device` by the best network of the run in `folder`, as it would be served."""
    run, model = trained(folder)
    classify = {"classify": torch_graph(model.to(device_of(device)))}
    return lambda samples, alter: score(samples, template_of(run), classify, alter=alter)


def export_run(folder: Path, out: Path, options: ExportOptions) -> Bundle:
    """Writes the best or the last network of a run as a bundle of the kind plain, not yet calibrated.

    Raises SetupError for LGrad, whose gradients no graph holds.
    """
    run, model = trained(folder, best=options.best)
    if isinstance(model, LGrad):
        raise SetupError(f"{folder}: lgrad takes gradients as it runs, which no graph holds: judge the run")
    manifest = options.manifest(template_of(run, options.crop, options.min_side), run)
    return export_bundle({"classify": model}, manifest, out, programs=options.programs)

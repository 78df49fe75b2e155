"""Training `apn`: the network and the estimator of mutual information in turn (section 4.2.2)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn

from assay.engine.bundle import Bundle, Calibration
from assay.engine.detectors import Detection, Detector, Graph, Image, Stopwatch
from assay.engine.errors import SetupError
from assay.kernels import ViewRule, view
from assay.trainers.data.augment import recipe
from assay.trainers.data.dataset import Batch, random_view
from assay.trainers.data.samples import Sample
from assay.trainers.evaluate.metrics import Evaluation
from assay.trainers.evaluate.score import Scored, Scorer, score
from assay.trainers.export.options import ExportOptions
from assay.trainers.fit import checkpoint
from assay.trainers.fit.begin import begin
from assay.trainers.fit.device import device_of
from assay.trainers.fit.loop import Fit
from assay.trainers.fit.run import BEST, LAST
from assay.trainers.fit.schedule import Staircase
from assay.trainers.kinds.apn.ablation import Ablated
from assay.trainers.kinds.apn.bundle import export, manifest_template, torch_graphs, view_rule
from assay.trainers.kinds.apn.club import Club
from assay.trainers.kinds.apn.losses import OBJECTIVES, Objective, features, losses
from assay.trainers.kinds.apn.network import APN, Output
from assay.trainers.kinds.apn.run import ApnRun, Branch

BASIS_LR_SCALE = 1e-3
"""Of the learning rate, for the vectors: 1e-7 of the paper's 1e-4."""
CLUB_STEPS, CLUB_RATE, CLUB_EVERY = 3, 1e-4, 60_000
"""Steps of the estimator for one of the network, its learning rate, and after how many steps that falls."""


def network_of(run: ApnRun) -> APN:
    """A network of the run's form with random weights."""
    if run.served:
        return APN(run.proposals, run.spatial, run.frequency, masks=run.masks, size=run.size)
    return Ablated(run.form, run.proposals, run.spatial, run.frequency, masks=run.masks, size=run.size)


def objective_of(run: ApnRun) -> Objective:
    """What such a network is fitted by."""
    objective = OBJECTIVES[run.objective]
    return replace(objective, mi=0.0) if run.form == "no_implicit" else objective


class AlternatingFit(Fit):
    """A fit of a network, between whose steps an estimator takes three of its own.

    The estimator learns from the features that the network's step computed, without their gradient. The paper
    draws other images for it; these are as good, as neither network learns from the other's gradient, and
    save three forward passes.
    """

    def __init__(self, model: APN, club: Club, objective: Objective, **options: Any) -> None:
        super().__init__(model, loss=self._loss, **options)
        self.network, self.objective = model, objective
        self.club = club.to(self.rank.device)
        basis = list(model.spatial.basis.parameters())
        others = [parameter for name, parameter in model.named_parameters() if ".basis." not in name]
        groups: list[dict[str, Any]] = [{"params": others}, {"params": basis, "lr_scale": BASIS_LR_SCALE}]
        self.optimizer = torch.optim.AdamW(groups, weight_decay=self.settings.weight_decay)
        self.club_optimizer = torch.optim.Adam(club.parameters())
        self.club_schedule = Staircase(CLUB_RATE, CLUB_EVERY)
        self._features: list[tuple[Tensor, Tensor]] = []

    def _loss(self, network: nn.Module, batch: Batch) -> Tensor:
        device = self.rank.device
        output: Output = network(batch.images.to(device, non_blocking=True))
        irrelevant, relevant = features(output)
        self._features.append((irrelevant.detach().float(), relevant.detach().float()))
        labels = batch.labels.to(device)
        return losses(output, labels, self.network, self.club, self.objective).total(self.objective)

    def _step(self) -> None:
        first = CLUB_STEPS * self.state.step
        super()._step()
        if not self._features:
            return
        irrelevant, relevant = (torch.cat(parts) for parts in zip(*self._features, strict=True))
        self._features.clear()
        for step in range(first, first + CLUB_STEPS):
            self.club_optimizer.zero_grad()
            self.club.loss(irrelevant, relevant).backward()  # type: ignore[no-untyped-call]
            self._exchange()
            for group in self.club_optimizer.param_groups:
                group["lr"] = self.club_schedule.at(step)
            self.club_optimizer.step()

    def _exchange(self) -> None:
        """The mean of the estimator's gradients over the processes."""
        if self.rank.world > 1:
            for parameter in self.club.parameters():
                assert parameter.grad is not None
                distributed.all_reduce(parameter.grad)
                parameter.grad /= self.rank.world

    def _state(self) -> dict[str, Any]:
        club = {"network": self.club.state_dict(), "optimizer": self.club_optimizer.state_dict()}
        return {**super()._state(), "club": club}

    def _load_state(self, state: Mapping[str, Any]) -> None:
        super()._load_state(state)
        self.club.load_state_dict(state["club"]["network"])
        self.club_optimizer.load_state_dict(state["club"]["optimizer"])


def make_fit(
    run: ApnRun, folder: Path, weights: Mapping[Branch, Path], workers: int, device: str = "auto"
) -> AlternatingFit:
    """The fit of a run, ready to start or to resume.

    weights: files of ImageNet weights for the branches `spatial` and `frequency`, where they are not to start
    at random. Raises SetupError about data, weights or processes.
    """
    start = begin(run, device)
    torch.manual_seed(run.seed)
    model, club = network_of(run), Club()
    for branch, file in weights.items():
        model.load_trunk(branch, file)
    model.to(memory_format=torch.channels_last)  # three times as fast on a CPU
    prepare = random_view(recipe(run.recipe, run.size), view_rule(run.size))

    return AlternatingFit(
        model,
        club,
        objective_of(run),
        batches=start.batches(prepare, workers),
        steps=start.steps,
        validate=validator(run, start.held_out),
        settings=run.fit,
        folder=folder,
        rank=start.rank,
    )


def validator(run: ApnRun, samples: Sequence[Sample]) -> Callable[[nn.Module], Mapping[str, float]]:
    """Judges a network on the centre views of `samples`, without augmentation -> `Evaluation.figures`."""

    def validate(network: nn.Module) -> Mapping[str, float]:
        assert isinstance(network, APN)
        scored = scored_by(network, samples)
        return Evaluation(
            scored, Calibration(), manifest_template(run.proposals, run.size).thresholds
        ).figures()

    return validate


def trained(folder: Path, *, best: bool = True) -> tuple[ApnRun, APN]:
    """The run in `folder` and its best or last network. Raises SetupError where there is none."""
    run = ApnRun.read(folder)
    model = network_of(run)
    model.load_state_dict(checkpoint.load_state(folder / (BEST if best else LAST)))
    return run, model


def scored_by(
    network: APN, samples: Sequence[Sample], alter: Callable[[Image], Image] | None = None
) -> Scored:
    """Scores `samples` by the served chain, or by the network itself where it is an ablation."""
    manifest = manifest_template(network.proposals, network.size)
    if isinstance(network, Ablated):
        detect = forward_detector(network.eval(), manifest.view)
        return score(samples, manifest, {}, detect=detect, alter=alter)
    return score(samples, manifest, torch_graphs(network), alter=alter)


def scorer_of(folder: Path, device: str = "auto") -> Scorer:
    """Scores samples on `device` by the best network of the run in `folder`."""
    _, network = trained(folder)
    network.to(device_of(device))
    return lambda samples, alter: scored_by(network, samples, alter)


def forward_detector(network: APN, rule: ViewRule) -> Detector:
    """A detector that runs `network` as it is on views by `rule`, for what the engine does not serve."""

    def detect(images: Sequence[Image], graphs: Mapping[str, Graph], watch: Stopwatch) -> list[Detection]:
        device = network.get_parameter("classifier.0.weight").device
        views = torch.from_numpy(view(images, rule)).to(device)
        with torch.inference_mode():
            logits = network(views).logits
        return [Detection(logit) for logit in (logits[:, 1] - logits[:, 0]).tolist()]

    return detect


def export_run(folder: Path, out: Path, options: ExportOptions) -> Bundle:
    """Writes the best or the last network of the run in `folder` as a bundle, not yet calibrated.

    Raises SetupError where the run is an ablation, which the engine does not serve.
    """
    run, model = trained(folder, best=options.best)
    if not run.served:
        raise SetupError(f"{folder}: form {run.form!r} is an ablation, which the engine does not serve")
    manifest = options.manifest(manifest_template(run.proposals, run.size, options.min_side), run)
    return export(model, out, manifest, programs=options.programs)

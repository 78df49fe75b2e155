"""The training loop: epochs of batches, a log, checkpoints, early stopping, exact resumption.

What differs between detectors is passed in: the batches of an epoch, the loss of a batch, and how a network
is judged after each epoch. A run that was stopped and resumed ends with the same weights, bit for bit, as one
that was not: batches follow from seed and epoch alone, and everything else is in `last.pt`. Started by
torchrun, every process trains on its own batches; the first one judges, logs and saves.
"""

import csv
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.tensorboard import SummaryWriter

from assay.engine.errors import SetupError
from assay.trainers.fit import checkpoint
from assay.trainers.fit.distributed import Distributed
from assay.trainers.fit.run import BEST, LAST, LOG, UNREADABLE
from assay.trainers.fit.schedule import Cosine, Plateau, Staircase
from assay.trainers.fit.settings import FitSettings

EVENTS = "tensorboard"


class Labelled(Protocol):
    """What a batch holds, whatever its images are: labels (B,), and the files that could not be read."""

    @property
    def labels(self) -> Tensor: ...
    @property
    def unreadable(self) -> Iterable[Path]: ...


Loss = Callable[[nn.Module, Any], Tensor]
Validate = Callable[[nn.Module], Mapping[str, float]]
Figures = dict[str, float]


@dataclass
class TrainState:
    """How far a run has come."""

    epoch: int = 0
    step: int = 0
    best: float = float("-inf")
    best_epoch: int = 0
    stopped: bool = False


class Fit:
    """One run in one folder."""

    def __init__(
        self,
        model: nn.Module,
        *,
        batches: Callable[[int], Iterable[Labelled]],
        steps: int,
        loss: Loss,
        validate: Validate,
        settings: FitSettings,
        folder: Path,
        rank: Distributed | None = None,
        lr_scales: Mapping[str, float] | None = None,
    ) -> None:
        """`batches(epoch)` gives the `steps` batches of an epoch; `validate` gets a network in eval mode.

        `lr_scales`: of the rate, what parameters get whose names begin so; with 0 they stay as they are.
        """
        self.rank = rank or Distributed()
        self.model = model.to(self.rank.device)
        self.trained = self.rank.wrap(model)
        self.batches, self.steps = batches, steps
        self.loss, self.validate = loss, validate
        self.settings, self.folder = settings, folder
        self.optimizer = _optimizer(model, settings, lr_scales or {})
        self.schedule = _schedule(settings, -(-steps // settings.accumulate))
        self.ema = _ema(model, settings.ema_decay) if settings.ema_decay else None
        self.state = TrainState()
        self.unreadable: set[Path] = set()

    def run(self, console: Console | None = None) -> TrainState:
        """Trains until the epochs or the patience are used up. Raises SetupError if no image can be read."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        console = console or Console(stderr=True)
        with Progress(*columns, console=console, transient=True, disable=not self.rank.first) as bar:
            while self.state.epoch < self.settings.epochs and not self.state.stopped:
                name = f"epoch {self.state.epoch + 1}/{self.settings.epochs}"
                task = bar.add_task(name, total=self.steps)
                figures = self._epoch(lambda task=task: bar.advance(task))  # type: ignore[misc]
                bar.remove_task(task)
                if self.rank.first:
                    bar.console.print(name, *(f"{key} {value:.4g}" for key, value in figures.items()))
        return self.state

    def resume(self, extended: bool = False) -> None:
        """Takes up what `last.pt` in the folder holds.

        `extended`: the run is to get more epochs than it was for. Raises SetupError where there is no such
        file, or where the run has come as far as it is to go.
        """
        self._load_state(checkpoint.load(self.folder / LAST))
        if extended:
            if self.state.epoch >= self.settings.epochs:
                raise SetupError(
                    f"{self.folder} has {self.state.epoch} epochs already, so that --epochs "
                    f"{self.settings.epochs} adds none"
                )
            self.state.stopped = False
        if self.rank.first:
            _cut_log(self.folder / LOG, self.state.epoch)

    def _load_state(self, state: Mapping[str, Any]) -> None:
        self.model.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.ema is not None:
            self.ema.load_state_dict(state["ema"])
        self.schedule = self.schedule.resumed(state["schedule"])
        self.state = TrainState(**state["train_state"])
        self.unreadable = {Path(path) for path in state["unreadable"]}
        torch.set_rng_state(state["rng"])

    @property
    def eval_model(self) -> nn.Module:
        """The network that is validated and exported: the mean of weights where one is kept."""
        return self.model if self.ema is None else self.ema.module

    def _epoch(self, advance: Callable[[], None]) -> Figures:
        start = time.perf_counter()
        loss, images = self._train(advance)
        seconds = time.perf_counter() - start
        self.unreadable = self.rank.union(self.unreadable)
        figures = self.rank.from_rank0(lambda: self.validate(self.eval_model.eval()))
        self.state.epoch += 1
        row = {
            "lr": self.schedule.at(self.state.step - 1),
            "train_loss": loss,
            "images_per_second": self.rank.world * images / seconds,
            **figures,
        }
        self._keep_best(figures[self.settings.monitor])
        if self.rank.first:
            _append(self.folder / LOG, {"epoch": self.state.epoch, **row})
            _plot(self.folder / EVENTS, self.state.epoch, row)
            self._save()
        return row

    def _train(self, advance: Callable[[], None]) -> tuple[float, int]:
        """One pass over the batches: the mean loss, and how many images were seen."""
        self.model.train()
        self.optimizer.zero_grad()
        total, images, accumulate = 0.0, 0, self.settings.accumulate
        for number, batch in enumerate(self.batches(self.state.epoch), start=1):
            self.unreadable.update(batch.unreadable)
            stepping = number % accumulate == 0 or number == self.steps
            if self.rank.all(len(batch.labels) > 1):  # batch normalisation needs two
                total += self._backward(batch, stepping) * len(batch.labels)
                images += len(batch.labels)
            if stepping:
                self._step()
            advance()
        if not images:
            raise SetupError(f"no training image could be read; {len(self.unreadable)} files were tried")
        return total / images, images

    def _backward(self, batch: Labelled, stepping: bool) -> float:
        """Adds the gradient of a batch; processes exchange theirs only before a step."""
        trained, bf16 = self.trained, self.settings.precision == "bf16"
        collecting = isinstance(trained, DistributedDataParallel) and not stepping
        with trained.no_sync() if collecting else nullcontext():  # type: ignore[operator]
            with torch.autocast(self.rank.device.type, torch.bfloat16, enabled=bf16):
                loss = self.loss(trained, batch)
            (loss / self.settings.accumulate).backward()  # type: ignore[no-untyped-call]
        return float(loss.detach())

    def _step(self) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = group.get("lr_scale", 1.0) * self.schedule.at(self.state.step)
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.ema is not None:
            self.ema.update_parameters(self.model)
        self.state.step += 1

    def _keep_best(self, figure: float) -> None:
        state = self.state
        improved = figure > state.best + self.settings.min_delta or not state.best_epoch
        if improved:
            state.best, state.best_epoch = figure, state.epoch
            if self.rank.first:
                checkpoint.save({"model": self.eval_model.state_dict()}, self.folder / BEST)
        state.stopped = self.schedule.step(improved)

    def _state(self) -> dict[str, Any]:
        """All that a resumed run needs, and under `model` the weights to export."""
        return {
            "model": self.eval_model.state_dict(),
            "network": self.model.state_dict(),
            "ema": self.ema.state_dict() if self.ema is not None else {},
            "optimizer": self.optimizer.state_dict(),
            "schedule": asdict(self.schedule),
            "train_state": asdict(self.state),
            "rng": torch.get_rng_state(),
            "unreadable": sorted(map(str, self.unreadable)),
        }

    def _save(self) -> None:
        checkpoint.save(self._state(), self.folder / LAST)
        if self.unreadable:
            (self.folder / UNREADABLE).write_text("".join(f"{path}\n" for path in sorted(self.unreadable)))


def _optimizer(
    model: nn.Module, settings: FitSettings, lr_scales: Mapping[str, float]
) -> torch.optim.Optimizer:
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        lr_scale = next((lr_scale for prefix, lr_scale in lr_scales.items() if name.startswith(prefix)), 1.0)
        if not lr_scale:
            parameter.requires_grad = False
        if parameter.requires_grad:
            groups.setdefault(lr_scale, []).append(parameter)
    learnt = [{"params": group, "lr_scale": lr_scale} for lr_scale, group in groups.items()]
    if settings.optimizer == "sgd":
        return torch.optim.SGD(learnt, momentum=0.9, weight_decay=settings.weight_decay)
    return torch.optim.AdamW(learnt, weight_decay=settings.weight_decay)


def _schedule(settings: FitSettings, steps: int) -> Plateau | Cosine | Staircase:
    """The rates of a run whose epochs have `steps` steps."""
    if settings.schedule == "plateau":
        return Plateau(settings.lr, settings.patience, settings.factor, settings.endless)
    if settings.schedule == "cosine":
        return Cosine(settings.lr, settings.patience, settings.epochs * steps)
    return Staircase(settings.lr, settings.step_size)


def _plot(folder: Path, epoch: int, row: Figures) -> None:
    """The row for TensorBoard; epochs that a resumed run repeats take the place of what a crash left."""
    with SummaryWriter(str(folder), purge_step=epoch) as writer:
        for name, value in row.items():
            writer.add_scalar(name, value, epoch)


def _ema(model: nn.Module, decay: float) -> AveragedModel:
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)  # type: ignore[no-untyped-call]


def _append(log: Path, row: Mapping[str, Any]) -> None:
    new = not log.exists()
    with log.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(row), lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(row)


def _cut_log(log: Path, epochs: int) -> None:
    """Drops rows of epochs that a crash left in the log but not in the checkpoint."""
    with suppress(FileNotFoundError):
        log.write_text("".join(log.read_text("utf-8").splitlines(keepends=True)[: epochs + 1]), "utf-8")

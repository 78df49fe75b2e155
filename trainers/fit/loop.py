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
from typing import Any, Literal, Protocol

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.tensorboard import SummaryWriter

from assay.engine.errors import SetupError
from assay.trainers.fit import checkpoint
from assay.trainers.fit.distributed import Rank
from assay.trainers.fit.schedule import Cosine, Plateau, Staircase

LAST, BEST, LOG, UNREADABLE = "last.pt", "best.pt", "log.csv", "unreadable.txt"
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


@dataclass(frozen=True, kw_only=True)
class FitSettings:
    """How a network is fitted, by AdamW (with `weight_decay` 0 it is Adam) or by SGD with momentum 0.9.

    epochs: at most so many.
    schedule: `plateau` divides `rate` by `divide` after `patience` epochs without improvement, and stops when
        it would fall below 1e-6; `cosine` rises to `rate`, falls to zero over all epochs, and stops when the
        patience is used up. A patience of 0 never stops; with `endless` a plateau at 1e-6 does not either.
        `staircase` divides `rate` by ten after every `every` steps and never stops.
    accumulate: so many batches make one step.
    monitor, delta: the validated figure, larger being better, and by how much it must rise to have improved.
    precision: `bf16` computes under autocast; weights stay float32.
    average: decay of the running mean of weights, which is then what is validated and kept; 0: no mean.
    """

    epochs: int
    rate: float = 1e-4
    optimizer: Literal["adam", "sgd"] = "adam"
    weight_decay: float = 0.0
    accumulate: int = 1
    schedule: Literal["plateau", "cosine", "staircase"] = "plateau"
    patience: int = 5
    divide: float = 10.0
    endless: bool = False
    every: int = 20_000
    monitor: str = "accuracy"
    delta: float = 1e-3
    precision: Literal["fp32", "bf16"] = "fp32"
    average: float = 0.0


@dataclass
class Progressed:
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
        rank: Rank | None = None,
        shares: Mapping[str, float] | None = None,
    ) -> None:
        """`batches(epoch)` gives the `steps` batches of an epoch; `validate` gets a network in eval mode.

        `shares`: of the rate, what parameters get whose names begin so; with 0 they stay as they are.
        """
        self.rank = rank or Rank()
        self.model = model.to(self.rank.device)
        self.trained = self.rank.wrap(model)
        self.batches, self.steps = batches, steps
        self.loss, self.validate = loss, validate
        self.settings, self.folder = settings, folder
        self.optimizer = _optimizer(model, settings, shares or {})
        self.schedule = _schedule(settings, -(-steps // settings.accumulate))
        self.average = _average(model, settings.average) if settings.average else None
        self.progressed = Progressed()
        self.unreadable: set[Path] = set()

    def run(self, console: Console | None = None) -> Progressed:
        """Trains until the epochs or the patience are used up. Raises SetupError if no image can be read."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        console = console or Console(stderr=True)
        with Progress(*columns, console=console, transient=True, disable=not self.rank.first) as bar:
            while self.progressed.epoch < self.settings.epochs and not self.progressed.stopped:
                name = f"epoch {self.progressed.epoch + 1}/{self.settings.epochs}"
                task = bar.add_task(name, total=self.steps)
                figures = self._epoch(lambda task=task: bar.advance(task))  # type: ignore[misc]
                bar.remove_task(task)
                if self.rank.first:
                    bar.console.print(name, *(f"{key} {value:.4g}" for key, value in figures.items()))
        return self.progressed

    def resume(self) -> None:
        """Takes up what `last.pt` in the folder holds. Raises SetupError where there is none."""
        self._take_up(checkpoint.load(self.folder / LAST))
        if self.rank.first:
            _cut_log(self.folder / LOG, self.progressed.epoch)

    def _take_up(self, state: Mapping[str, Any]) -> None:
        self.model.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.schedule = type(self.schedule)(**state["schedule"])
        self.progressed = Progressed(**state["progressed"])
        self.unreadable = {Path(path) for path in state["unreadable"]}
        torch.set_rng_state(state["rng"])

    @property
    def kept(self) -> nn.Module:
        """The network that is validated and exported: the mean of weights where one is kept."""
        return self.model if self.average is None else self.average.module

    def _epoch(self, advance: Callable[[], None]) -> Figures:
        start = time.perf_counter()
        loss, images = self._train(advance)
        seconds = time.perf_counter() - start
        self.unreadable = self.rank.union(self.unreadable)
        figures = self.rank.told(lambda: self.validate(self.kept.eval()))
        self.progressed.epoch += 1
        row = {
            "rate": self.schedule.at(self.progressed.step - 1),
            "train_loss": loss,
            "images_per_second": self.rank.world * images / seconds,
            **figures,
        }
        self._judge(figures[self.settings.monitor])
        if self.rank.first:
            _append(self.folder / LOG, {"epoch": self.progressed.epoch, **row})
            _plot(self.folder / EVENTS, self.progressed.epoch, row)
            self._save()
        return row

    def _train(self, advance: Callable[[], None]) -> tuple[float, int]:
        """One pass over the batches: the mean loss, and how many images were seen."""
        self.model.train()
        self.optimizer.zero_grad()
        total, images, accumulate = 0.0, 0, self.settings.accumulate
        for number, batch in enumerate(self.batches(self.progressed.epoch), start=1):
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
            group["lr"] = group.get("share", 1.0) * self.schedule.at(self.progressed.step)
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.average is not None:
            self.average.update_parameters(self.model)
        self.progressed.step += 1

    def _judge(self, figure: float) -> None:
        progressed = self.progressed
        improved = figure > progressed.best + self.settings.delta or not progressed.best_epoch
        if improved:
            progressed.best, progressed.best_epoch = figure, progressed.epoch
            if self.rank.first:
                checkpoint.save({"model": self.kept.state_dict()}, self.folder / BEST)
        progressed.stopped = self.schedule.judge(improved)

    def _state(self) -> dict[str, Any]:
        """All that a resumed run needs, and under `model` the weights to export."""
        return {
            "model": self.kept.state_dict(),
            "network": self.model.state_dict(),
            "average": self.average.state_dict() if self.average is not None else {},
            "optimizer": self.optimizer.state_dict(),
            "schedule": asdict(self.schedule),
            "progressed": asdict(self.progressed),
            "rng": torch.get_rng_state(),
            "unreadable": sorted(map(str, self.unreadable)),
        }

    def _save(self) -> None:
        checkpoint.save(self._state(), self.folder / LAST)
        if self.unreadable:
            (self.folder / UNREADABLE).write_text("".join(f"{path}\n" for path in sorted(self.unreadable)))


def _optimizer(model: nn.Module, settings: FitSettings, shares: Mapping[str, float]) -> torch.optim.Optimizer:
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        share = next((share for prefix, share in shares.items() if name.startswith(prefix)), 1.0)
        if not share:
            parameter.requires_grad = False
        if parameter.requires_grad:
            groups.setdefault(share, []).append(parameter)
    learnt = [{"params": group, "share": share} for share, group in groups.items()]
    if settings.optimizer == "sgd":
        return torch.optim.SGD(learnt, momentum=0.9, weight_decay=settings.weight_decay)
    return torch.optim.AdamW(learnt, weight_decay=settings.weight_decay)


def _schedule(settings: FitSettings, steps: int) -> Plateau | Cosine | Staircase:
    """The rates of a run whose epochs have `steps` steps."""
    if settings.schedule == "plateau":
        return Plateau(settings.rate, settings.patience, settings.divide, settings.endless)
    if settings.schedule == "cosine":
        return Cosine(settings.rate, settings.patience, settings.epochs * steps)
    return Staircase(settings.rate, settings.every)


def _plot(folder: Path, epoch: int, row: Figures) -> None:
    """The row for TensorBoard; epochs that a resumed run repeats take the place of what a crash left."""
    with SummaryWriter(str(folder), purge_step=epoch) as writer:
        for name, value in row.items():
            writer.add_scalar(name, value, epoch)


def _average(model: nn.Module, decay: float) -> AveragedModel:
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

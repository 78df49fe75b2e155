"""What the training of every kind begins with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.trainers.data.dataset import Prepare, loader
from assay.trainers.data.samples import Balance, Sample, of_split, read_samples
from assay.trainers.fit.distributed import Distributed
from assay.trainers.fit.run import RunConfig


@dataclass(frozen=True, slots=True)
class Start:
    """This process among the others, the images that it computes at a time, and the run's samples."""

    rank: Distributed
    micro_batch: int
    train: list[Sample]
    held_out: list[Sample]
    seed: int

    @property
    def steps(self) -> int:
        """Batches of an epoch, in this process."""
        return max(1, len(self.train) // self.rank.world // self.micro_batch)

    def batches(
        self,
        prepare: Prepare,
        workers: int,
        *,
        balance: Balance = "generators",
        collate: Callable[[Sequence[tuple[Any, int] | Path]], Any] | None = None,
    ) -> Callable[[int], Any]:
        """What gives the batches of an epoch by its number: those of `loader` that are this process's."""

        def of_epoch(epoch: int) -> Any:
            return loader(
                self.train,
                prepare,
                batch=self.micro_batch,
                seed=self.seed,
                epoch=epoch,
                workers=workers,
                number=self.rank.number,
                world=self.rank.world,
                collate=collate,
                balance=balance,
            )

        return of_epoch


def begin(run: RunConfig, device: str = "auto") -> Start:
    """The start of a run on `device`, as `device_of` takes it.

    Raises SetupError about data, processes or the device.
    """
    rank = Distributed(device)
    micro_batch = rank.micro_batch(run.batch, run.fit.accumulate)
    samples = read_samples(run.data, run.min_side, run.only)
    return Start(rank, micro_batch, of_split(samples, "train"), of_split(samples, "val"), run.seed)

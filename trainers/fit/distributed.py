"""Where a process stands among those that torchrun started to train one network together."""

import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from assay.engine.errors import SetupError
from assay.trainers.fit.device import device_of

T = TypeVar("T")
PATIENCE = timedelta(hours=12)
"""How long processes wait for the first one, which alone judges the network after an epoch."""


class Distributed:
    """Process `number` of `world`, training on `device`; alone where torchrun did not start it.

    Each process has one CUDA device, or all of them compute on the CPU.
    """

    def __init__(self, device: str = "auto") -> None:
        """`device`: as `device_of` takes it. Raises SetupError where it is not there, or one for all."""
        self.number = int(os.environ.get("RANK", "0"))
        self.world = int(os.environ.get("WORLD_SIZE", "1"))
        if self.world > 1 and ":" in device:
            raise SetupError(f"--device {device} is one GPU for {self.world} processes: name cuda, one each")
        self.device = device_of(device, int(os.environ.get("LOCAL_RANK", "0")))
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)
        if self.world > 1 and not distributed.is_initialized():
            # Figures and flags go over gloo, so that they need no device.
            backend = "cpu:gloo,cuda:nccl" if self.device.type == "cuda" else "gloo"
            distributed.init_process_group(backend, timeout=PATIENCE)

    @property
    def first(self) -> bool:
        """Whether this is the process that judges, logs and saves."""
        return self.number == 0

    def micro_batch(self, batch: int, accumulate: int) -> int:
        """Images of a step that a process computes at a time. Raises SetupError where shares are uneven."""
        share = self.world * accumulate
        if batch % share or batch // share < 2:
            raise SetupError(
                f"a batch of {batch} images cannot be shared out evenly, two at least, among {self.world} "
                f"processes in {accumulate} parts"
            )
        return batch // share

    def wrap(self, model: nn.Module) -> nn.Module:
        """`model`, exchanging gradients with the other processes after each backward pass."""
        if self.world == 1:
            return model
        return DistributedDataParallel(model, [self.device] if self.device.type == "cuda" else None)

    def from_rank0(self, what: Callable[[], T]) -> T:
        """What the first process finds; the others wait for it. An error of its is raised in all."""
        if self.world == 1:
            return what()
        found: list[Any] = [None, None]
        if self.first:
            try:
                found[0] = what()
            except Exception as error:
                found[1] = error
        distributed.broadcast_object_list(found)
        if found[1] is not None:
            raise found[1]
        result: T = found[0]
        return result

    def union(self, values: set[T]) -> set[T]:
        """The values of all processes together."""
        if self.world == 1:
            return values
        gathered: list[set[T]] = [set() for _ in range(self.world)]
        distributed.all_gather_object(gathered, values)
        return set().union(*gathered)

    def all(self, flag: bool) -> bool:
        """Whether `flag` holds in every process."""
        if self.world == 1:
            return flag
        least = torch.tensor(int(flag))
        distributed.all_reduce(least, distributed.ReduceOp.MIN)
        return bool(least)

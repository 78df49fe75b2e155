"""What a run of the kind `denoiser` is: its options, its record. Needs no torch."""

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from assay.trainers.fit.run import Files, RunConfig
from assay.trainers.fit.settings import Epochs, FitSettings

Network: TypeAlias = Literal["student", "cycleisp"]
Objective: TypeAlias = Literal["psnr", "l1"]


class DenoiserFit(FitSettings):
    epochs: Epochs = 30
    """At most this many epochs."""
    lr: Annotated[float, Field(ge=0)] = 1e-3
    """Learning rate of Adam."""
    optimizer: Literal["adam"] = "adam"
    accumulate: Literal[1] = 1
    schedule: Literal["plateau", "cosine"] = "cosine"
    """plateau: divide the rate when patience runs out. cosine: fall to zero."""
    patience: Annotated[int, Field(ge=0)] = 0
    """Epochs without improvement to wait for; 0: no limit."""
    monitor: Literal["psnr"] = "psnr"
    min_delta: Annotated[float, Field(ge=0)] = 0.01
    """By how many dB an epoch must improve to count."""


class DenoiserFiles(Files):
    weights: Path | None = None
    """Published weights of the cycleisp network to start from; nothing is ever fetched."""


class DenoiserRun(RunConfig):
    """Train the denoiser of `lnp` on photographs with synthetic camera noise.

    Each epoch reports the PSNR of what it denoises beside that of the noisy images and of a Gaussian filter.
    """

    kind: Literal["denoiser"] = "denoiser"
    data: Path
    """Data set, as for `assay train plain`; only its photographs are used."""
    network: Network = "student"
    """student: small, for CPUs. cycleisp: the papers' network, for a GPU."""
    rrg: Annotated[int, Field(ge=1)] = 4
    """Groups of the cycleisp network."""
    dab: Annotated[int, Field(ge=1)] = 8
    """Blocks of a group. The published code has 8, the face paper 2."""
    objective: Objective = "psnr"
    """psnr: logarithm of each image's squared error. l1: absolute error, as CycleISP."""
    recipe: Literal["none"] = "none"
    altered_validation: Literal[False] = False
    crop: Annotated[int, Field(ge=32)] = 64
    """Side of training crops in pixels."""
    crops: Annotated[int, Field(ge=1)] = 16
    """Crops of each photograph in an epoch."""
    batch: Annotated[int, Field(ge=2)] = 32
    """Crops a step, over all processes."""
    fit: DenoiserFit = DenoiserFit()

"""The device that a command computes on, by the name that it was asked for."""

import re

import torch

from assay.engine.errors import SetupError


def device_of(asked: str, own: int = 0) -> torch.device:
    """`auto`, `cpu`, `cuda` or `cuda:N` -> the device; `own` is the GPU of a process that names no number.

    Raises SetupError that says why there is no such device.
    """
    named = re.fullmatch(r"cuda(?::(\d+))?", asked)
    if asked not in ("auto", "cpu") and not named:
        raise SetupError(f"--device is auto, cpu, cuda or cuda:N, not {asked!r}")
    if asked == "cpu" or (asked == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise SetupError(f"--device {asked}: {_why_none()}; with --device cpu it runs without")
    number = int(named[1]) if named and named[1] else own
    if number >= (count := torch.cuda.device_count()):
        raise SetupError(f"--device {asked}: there is no GPU {number}; {count} are seen, counted from 0")
    return torch.device("cuda", number)


def _why_none() -> str:
    if torch.version.cuda is None:
        return f"torch {torch.__version__} was built without CUDA"
    return "torch finds no GPU: an NVIDIA driver is missing here, or it finds none (see nvidia-smi)"

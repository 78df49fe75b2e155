"""How many processes take images in."""

CORES = 4
"""Cores for one front process, and what decodes and feeds GPUs beside it."""
PER_DEVICE = 2
"""Front processes that a GPU is worth at most."""


def fronts_of(chosen: int | None, devices: int, cores: int) -> int:
    """`chosen`, or without a choice: 1 where images are scored on CPU cores, which a front would take from
    them; with GPUs one for every four cores, and no more than two a GPU."""
    if chosen is not None:
        return chosen
    return max(1, min(PER_DEVICE * devices, cores // CORES))

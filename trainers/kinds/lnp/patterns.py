"""Noise patterns kept on disk: a denoiser costs as much as the classifier, and its answers never change."""

import hashlib
import os
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from assay.trainers.kinds.lnp.denoiser.network import Pattern

Plane = NDArray[np.float32]
"""(3, S, S): a view in 0..1, or its pattern."""


class Store:
    """Patterns in a folder, one file each, named by the content of the view and by the denoiser.

    A file is as large as its view in float32: 0.8 MB for 256 pixels a side. Processes may share the folder.
    """

    def __init__(self, folder: Path, denoiser: str) -> None:
        """`denoiser` identifies the denoiser, see `fingerprint`."""
        self.folder, self.denoiser = folder, denoiser

    def find(self, view: Plane) -> Plane | None:
        """The pattern of a view, if it is kept and whole."""
        try:
            pattern: Plane = np.load(self._file(view), allow_pickle=False)
        except (OSError, ValueError, EOFError):  # not there, or half a file after a crash of the machine
            return None
        return pattern if pattern.shape == view.shape and pattern.dtype == np.float32 else None

    def keep(self, view: Plane, pattern: Plane) -> None:
        file = self._file(view)
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_name(f".{file.name}.{os.getpid()}")
        with part.open("wb") as content:
            np.save(content, pattern)
        part.replace(file)  # a reader never meets half a pattern

    def _file(self, view: Plane) -> Path:
        digest = hashlib.sha256(f"{self.denoiser} {view.shape}".encode())
        digest.update(np.ascontiguousarray(view).data)
        name = digest.hexdigest()
        return self.folder / name[:2] / f"{name}.npy"


class Patterns:
    """A denoiser as the graph `denoise`, which asks the store first and keeps there what it computes."""

    def __init__(self, denoiser: Pattern, folder: Path, device: torch.device) -> None:
        self.store = Store(folder, fingerprint(denoiser))
        self._denoiser = denoiser.to(device).eval()
        self._device = device

    def __call__(self, *views: Plane) -> tuple[Plane]:
        """(N, 3, S, S) RGB in 0..1 -> (N, 3, S, S)."""
        [given] = views
        patterns = [self.store.find(view) for view in given]
        missing = [number for number, pattern in enumerate(patterns) if pattern is None]
        if missing:
            for number, pattern in zip(missing, self._compute(given[missing]), strict=True):
                self.store.keep(given[number], pattern)
                patterns[number] = pattern
        return (np.stack([pattern for pattern in patterns if pattern is not None]),)

    def _compute(self, views: Plane) -> Plane:
        # A training step may be under autocast; the served graph is not.
        with torch.inference_mode(), torch.autocast(self._device.type, enabled=False):
            found = self._denoiser(torch.from_numpy(views).to(self._device))
        patterns: Plane = found.cpu().numpy()
        return patterns


def fingerprint(denoiser: Pattern) -> str:
    """A hash of a denoiser's form, layers and weights."""
    digest = hashlib.sha256(f"{denoiser.form} {denoiser}".encode())
    for name, value in denoiser.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy())
    return digest.hexdigest()

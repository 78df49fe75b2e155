"""Where a trained denoiser comes from: a training run, or a file of weights, which identifies its network."""

import re
from pathlib import Path

from assay.engine.errors import SetupError
from assay.trainers.fit.checkpoint import load_state
from assay.trainers.fit.run import BEST
from assay.trainers.kinds.backbone import fill
from assay.trainers.kinds.lnp.denoiser.network import Denoiser, Student

BLOCK = re.compile(r"body\.(\d+)\.body\.(\d+)\.conv1x1\.weight")
"""The last layer of a block of the CycleISP network, by group and block."""


def load_denoiser(path: Path) -> Student | Denoiser:
    """A denoiser from the folder of a run of `assay train denoiser`, or from a file of weights.

    The file holds a student or, as published, a CycleISP network of any number of groups and blocks. Raises
    SetupError where it holds neither.
    """
    file = path / BEST if path.is_dir() else path
    state = load_state(file)
    if "layers.0.weight" in state:
        student = Student()
        fill(student, state, file)
        return student
    places = [(int(found[1]), int(found[2])) for name in state if (found := BLOCK.fullmatch(name))]
    if not places:
        raise SetupError(f"{file} holds no denoiser: neither a student nor a CycleISP network")
    rrg, dab = (1 + max(numbers) for numbers in zip(*places, strict=True))
    denoiser = Denoiser(rrg, dab)
    denoiser.load_published(file)
    return denoiser

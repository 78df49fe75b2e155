"""The kinds of detectors that can be trained: one folder each, and one line here.

A kind's folder has `run.py`, its options (no torch), and `fit.py` with `make_fit` and, where it gives a
verdict, `scorer_of` and `export_run`.
"""

from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Literal

from assay.trainers.fit.run import Files, RunConfig
from assay.trainers.kinds.apn.run import ApnFiles, ApnRun
from assay.trainers.kinds.baseline.run import BaselineFiles, BaselineRun
from assay.trainers.kinds.fusing.run import FusingRun
from assay.trainers.kinds.lnp.denoiser.run import DenoiserFiles, DenoiserRun
from assay.trainers.kinds.lnp.run import LnpFiles, LnpRun
from assay.trainers.kinds.plain.run import PlainFiles, PlainRun


@dataclass(frozen=True)
class Kind:
    """What the commands need of a kind.

    run, files: what is trained how, and the files that a new run starts from.
    module: where `make_fit` and `export_run` are; importing it loads torch.
    figure: how the monitored figure is printed.
    several_crops: whether a bundle can average several crops of an image.
    argument: the field of a run that is no option but stands behind the command's name.
    """

    run: type[RunConfig]
    files: type[Files]
    module: str
    figure: str = "{:.4f}"
    several_crops: bool = False
    argument: str = ""

    def load(self) -> ModuleType:
        """The module that trains the kind."""
        return import_module(self.module)


Crop = Literal["centre"] | tuple[tuple[float, float], ...]
CROPS: dict[str, Crop] = {
    "centre": "centre",
    "five": ((0.0, 0.0), (0.0, 1.0), (0.5, 0.5), (1.0, 0.0), (1.0, 1.0)),
}
"""What a bundle looks at of a large image, by the name that `assay export` has for it."""
KINDS: dict[str, Kind] = {
    "plain": Kind(PlainRun, PlainFiles, "assay.trainers.kinds.plain.fit", several_crops=True),
    "baseline": Kind(
        BaselineRun, BaselineFiles, "assay.trainers.kinds.baseline.fit", several_crops=True, argument="name"
    ),
    "fusing": Kind(FusingRun, Files, "assay.trainers.kinds.fusing.fit"),
    "apn": Kind(ApnRun, ApnFiles, "assay.trainers.kinds.apn.fit"),
    "denoiser": Kind(DenoiserRun, DenoiserFiles, "assay.trainers.kinds.lnp.denoiser.fit", "{:.2f} dB"),
    "lnp": Kind(LnpRun, LnpFiles, "assay.trainers.kinds.lnp.fit", several_crops=True),
}

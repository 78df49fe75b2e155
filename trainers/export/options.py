"""What `assay export` was asked for, as `export_run` of every kind takes it."""

from dataclasses import dataclass
from pathlib import Path

from assay.engine.bundle import Manifest
from assay.trainers.fit.run import BEST, LAST, RunConfig
from assay.trainers.kinds import Crop


@dataclass(frozen=True)
class ExportOptions:
    """What the bundle is called, which weights of the run it has and how they are served.

    best: the best weights, else the last; crop: of a large image, where the kind can look at several;
    min_side: pixels below which an image is rejected; programs: each graph as .pt2, too.
    """

    name: str
    version: str = "1.0.0"
    licence: str = "Apache-2.0"
    best: bool = True
    crop: Crop = "centre"
    min_side: int = 64
    programs: bool = False

    def weights(self, folder: Path) -> Path:
        """The checkpoint to take of the run in `folder`."""
        return folder / (BEST if self.best else LAST)

    def manifest(self, template: Manifest, run: RunConfig) -> Manifest:
        """`template` with the bundle's name and with what it was trained on."""
        return template.model_copy(update=run.manifest_fields(self.name, self.version, self.licence))

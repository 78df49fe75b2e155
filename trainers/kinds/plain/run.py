"""What a run of the kind `plain` is: its options, its record. Needs no torch."""

from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import Field

from assay.trainers.fit.run import RunConfig
from assay.trainers.fit.settings import Epochs, FitSettings

Backbone: TypeAlias = Literal["resnet50", "mobilenet_v2", "no_down", "patch_forensics"]
"""resnet50: CNN_aug (Wang et al. 2020). no_down: ResNet-50 that keeps its first layers' resolution
(Gragnaniello et al. 2021). patch_forensics: ResNet-18 cut off after its first stage, with a decision at each
position (Chai et al. 2020)."""


class PlainFit(FitSettings):
    epochs: Epochs = 100
    """At most this many epochs."""
    monitor: Literal["accuracy", "map"] = "accuracy"
    """Validated figure that picks the best epoch."""


class PlainRun(RunConfig):
    """Train `plain`: one logit on native-resolution crops; with its defaults the papers' CNN_aug baseline.

    Two more of the Fusing paper's baselines are backbones here; all are trained on the same native crops.
    """

    not_in_manifest: ClassVar[frozenset[str]] = frozenset({"size"})
    kind: Literal["plain"] = "plain"
    backbone: Backbone = "resnet50"
    """Network. resnet50: CNN_aug. no_down: ResNet-50 without its first two reductions. patch_forensics: the
    start of ResNet-18, with a decision at each position."""
    size: Annotated[int, Field(ge=32)] = 224
    """Side of the served view in pixels."""
    crop: Annotated[int, Field(ge=32)] | None = None
    """Side of training crops in pixels; smaller ones train faster. [default: size]"""
    smoothing: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Label smoothing."""
    fit: PlainFit = PlainFit()

    @property
    def crop_side(self) -> int:
        """Side of training crops in pixels."""
        return self.crop or self.size

"""What a run of the kind `plain` is: its options, its record. Needs no torch."""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from assay.trainers.data.samples import Balance
from assay.trainers.fit.run import Files, RunConfig
from assay.trainers.fit.settings import Epochs, FitSettings

Backbone: TypeAlias = Literal["resnet50", "mobilenet_v2", "no_down", "patch_forensics", "stages"]
"""resnet50: CNN_aug (Wang et al. 2020). no_down: ResNet-50 that keeps its first layers' resolution
(Gragnaniello et al. 2021). patch_forensics: ResNet-18 cut off after its first stage, with a decision at each
position (Chai et al. 2020). stages: MobileNetV2 and a head on all of its stages."""
Views: TypeAlias = Literal["stored", "reduced", "both"]


class PlainFit(FitSettings):
    epochs: Epochs = 100
    """At most this many epochs."""
    monitor: Literal["accuracy", "map"] = "accuracy"
    """Validated figure that picks the best epoch."""


class PlainFiles(Files):
    traces: Path | None = None
    """For stages: a second network beside the first, the classify.onnx of a MobileNetV2 bundle."""

    def names(self) -> dict[str, str]:
        return {**super().names(), "traces": self.traces.name if self.traces else ""}

    def arguments(self) -> tuple[Any, ...]:
        return self.weights, self.traces


class PlainRun(RunConfig):
    """Train `plain`: one logit on native-resolution crops; with its defaults the papers' CNN_aug baseline.

    Two more of the Fusing paper's baselines are backbones here; all are trained on the same native crops.
    """

    not_in_manifest: ClassVar[frozenset[str]] = frozenset({"size"})
    kind: Literal["plain"] = "plain"
    backbone: Backbone = "resnet50"
    """Network. resnet50: CNN_aug. no_down: ResNet-50 without its first two reductions. patch_forensics: the
    start of ResNet-18, with a decision at each position. stages: MobileNetV2 and a head on all of its
    stages."""
    trained_layers: Annotated[int, Field(ge=0, le=19)] = 0
    """For stages: how many of MobileNetV2's last layers are trained with the head; the others stay as they
    are."""
    layers_lr_scale: Annotated[float, Field(gt=0, le=1)] = 1.0
    """For stages: what share of the rate these layers get."""
    mixup: Annotated[float, Field(ge=0)] = 0.0
    """For stages: alpha of mixup behind the layers that stay as they are; 0: none."""
    traces: str = ""
    """File name of the graph of a second network; empty where there is none."""
    size: Annotated[int, Field(ge=32)] = 224
    """Side of the served view in pixels."""
    crop: Annotated[int, Field(ge=32)] | None = None
    """Side of training crops in pixels; smaller ones train faster. [default: size]"""
    balance: Balance = "generators"
    """What takes equal turns. generators: photographs by number. sources: photographs, too, by source; both
    by the square root of their images."""
    views: Views = "stored"
    """What is looked at: crops of stored pixels, the image made smaller, or both."""
    smoothing: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Label smoothing."""
    fit: PlainFit = PlainFit()

    @model_validator(mode="after")
    def _keeps_to_stages_what_is_theirs(self) -> Self:
        for name in ("traces", "trained_layers", "mixup"):
            if getattr(self, name) and self.backbone != "stages":
                option = name.replace("_", "-")
                raise ValueError(f"--{option} stands beside --backbone stages, not {self.backbone}")
        return self

    @property
    def crop_side(self) -> int:
        """Side of training crops in pixels."""
        return self.crop or self.size

"""What a run of the kind `fusing` is: its options, its record. Needs no torch."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import Field

from assay.trainers.fit.run import RunConfig
from assay.trainers.fit.settings import Epochs, FitSettings

Backbone: TypeAlias = Literal["resnet50", "resnet18", "mobilenet_v2"]
PatchRule: TypeAlias = Literal["selected", "random", "resized"]
"""selected: the patch selection module (Our_PSM). random: as many patches of the same sizes anywhere
(Our_RdmCrop). resized: the image resized to twice the view's side, its four corners and its centre
(Our_Rsz448)."""


class FusingFit(FitSettings):
    epochs: Epochs = 100
    """At most this many epochs."""
    lr: Annotated[float, Field(ge=0)] = 1e-4
    """Learning rate. The published script: 5e-5."""
    optimizer: Literal["adam", "sgd"] = "adam"
    """Optimiser; the published code offers both."""
    patience: Annotated[int, Field(ge=0)] = 5
    """Epochs without improvement to wait for; 0: no limit. Published: 10."""
    factor: Annotated[float, Field(ge=1)] = 10.0
    """What a plateau divides the rate by. The published code: 2."""
    endless: bool = False
    """Go on at a rate of 1e-6 instead of stopping, as the published code does."""
    min_delta: Annotated[float, Field(ge=0)] = 1e-3
    """By how much an epoch must improve to count. Published: 1e-4."""
    monitor: Literal["accuracy", "map"] = "accuracy"
    """Validated figure that picks the best epoch."""


class FusingRun(RunConfig):
    """Train `fusing`: the whole image and its strongest patches; with its defaults the paper's recipe."""

    renamed: ClassVar[Mapping[str, str]] = {**RunConfig.renamed, "backbone_share": "backbone_lr_scale"}
    kind: Literal["fusing"] = "fusing"
    backbone: Backbone = "resnet50"
    """Network; resnet50 is the paper's."""
    patches: PatchRule = "selected"
    """selected: the paper's. random, resized: its ablations RdmCrop and Rsz448."""
    crop: Annotated[int, Field(ge=32, le=224)] = 224
    """Train on the middle of each patch, this many pixels a side: less is faster."""
    hold_statistics: bool = False
    """Leave the statistics of batch normalisation as they are in the pretrained weights."""
    backbone_lr_scale: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Factor on the learning rate of the backbone; 0: it stays as it is."""
    batch: Annotated[int, Field(ge=2)] = 64
    """Images a step, over all processes. The published script: 128."""
    fit: FusingFit = FusingFit()

"""What a run of the kind `apn` is: its options, its record. Needs no torch."""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import AfterValidator, Field

from assay.trainers.data.augment import RecipeName
from assay.trainers.fit.run import Files, RunConfig
from assay.trainers.fit.settings import Epochs, FitSettings

Trunk: TypeAlias = Literal["swin_t", "convnext_base", "resnet50", "resnet18", "mobilenet_v2"]
Masks: TypeAlias = Literal["hard", "soft"]
ObjectiveName: TypeAlias = Literal["paper", "published", "shipped"]
Form: TypeAlias = Literal["whole", "no_implicit", "no_explicit", "frequency", "space", "spectra", "split"]
"""whole: the network of the paper. The others are the ablations of its table 4."""
WHOLE: tuple[Form, ...] = ("whole", "no_implicit")
"""Forms whose network is the whole one; the others differ from it, and no engine serves them."""
Branch: TypeAlias = Literal["spatial", "frequency"]


def _even(side: int) -> int:
    if side % 2:
        raise ValueError(f"must be even, not {side}")
    return side


class ApnFit(FitSettings):
    epochs: Epochs = 10
    """At most this many epochs. The paper: 10, and 40 on DiffusionForensics."""
    lr: Annotated[float, Field(ge=0)] = 1e-4
    """Learning rate; the vectors' is a thousandth."""
    optimizer: Literal["adam"] = "adam"
    schedule: Literal["staircase"] = "staircase"
    step_size: Annotated[int, Field(ge=1)] = 20_000
    """Steps after which the rate is divided by ten. Published: 30000."""
    monitor: Literal["accuracy", "map"] = "accuracy"
    """Validated figure that picks the best epoch."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """bf16: mixed precision; proposals stay in fp32."""


class ApnFiles(Files):
    weights: None = None
    weights_spatial: Path | None = None
    """Pretrained ImageNet weights of the spatial branch in torchvision's layout; nothing is fetched."""
    weights_frequency: Path | None = None
    """Pretrained ImageNet weights of the frequency branch in torchvision's layout; nothing is fetched."""

    def by_branch(self) -> dict[Branch, Path]:
        given: dict[Branch, Path | None] = {
            "spatial": self.weights_spatial,
            "frequency": self.weights_frequency,
        }
        return {branch: file for branch, file in given.items() if file is not None}

    def names(self) -> dict[str, str]:
        return {"weights": ", ".join(f"{branch}: {file.name}" for branch, file in self.by_branch().items())}

    def arguments(self) -> tuple[Any, ...]:
        return (self.by_branch(),)


class ApnRun(RunConfig):
    """Train `apn`: suspicious frequency bands beside the image; with its defaults the paper's recipe."""

    not_in_manifest: ClassVar[frozenset[str]] = frozenset({"size"})
    kind: Literal["apn"] = "apn"
    proposals: Annotated[int, Field(ge=1)] = 15
    """Bands of an image. The paper: 15, and 5 on DiffusionForensics."""
    spatial: Trunk = "swin_t"
    """Network of the image; swin_t is the paper's."""
    frequency: Trunk = "resnet18"
    """Network of purified images; resnet18 is the paper's."""
    masks: Masks = "hard"
    """hard: as published, only the band loss moves bands. soft: every loss does."""
    objective: ObjectiveName = "paper"
    """Losses as the paper defines them; with the published code's weights; or the paper's, each branch's own
    prediction, bands kept below 1, and a bound on the mutual information kept above 0."""
    form: Form = "whole"
    """The network, or one of table 4's ablations, which the engine does not serve."""
    recipe: RecipeName = "none"
    """Augmentation; none is the paper's."""
    altered_validation: Literal[False] = False
    size: Annotated[int, Field(ge=32), AfterValidator(_even)] = 224
    """Side of a view in pixels, even."""
    batch: Annotated[int, Field(ge=2)] = 32
    """Images a step, over all processes."""
    fit: ApnFit = ApnFit()

    @property
    def served(self) -> bool:
        """Whether the engine can run the network; it cannot where a part is taken away."""
        return self.form in WHOLE

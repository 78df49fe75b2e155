"""What a run of the kind `baseline` is: its options, its record. Needs no torch."""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from assay.trainers.fit.run import Files, RunConfig
from assay.trainers.fit.settings import Epochs, FitSettings
from assay.trainers.kinds.plain.run import Backbone, PlainRun

Name: TypeAlias = Literal["spec", "dct_cnn", "f3net", "gramnet", "sia", "swin_t", "lgrad"]


class BaselineFit(FitSettings):
    epochs: Epochs = 100
    """At most this many epochs."""
    monitor: Literal["accuracy", "map"] = "accuracy"
    """Validated figure that picks the best epoch."""


class BaselineFiles(Files):
    transform: Path | None = None
    """For lgrad: the folder of a run of `assay train plain`, whose gradients are looked at."""

    def names(self) -> dict[str, Any]:
        other = PlainRun.read(self.transform) if self.transform else None
        return {**super().names(), "transform": other.backbone if other else None}

    def arguments(self) -> tuple[Any, ...]:
        return self.weights, self.transform


class BaselineRun(RunConfig):
    """Train a `baseline` of the papers' tables: their networks, on the same native crops by the same recipe.

    What comes of it is exported as a bundle of the kind plain; lgrad alone is judged as a run.
    """

    not_in_manifest: ClassVar[frozenset[str]] = frozenset({"size"})
    kind: Literal["baseline"] = "baseline"
    name: Name
    """spec: logarithmic spectra and ResNet-34 (Zhang et al. 2019). dct_cnn: cosine transforms and a small
    network (Frank et al. 2020). f3net: bands and local statistics of cosine transforms, ResNet-50 twice (Qian
    et al. 2020). gramnet: ResNet-18 with textures (Liu et al. 2020). sia: EfficientNet-B4 with attention by
    self-information (Sun et al. 2022). swin_t: Swin-T (Liu et al. 2021). lgrad: ResNet-50 on another
    network's gradients (Tan et al. 2023)."""
    transform: Backbone | None = None
    """What the other network of lgrad is built on."""
    size: Annotated[int, Field(ge=32, multiple_of=4)] = 224
    """Side of a view in pixels."""
    fit: BaselineFit = BaselineFit()

    @model_validator(mode="after")
    def _has_a_transform_for_lgrad_alone(self) -> Self:
        if (self.transform is None) == (self.name == "lgrad"):
            raise ValueError("--transform RUN belongs to lgrad, which needs it")
        if self.transform == "stages":
            raise ValueError("--transform: a head on stages has no gradient to look at; name another run")
        return self

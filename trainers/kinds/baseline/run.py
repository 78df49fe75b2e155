"""What a run of the kind `baseline` is: its options, its record. Needs no torch."""

from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import Field

from assay.trainers.fit.run import RunConfig
from assay.trainers.fit.settings import Epochs, FitSettings

Name: TypeAlias = Literal["spec", "dct_cnn", "gramnet", "swin_t"]


class BaselineFit(FitSettings):
    epochs: Epochs = 100
    """At most this many epochs."""
    monitor: Literal["accuracy", "map"] = "accuracy"
    """Validated figure that picks the best epoch."""


class BaselineRun(RunConfig):
    """Train a `baseline` of the papers' tables: their networks, on the same native crops by the same recipe.

    What comes of it is exported as a bundle of the kind plain.
    """

    not_in_manifest: ClassVar[frozenset[str]] = frozenset({"size"})
    kind: Literal["baseline"] = "baseline"
    name: Name
    """spec: logarithmic spectra and ResNet-34 (Zhang et al. 2019). dct_cnn: cosine transforms and a small
    network (Frank et al. 2020). gramnet: ResNet-18 with textures (Liu et al. 2020). swin_t: Swin-T (Liu et
    al. 2021)."""
    size: Annotated[int, Field(ge=32, multiple_of=4)] = 224
    """Side of a view in pixels."""
    fit: BaselineFit = BaselineFit()

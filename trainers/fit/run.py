"""The folder of a training run: what was trained how, so that it can be resumed and exported."""

import json
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from assay.engine.errors import SetupError
from assay.trainers.data.augment import RecipeName
from assay.trainers.fit.loop import FitSettings
from assay.trainers.kinds.plain.network import Backbone

FILE = "run.json"


class Record(BaseModel):
    """What `run.json` holds for every kind; each kind adds its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    elsewhere: ClassVar[set[str]] = set()
    """Fields of a kind that a manifest has in another place, or that concern only the machine."""

    kind: str
    weights: str
    """File name of the pretrained backbone; empty where training started from random weights."""
    data: Path
    """Root of the data set."""
    min_side: int = 0
    """Images of the data set with a shorter side below so many pixels are left out."""
    recipe: RecipeName
    """What training images go through before a view is cut."""
    altered: bool = False
    """Whether validation images are blurred and compressed now and then, as the published code does."""
    batch: int
    """Images a step."""
    seed: int
    fit: FitSettings

    def write(self, folder: Path) -> None:
        """Writes `run.json` into `folder`, which is made where it is missing."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FILE).write_text(self.model_dump_json(indent=2) + "\n", "utf-8")

    def names(self, name: str, version: str, licence: str) -> dict[str, Any]:
        """What a bundle's manifest has of the run that it was trained by, and what it is called."""
        trained_on = self.model_dump(mode="json", exclude={"kind", "data"} | self.elsewhere)
        return {"name": name, "version": version, "licence": licence, "trained_on": trained_on}

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The run in `folder`. Raises SetupError where there is none, or another kind's or version's."""
        try:
            return cls.model_validate_json((folder / FILE).read_text("utf-8"))
        except (OSError, ValidationError) as error:
            raise SetupError(f"{folder} is not the folder of such a training run: {error}") from None


class Run(Record):
    """A run of the kind `plain`."""

    elsewhere: ClassVar[set[str]] = {"size"}
    backbone: Backbone
    size: int
    """Side of a served view in pixels."""
    crop: int
    """Side of a training crop in pixels, at most `size`."""
    smoothing: float
    """Label smoothing."""


def kind_of(folder: Path) -> str:
    """The kind of the run in `folder`. Raises SetupError where there is none."""
    try:
        return str(json.loads((folder / FILE).read_text("utf-8"))["kind"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SetupError(f"{folder} is not the folder of a training run: {error}") from None

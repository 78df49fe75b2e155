"""A bundle: the folder that a trainer hands to an engine. `manifest.json`, ONNX graphs, a card.

Everything that decides a score stands in the manifest: views, graphs with their hashes, calibration,
thresholds. `load` checks all of it before any graph is opened, so that a broken bundle is one sentence at
start-up and never a wrong verdict.
"""

import hashlib
import json
import math
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, FiniteFloat, ValidationError, field_validator, model_validator

from assay.engine.domain import Domain, Measures, doubted
from assay.engine.errors import BundleError
from assay.engine.outcome import Doubt, Label
from assay.engine.record import Record
from assay.kernels import ViewRule

SCHEMA = 1
SHIPPED = Path(__file__).parent / "bundles"
DEFAULT = "stages-mobilenet"

Probability = Annotated[float, Field(ge=0, le=1)]
Shape = tuple[int | str, ...]
"""The shape of a tensor, images first; a name (`N`, `K`) stands for a dimension that varies."""


class File(Record):
    """A file of the bundle and its hash."""

    file: str
    sha256: str

    @field_validator("file")
    @classmethod
    def _inside(cls, file: str) -> str:
        if Path(file).name != file:
            raise ValueError("must be a plain file name inside the bundle")
        return file


class GraphSpec(File):
    """One ONNX graph: its file, its hash, its tensors in call order, and the precisions measured for it."""

    inputs: dict[str, Shape]
    outputs: dict[str, Shape]
    precisions: dict[str, float] = Field(default_factory=lambda: {"fp32": 0.0})
    """Precision -> largest measured difference of the probability to fp32."""
    emulated: tuple[str, ...] = ()
    """Those of `precisions` that were measured by an emulation, and not yet on a device."""
    program: File | None = None
    """The same graph as a torch.export program (`.pt2`), for the executor `torch_export`."""
    int8: File | None = None
    """The same graph with quantisers, where int8 was measured and is offered."""


class Calibration(Record):
    """How a logit becomes a probability.

    `temperature`: sigmoid((logit - shift) / temperature). `isotonic`: linear between `points`, (logit,
    probability) both rising, and constant beyond the first and the last one; `shift` is then the logit at
    which it passes 0.5, and `temperature` has no meaning.
    """

    method: Literal["temperature", "isotonic"] = "temperature"
    temperature: float = Field(1.0, gt=0)
    shift: float = 0.0
    points: tuple[tuple[FiniteFloat, Probability], ...] | None = None

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if (self.method == "isotonic") != bool(self.points):
            raise ValueError("method isotonic needs points, and no other method has any")
        for (left, low), (right, high) in pairwise(self.points or ()):
            if left >= right or low > high:
                raise ValueError("the logits of points must rise, and their probabilities must not fall")
        return self

    def probability(self, logit: float) -> float:
        """The calibrated probability of synthetic for one logit, without overflow at either end."""
        if self.points:
            place = bisect_right(self.points, logit, key=lambda point: point[0])
            if place in (0, len(self.points)):
                return self.points[min(place, len(self.points) - 1)][1]
            (left, low), (right, high) = self.points[place - 1 : place + 1]
            return min(high, low + (high - low) * ((logit - left) / (right - left)))
        z = (logit - self.shift) / self.temperature
        return 1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (1 + math.exp(z))


class Thresholds(Record):
    """At or above `synthetic` the label is synthetic, at or below `authentic` it is authentic."""

    synthetic: float = Field(ge=0, le=1)
    authentic: float = Field(ge=0, le=1)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.authentic >= self.synthetic:
            raise ValueError("authentic must lie below synthetic")
        return self

    def label(self, probability: float) -> Label:
        if probability >= self.synthetic:
            return Label.SYNTHETIC
        return Label.AUTHENTIC if probability <= self.authentic else Label.UNCERTAIN


class Manifest(Record):
    """The contents of `manifest.json`."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    schema_: int = Field(alias="schema")
    kind: str
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    version: str
    licence: str
    view: ViewRule
    min_side: int = Field(gt=0)
    max_batch: int = Field(64, gt=0)
    parameters: dict[str, Any] = Field(default_factory=dict)
    graphs: dict[str, GraphSpec]
    calibration: Calibration = Calibration()
    thresholds: Thresholds
    domain: Domain | None = None
    """What the bundle knows; without it no image is doubted."""
    trained_on: dict[str, Any] = Field(default_factory=dict)
    metrics: dict[str, Any] = Field(default_factory=dict)

    def label(self, probability: float, measures: Measures) -> tuple[Label, tuple[Doubt, ...]]:
        """The label of an image, and why it is uncertain where it is."""
        doubts = self.domain.doubts(measures) if self.domain else ()
        return doubted(self.thresholds.label(probability), doubts)


@dataclass(frozen=True)
class Bundle:
    """A checked bundle: its folder and its manifest."""

    path: Path
    manifest: Manifest

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def version(self) -> str:
        return self.manifest.version

    @property
    def kind(self) -> str:
        return self.manifest.kind

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read and check the bundle in folder `path`.

        Raises:
            BundleError: what is wrong with which file, in one sentence.
        """
        manifest = _manifest(path)
        for name, graph in manifest.graphs.items():
            for file in (graph, graph.program, graph.int8):
                if file:
                    _check(path, name, file)
        return cls(path, manifest)

    @property
    def ships(self) -> bool:
        """Whether the bundle came with Assay, so that its files may be trusted."""
        return self.path.resolve().parent == SHIPPED.resolve()


def sha256_of(file: Path) -> str:
    """The SHA-256 of a file in hexadecimal."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def first_fault(error: ValidationError) -> tuple[str, str]:
    """Where in a record the first fault is, a dotted path, and what is wrong there, in words."""
    first = error.errors(include_url=False)[0]
    return ".".join(str(part) for part in first["loc"]), first["msg"]


def _check(path: Path, graph: str, named: File) -> None:
    file = path / named.file
    if not file.is_file():
        raise BundleError(f"bundle {path}: graph {graph!r} needs {named.file}, which is not there")
    if sha256_of(file) != named.sha256:
        raise BundleError(
            f"bundle {path}: {named.file} is not the file that the manifest names "
            "(its SHA-256 differs); fetch or export the bundle again"
        )


def _manifest(path: Path) -> Manifest:
    file = path / "manifest.json"
    if not path.is_dir():
        raise BundleError(
            f"bundle {path}: there is no such folder, and no bundle of that name ships with Assay"
        )
    try:
        record = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        raise BundleError(f"bundle {path}: the folder has no manifest.json") from None
    except (OSError, ValueError) as error:
        raise BundleError(f"bundle {path}: manifest.json cannot be read: {error}") from None
    schema = record.get("schema") if isinstance(record, dict) else None
    if isinstance(schema, int) and schema > SCHEMA:
        raise BundleError(
            f"bundle {path}: manifest schema {schema} is newer than this Assay reads ({SCHEMA}); "
            "upgrade Assay"
        )
    if schema != SCHEMA:
        raise BundleError(f"bundle {path}: manifest.json names no schema that this Assay reads ({SCHEMA})")
    try:
        return Manifest.model_validate(record)
    except ValidationError as error:
        where, said = first_fault(error)
        raise BundleError(f"bundle {path}: manifest.json, {where or 'manifest'}: {said}") from None


def shipped() -> Iterator[Path]:
    """The folders of the bundles inside the package, by name."""
    return (file.parent for file in sorted(SHIPPED.glob("*/manifest.json")))


def find(name: str) -> Bundle:
    """The bundle that `name` means: a folder, or the name of one that ships with Assay.

    Raises:
        BundleError: there is none, or it is broken.
    """
    folder = SHIPPED / name
    return Bundle.load(folder if "/" not in name and folder.is_dir() else Path(name))

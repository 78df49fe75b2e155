"""What a run of the kind `lnp` is: its options, its record. Needs no torch."""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field

from assay.engine.detectors.lnp.detector import Parameters
from assay.engine.detectors.lnp.face import Choice, CutSettings, Outside
from assay.trainers.data.augment import RecipeName
from assay.trainers.fit.run import Files, RunConfig
from assay.trainers.fit.settings import Epochs, FitSettings

Classifier: TypeAlias = Literal["mobilenet_v2", "resnet34", "resnet50"]
Attended: TypeAlias = Literal["spectra", "all", "none"]
AttentionForm: TypeAlias = Literal["normalised", "paper", "danet"]
Normalise: TypeAlias = Literal["channels", "none"]
PatternForm: TypeAlias = Literal["raw", "published"]
Resize: TypeAlias = Literal["none", "short_side"]
Scaling: TypeAlias = Literal["log", "paper", "published"]

SCALINGS: dict[Scaling, Parameters] = {
    "log": Parameters(),
    "paper": Parameters(norm="forward", amplitude="linear", centred=False),
    "published": Parameters(amplitude="power", exponent=0.8, grey=(0.11, 0.59, 0.30)),
}
"""How spectra are scaled, by name; `paper` is the face paper, `published` the code of Liu et al."""


def _point(given: object) -> object:
    """`Y,X` as the command line has it -> numbers."""
    if not isinstance(given, str):
        return given
    try:
        y, x = map(float, given.split(","))
    except ValueError:
        raise ValueError(f"{given!r} is not Y,X, such as 0.5,0.5") from None
    return y, x


def _inside(point: tuple[float, float]) -> tuple[float, float]:
    if not all(0 <= part <= 1 for part in point):
        raise ValueError(f"{point} lies outside the image: Y and X are fractions from 0 to 1")
    return point


Point: TypeAlias = Annotated[tuple[float, float], BeforeValidator(_point), AfterValidator(_inside)]


class LnpFit(FitSettings):
    epochs: Epochs = 100
    """At most this many epochs."""
    monitor: Literal["accuracy", "map"] = "accuracy"
    """Validated figure that picks the best epoch."""


class LnpFiles(Files):
    denoiser: Path | None = None
    """What finds the noise: the folder of a run of `assay train denoiser`, or a file of CycleISP's published
    weights. It is not trained any further."""

    def arguments(self) -> tuple[Any, ...]:
        return self.weights, self.denoiser


class LnpRun(RunConfig):
    """Train `lnp`: noise patterns and their spectra; with its defaults the face paper's network.

    The paper names no optimiser: steps are those of CNNDetection, by which Liu et al. trained. Patterns are
    computed once for each way of each image and kept, 0.8 MB each at 256 pixels.
    """

    not_in_manifest: ClassVar[frozenset[str]] = frozenset({"sam", "cache", "size", "scaling", "channels"})
    kind: Literal["lnp"] = "lnp"
    classifier: Classifier = "mobilenet_v2"
    """Network; the paper compares the three and takes mobilenet_v2."""
    attended: Attended = "spectra"
    """What channel attention weighs: the spectra (the paper's), all channels, nothing."""
    attention: AttentionForm = "normalised"
    """How: by correlation, or by the raw products of the paper or of DANet's code."""
    normalise: Normalise = "channels"
    """channels: each enters with mean 0 and deviation 1, so that to --attention paper each is most like
    itself, and what it does is no more than a factor. none: as they are: the paper's formula."""
    channels: Literal["1", "3"] = "1"
    """Channels of a spectrum: grey (the paper's) or by colour."""
    scaling: Scaling = "log"
    """Of spectra. log: logarithm, centred. paper: divided by the number of pixels, as it is. published: power
    0.8, centred, as in the code of Liu et al."""
    form: PatternForm = "raw"
    """Of patterns. raw: floats. published: 8 bits, as the code of Liu et al. has them."""
    size: Annotated[int, Field(ge=32)] = 256
    """Side of a view in pixels."""
    resize: Resize = "none"
    """none: views of original pixels. short_side: of the image at that size."""
    sam: Path | None = None
    """Folder of Segment Anything's weights as transformers saves them: the face is cut out. Without, images
    stay whole; nothing is ever fetched."""
    point: Annotated[tuple[Point, ...], Field(min_length=1)] = ((0.5, 0.5),)
    """A point on the face, Y,X as fractions from 0 to 1; may be repeated."""
    mask: Choice = "best"
    """Which of SAM's three masks; best: the one that it trusts most."""
    outside: Outside = "black"
    """What replaces all but the face."""
    recipe: RecipeName = "none"
    """Augmentation. cnn_aug: CNNDetection's (10 % blur, 10 % JPEG, flips). shipped: stronger."""
    altered_validation: Literal[False] = False
    ways: Annotated[int, Field(ge=1)] = 1
    """In how many ways an image is cut and altered, each denoised once."""
    turn: bool = False
    """Turn and mirror kept patterns, so that they differ every time."""
    cache: Path | None = None
    """Folder for masks and patterns, which runs with the same denoiser may share. [default: OUT/cache]"""
    fit: LnpFit = LnpFit()

    @property
    def spectra(self) -> Parameters:
        """How spectra are scaled, and of how many channels they are."""
        spectra = SCALINGS[self.scaling]
        return spectra if self.channels == "1" else spectra.model_copy(update={"grey": None})

    @property
    def cut(self) -> CutSettings:
        """What SAM is asked, and what is made of its answer."""
        return CutSettings(points=self.point, choice=self.mask, outside=self.outside)

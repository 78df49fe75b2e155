"""Reading an image of a data set by the engine's admission and decoder: what is trained is what is served."""

from pathlib import Path

from assay.engine.admission import Header, admit
from assay.engine.decode.turbo import decode_one
from assay.engine.outcome import Refused
from assay.engine.settings import Limits
from assay.trainers.data.augment import Pixels


def read_pixels(path: Path) -> Pixels:
    """The (H, W, 3) uint8 RGB pixels of a file. Raises OSError, or Refused where the engine would refuse."""
    return pixels_of(path.read_bytes())


def pixels_of(data: bytes) -> Pixels:
    """The (H, W, 3) uint8 RGB pixels of an encoded image. Raises Refused where the engine would refuse it."""
    return decoded(data)[0]


def decoded(data: bytes) -> tuple[Pixels, Header]:
    """The same, and what the image says of itself."""
    header = admit(data, Limits(), min_side=1)
    image = decode_one((data, header))
    if isinstance(image, Refused):
        raise image
    return image, header

"""Reading an image of a data set by the engine's admission and decoder: what is trained is what is served."""

from pathlib import Path

from assay.engine.admission import admit
from assay.engine.decode.turbo import decode_one
from assay.engine.outcome import Refused
from assay.engine.settings import Limits
from assay.trainers.data.augment import Pixels


def read_pixels(path: Path) -> Pixels:
    """The (H, W, 3) uint8 RGB pixels of a file. Raises OSError, or Refused where the engine would refuse."""
    data = path.read_bytes()
    image = decode_one((data, admit(data, Limits(), min_side=1)))
    if isinstance(image, Refused):
        raise image
    return image

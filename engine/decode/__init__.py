"""From encoded bytes to pixels, one result for each image, whatever the bytes are.

A decoder yields uint8 RGB of shape (height, width, 3) at the stored size and orientation:

- EXIF orientation is not applied;
- JPEG chroma is upsampled smoothly (libjpeg's "fancy" upsampling), after the accurate integer DCT;
- grey of 16 bits is divided by 257 and rounded, colour of 16 bits keeps its high byte;
- alpha is dropped; palettes, CMYK and grey are converted;
- of an animation or a file of several pages the first frame is taken.

Data that decode to something while libjpeg warns are refused, never scored: `truncated` where they end too
early (even if only the end marker is missing), `undecodable` else. The one exception are extraneous bytes
directly before a JPEG's end marker: the image is complete by then, and it is accepted, unless they are so
many that its header must be wrong.

JPEG, lossy WebP, AVIF and HEIC carry no checksum: damage that still is a valid sequence of codes changes
pixels, and no decoder can notice it. libheif applies the cropping and rotation that are part of a HEIC.
"""

from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from assay.engine.admission import Header
from assay.engine.outcome import Refused

Encoded = tuple[bytes | memoryview, Header]
Decoded = NDArray[np.uint8] | Refused


class Decoder(Protocol):
    """Decodes batches. Not thread-safe: one decoder belongs to one thread."""

    def decode(self, batch: Sequence[Encoded]) -> list[Decoded]:
        """One result an image, in order: (height, width, 3) uint8 RGB of the header's size, or why not.

        Never raises for what the data are. An array may lie in a buffer that the next call of `decode`
        writes to again: use it before, or copy it.
        """
        ...


def make_decoder(name: Literal["turbo", "dali"]) -> Decoder:
    """The decoder of a name in the settings.

    Raises:
        SetupError: the library behind it is not installed.
    """
    if name == "dali":
        from assay.engine.decode.dali import DaliDecoder

        return DaliDecoder()
    from assay.engine.decode.turbo import TurboDecoder

    return TurboDecoder()

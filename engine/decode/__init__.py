"""From encoded bytes to pixels, one result for each image, whatever the bytes are.

A decoder yields uint8 RGB of shape (height, width, 3) at the stored size and orientation:

- EXIF orientation is not applied;
- JPEG chroma is upsampled smoothly (libjpeg's "fancy" upsampling), after the accurate integer DCT;
- grey of 16 bits is divided by 257 and rounded, colour of 16 bits keeps its high byte;
- alpha is dropped; palettes, CMYK and grey are converted;
- of an animation or a file of several pages the first frame is taken;
- what is no image (texts, profiles, comments) is skipped before anything is unpacked.

docs/formats.md has the table of what is read of each format.

Data that decode to something while libjpeg warns of their coded data are refused, never scored: `truncated`
where they end too early (even if only the end marker is missing), `undecodable` otherwise. The one exception
are extraneous bytes directly before a JPEG's end marker: the image is complete by then, and it is accepted,
unless there are enough of them that its header must be wrong. What libjpeg warns of in headers, and decoders
ignore, is accepted (`docs/inputs.md` has the list), and hides no damage behind it.

JPEG, lossy WebP, AVIF and HEIC carry no checksum: damage that still is a valid sequence of codes changes
pixels, and no decoder can notice it. libheif applies the cropping and rotation that are part of a HEIC.
"""

from collections.abc import Sequence
from typing import Protocol

from assay.engine.admission import Header
from assay.engine.installed import Choice, installed
from assay.engine.outcome import Refused
from assay.engine.registry import DECODERS, named
from assay.engine.settings import DecoderName
from assay.kernels.arrays import Array

Encoded = tuple[bytes | memoryview, Header]
Decoded = Array | Refused


class Decoder(Protocol):
    """Decodes batches. Not thread-safe: one decoder belongs to one thread."""

    def decode(self, batch: Sequence[Encoded]) -> list[Decoded]:
        """One result an image, in order: (height, width, 3) uint8 RGB of the header's size, or why not.

        NumPy arrays, or CuPy arrays that are ready on the current stream. Never raises for what the data are.
        A NumPy array may lie in a buffer that the next call writes to again: use it before, or copy it.
        """
        ...


def decoder_choice(name: DecoderName, gpu: bool) -> Choice:
    """The decoder of a name in the settings, and why it is that one: `auto` is turbo on a CPU; on a GPU DALI
    where it is installed, else nvImageCodec, else turbo."""
    if name != "auto":
        return Choice(name, f"setting `decoder` is {name}")
    if not gpu:
        return Choice("turbo", "libjpeg-turbo and Pillow decode on CPU cores")
    if installed("nvidia.dali"):
        return Choice("dali", "NVIDIA DALI decodes on the GPU, behind a strict check")
    if installed("nvidia.nvimgcodec"):
        return Choice("nvimgcodec", "nvImageCodec decodes on the GPU, behind a strict check; DALI is missing")
    return Choice("turbo", "libjpeg-turbo decodes on the host: neither DALI nor nvImageCodec is installed")


def make_decoder(name: DecoderName = "auto", gpu: bool = False, threads: int = 1) -> Decoder:
    """The decoder of a name in the settings; its pixels lie on the current GPU or, without `gpu`, the host.

    For a GPU `threads` share what is done on the host: the strict check, and with `turbo` the decoding.

    Raises:
        SetupError: the library behind it is not installed, or it does not decode there.
    """
    decoder: Decoder = named(DECODERS, decoder_choice(name, gpu).name, "decoder")(gpu, threads)
    return decoder

"""The decoder for CPUs: libjpeg-turbo for JPEG, our own for TIFF and BMP, Pillow for the rest.

Isolation costs nothing here: an image is decoded strictly, alone, and what it does concerns nobody else.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from assay.engine.decode import Decoded, Decoder, Encoded, bmp, jpeg, pillow, tiff
from assay.engine.outcome import Refused

KEPT = 128 << 20
"""Most bytes of decoded pixels that the decoder keeps between batches to write the next ones into."""

_OURS = {"bmp": bmp.decode, "tiff": tiff.decode}


def decoder(gpu: bool, threads: int) -> Decoder:
    """This decoder; for a GPU it uploads what `threads` threads decode."""
    if not gpu:
        return TurboDecoder()
    from assay.engine.decode.screened import on_gpu

    return on_gpu(None, threads)


class TurboDecoder:
    """Decodes JPEG into memory that is used again: fresh pages for each image cost a third of the speed."""

    def __init__(self) -> None:
        self._memory: NDArray[np.uint8] = np.empty(0, np.uint8)

    def decode(self, batch: Sequence[Encoded]) -> list[Decoded]:
        buffers = self._buffers(
            [header.decoded_bytes if header.format == "jpeg" else 0 for _, header in batch]
        )
        return [decode_one(encoded, buffer) for encoded, buffer in zip(batch, buffers, strict=True)]

    def _buffers(self, sizes: list[int]) -> list[NDArray[np.uint8] | None]:
        """A part of the kept memory for each size; None, fresh memory, for what does not fit into it."""
        ends = np.cumsum([(size + 63) // 64 * 64 for size in sizes], dtype=np.int64).tolist()
        fitting = max((end for end in ends if end <= KEPT), default=0)
        if fitting > self._memory.size:
            self._memory = np.empty(fitting, np.uint8)
        return [
            self._memory[end - (size + 63) // 64 * 64 :][:size] if size and end <= KEPT else None
            for size, end in zip(sizes, ends, strict=True)
        ]


def decode_one(encoded: Encoded, buffer: NDArray[np.uint8] | None = None) -> Decoded:
    """One image; a JPEG into `buffer` (of its decoded size) where one is given."""
    data, header = encoded
    try:
        if header.format == "jpeg":
            return jpeg.decode(data, header, buffer)
        return _OURS.get(header.format, pillow.decode)(data, header)
    except Refused as refused:
        # what is kept as a result must not keep the pixels and bytes of its stack frames alive
        refused.__traceback__ = refused.__context__ = None
        return refused

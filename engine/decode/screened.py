"""Decoders of whole batches behind a strict check: one bad image must hurt only itself.

The decoders of GPUs decode many a corrupt image to garbage without a word, and some lose a whole batch to one
that they refuse. So every JPEG is first read by libjpeg-turbo in strict mode, at an eighth of its size, and
only what passes is given to the backend. What the backend refuses all the same, libjpeg-turbo decodes: that
gives a good image the same pixels and a bad one its reason.

A backend is given JPEG in grey and colour. All other formats, CMYK, and JPEGs whose headers libjpeg warns
about or whose sampling TurboJPEG has no name for, take the same way as in the decoder for CPUs, so their
pixels are the same by construction.
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

from assay.engine.decode import Decoded, Encoded, jpeg
from assay.engine.decode.turbo import decode_one
from assay.engine.outcome import Refused
from assay.kernels.arrays import Array

_COMPONENTS = (1, 3)

Given = TypeVar("Given")
Result = TypeVar("Result")


class Backend(Protocol):
    """Decodes batches of JPEGs, on the current CUDA stream if on a GPU."""

    def decode(self, batch: Sequence[Encoded]) -> list[Array | None]:
        """(H, W, 3) uint8 RGB of each image; None where it could not be had. Never raises for the data."""
        ...


class ScreenedDecoder:
    """A `Decoder` of a backend; without one, libjpeg-turbo decodes everything on `threads` threads.

    `upload` moves pixels that were decoded on the host to where the backend's are.
    """

    def __init__(
        self,
        backend: Backend | None,
        threads: int = 1,
        upload: Callable[[Array], Array] = lambda pixels: pixels,
    ) -> None:
        self._backend = backend
        self._upload = upload
        self._pool = ThreadPoolExecutor(threads, "assay-decode") if threads > 1 else None

    def decode(self, batch: Sequence[Encoded]) -> list[Decoded]:
        results: list[Decoded | None] = list(self._each(_screen if self._backend else decode_one, batch))
        passed = [number for number, result in enumerate(results) if result is None]
        found = self._backend.decode([batch[number] for number in passed]) if self._backend and passed else []
        for number, pixels in zip(passed, found, strict=True):
            header = batch[number][1]
            if pixels is not None and pixels.shape == (header.height, header.width, 3):
                results[number] = pixels
        left = [number for number in passed if results[number] is None]
        for number, again in zip(
            left, self._each(decode_one, [batch[number] for number in left]), strict=True
        ):
            results[number] = again
        ours = set(passed) - set(left)
        return [
            result if number in ours or isinstance(result, Refused) else self._upload(result)
            for number, result in enumerate(results)
            if result is not None
        ]

    def _each(self, function: Callable[[Given], Result], items: Iterable[Given]) -> Iterable[Result]:
        return self._pool.map(function, items) if self._pool else map(function, items)


def on_gpu(backend: Backend | None, threads: int) -> ScreenedDecoder:
    """One whose pixels all lie on the current GPU."""
    import cupy

    return ScreenedDecoder(backend, threads, cupy.asarray)


def _screen(encoded: Encoded) -> Decoded | None:
    """The result of an image that is not for the backend; None for one that passed the strict check."""
    data, header = encoded
    if header.format != "jpeg" or header.components not in _COMPONENTS:
        return decode_one(encoded)
    try:
        unusual = jpeg.check(data, header)
    except Refused as refused:
        refused.__traceback__ = refused.__context__ = None
        return refused
    return decode_one(encoded) if unusual else None

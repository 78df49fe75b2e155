"""Decoders of whole batches behind a strict check: one bad image must hurt only itself.

The decoders of GPUs decode many a corrupt image to garbage without a word, and some lose a whole batch to one
that they refuse. So every JPEG is first read by libjpeg-turbo in strict mode, at an eighth of its size, and
only what passes is given to the backend. What the backend refuses all the same, libjpeg-turbo decodes: that
gives a good image the same pixels and a bad one its reason.

A backend is given JPEG in grey and colour. All other formats, CMYK, and JPEGs whose headers libjpeg warns
about or whose sampling TurboJPEG has no name for, take the same way as in the decoder for CPUs, so their
pixels are the same by construction.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class HostsPart:
    """A batch of which the host has done its part: `results` has None where the backend is to decode."""

    batch: Sequence[Encoded]
    results: list[Decoded | None]


class ScreenedDecoder:
    """A `Decoder` of a backend; without one, libjpeg-turbo decodes everything on `threads` threads.

    `decode` is `screen` and then `finish`, which may be called in two threads: while the backend decodes a
    batch, the next one is checked. `upload` moves pixels that were decoded on the host to where the
    backend's are.
    """

    def __init__(
        self,
        backend: Backend | None,
        threads: int = 1,
        upload: Callable[[Array], Array] = lambda pixels: pixels,
    ) -> None:
        self._backend = backend
        self._upload = upload
        self._screening, self._decoding = Shared(threads), Shared(threads)

    def decode(self, batch: Sequence[Encoded]) -> list[Decoded]:
        return self.finish(self.screen(batch))

    def screen(self, batch: Sequence[Encoded]) -> HostsPart:
        """The strict check, and what only the host decodes. Never raises for what the data are."""
        return HostsPart(batch, self._screening.map(screen if self._backend else decode_one, batch))

    def finish(self, part: HostsPart) -> list[Decoded]:
        """What `Decoder.decode` gives."""
        batch, results = part.batch, list(part.results)
        passed = [number for number, result in enumerate(results) if result is None]
        found = self._backend.decode([batch[number] for number in passed]) if self._backend and passed else []
        for number, pixels in zip(passed, found, strict=True):
            header = batch[number][1]
            if pixels is not None and pixels.shape == (header.height, header.width, 3):
                results[number] = pixels
        left = [number for number in passed if results[number] is None]
        again = self._decoding.map(decode_one, [batch[number] for number in left]) if left else []
        for number, decoded in zip(left, again, strict=True):
            results[number] = decoded
        ours = set(passed) - set(left)
        return [
            result if number in ours or isinstance(result, Refused) else self._upload(result)
            for number, result in enumerate(results)
            if result is not None
        ]


class Shared:
    """Threads that share the items of a list: each takes the next one when it is done with its last."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, "assay-decode") if threads > 1 else None

    def map(self, function: Callable[[Given], Result], items: Iterable[Given]) -> list[Result]:
        """`function` of each item, in order. Raises what one of them raises."""
        if self._pool is None:
            return list(map(function, items))
        left = deque(enumerate(items))
        found: dict[int, Result] = {}

        def work() -> None:
            while left:
                try:
                    place, item = left.popleft()
                except IndexError:  # another thread took it
                    return
                found[place] = function(item)

        for task in [self._pool.submit(work) for _ in range(min(self._threads, len(left)))]:
            task.result()
        return [found[place] for place in range(len(found))]


def on_gpu(backend: Backend | None, threads: int) -> ScreenedDecoder:
    """One whose pixels all lie on the current GPU."""
    import cupy

    return ScreenedDecoder(backend, threads, cupy.asarray)


def screen(encoded: Encoded) -> Decoded | None:
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

"""NVIDIA DALI's decoder behind a strict check: the decoder of the GPU path, which also runs on a CPU.

One image that DALI cannot decode invalidates its whole pipeline and loses the batch, and many a corrupt
image it decodes to garbage without a word. So every JPEG is first read by libjpeg-turbo in strict mode, at
an eighth of its size, and only what passes is given to DALI. Should DALI refuse a batch all the same,
libjpeg-turbo decodes its images one by one, which finds the offender and gives the others the same pixels,
and a fresh pipeline takes the next batch.

DALI is given JPEG in grey and colour. All other formats, and CMYK, take the same way as in the decoder for
CPUs, so their pixels are the same by construction.
"""

import logging
from collections.abc import Sequence
from importlib import import_module
from typing import Any, Literal

import numpy as np

from assay.engine.decode import Decoded, Encoded, jpeg
from assay.engine.decode.turbo import decode_one
from assay.engine.errors import SetupError
from assay.engine.outcome import Refused

log = logging.getLogger(__name__)

_DALI_COMPONENTS = (1, 3)


class DaliDecoder:
    """Decodes the JPEGs of a batch in one run of a DALI pipeline on `device`.

    Raises:
        SetupError: DALI is not installed.
    """

    def __init__(self, device: Literal["cpu", "mixed"] = "cpu", threads: int = 1) -> None:
        try:
            self._dali: Any = import_module("nvidia.dali")
        except ImportError as error:
            raise SetupError(
                "The decoder 'dali' needs NVIDIA DALI, which is not installed: pip install 'assay[gpu]'."
            ) from error
        self._device = device
        self._threads = threads
        self._capacity = 0
        self._pipeline: Any = None

    def decode(self, batch: Sequence[Encoded]) -> list[Decoded]:
        results: list[Decoded | None] = [self._screen(encoded) for encoded in batch]
        left = [number for number, result in enumerate(results) if result is None]
        if left:
            decoded = self._run([batch[number] for number in left])
            for number, result in zip(left, decoded, strict=True):
                results[number] = result
        return [result for result in results if result is not None]

    def _screen(self, encoded: Encoded) -> Decoded | None:
        """The result of an image that is not for DALI; None for one that is and passed the strict check."""
        data, header = encoded
        if header.format != "jpeg" or header.components not in _DALI_COMPONENTS:
            return decode_one(encoded)
        try:
            jpeg.check(data, header)
        except Refused as refused:
            refused.__traceback__ = refused.__context__ = None
            return refused
        return None

    def _run(self, batch: list[Encoded]) -> list[Decoded]:
        if len(batch) > self._capacity:
            self._capacity, self._pipeline = len(batch), None
        if self._pipeline is None:
            self._pipeline = self._build()
        try:
            self._pipeline.feed_input("encoded", [np.frombuffer(data, np.uint8) for data, _ in batch])
            (images,) = self._pipeline.run()
        except RuntimeError as error:
            log.warning("DALI refused %d images that passed the strict check: %s", len(batch), error)
            self._pipeline = None
            return [decode_one(encoded) for encoded in batch]
        images = images.as_cpu()  # a view keeps its batch's memory alive
        return [
            pixels if pixels.shape == (header.height, header.width, 3) else decode_one((data, header))
            for pixels, (data, header) in zip(map(np.asarray, images), batch, strict=True)
        ]

    def _build(self) -> Any:
        fn, types = self._dali.fn, self._dali.types
        pipeline = self._dali.Pipeline(
            batch_size=self._capacity,
            num_threads=self._threads,
            device_id=None if self._device == "cpu" else 0,
            prefetch_queue_depth=1,  # a batch is answered before the next one is there
        )
        with pipeline:
            encoded = fn.external_source(name="encoded", dtype=types.UINT8, ndim=1)
            pixels = fn.decoders.image(
                encoded,
                device=self._device,
                output_type=types.RGB,
                jpeg_fancy_upsampling=True,
                adjust_orientation=False,
            )
            pipeline.set_outputs(pixels)
        pipeline.build()
        return pipeline

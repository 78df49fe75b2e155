"""NVIDIA DALI: a decoder of whole batches that runs the same graph on a GPU (`mixed`) and on a CPU.

One image that it cannot decode invalidates the whole pipeline and loses the batch. Then none of the batch
counts as decoded, and a fresh pipeline takes the next one: building it costs milliseconds.

It copies the encoded bytes into pinned memory of its own.
"""

import logging
from collections.abc import Sequence
from importlib import import_module
from typing import Any, Literal

import numpy as np

from assay.engine.decode import Decoder, Encoded
from assay.engine.decode.screened import ScreenedDecoder, on_gpu
from assay.engine.errors import SetupError
from assay.kernels.arrays import Array

log = logging.getLogger(__name__)


def decoder(gpu: bool, threads: int) -> Decoder:
    """This decoder. Raises SetupError where DALI is not installed."""
    return on_gpu(DaliBackend("mixed", threads), threads) if gpu else ScreenedDecoder(DaliBackend())


class DaliBackend:
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

    def decode(self, batch: Sequence[Encoded]) -> list[Array | None]:
        if len(batch) > self._capacity:
            self._capacity, self._pipeline = len(batch), None
        if self._pipeline is None:
            self._pipeline = self._build()
        try:
            self._pipeline.feed_input("encoded", [np.frombuffer(data, np.uint8) for data, _ in batch])
            return self._run()
        except RuntimeError as error:
            log.warning("DALI refused %d images that passed the strict check: %s", len(batch), error)
            self._pipeline = None
            return [None] * len(batch)

    def _run(self) -> list[Array | None]:
        if self._device == "cpu":
            (images,) = self._pipeline.run()
            return list(map(np.asarray, images.as_cpu()))  # a view keeps its batch's memory alive
        import cupy

        (images,) = self._pipeline.run(cupy.cuda.get_current_stream().ptr)
        return [cupy.from_dlpack(images[number]) for number in range(len(images))]

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

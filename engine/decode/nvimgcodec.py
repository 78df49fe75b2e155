"""NVIDIA nvImageCodec alone: JPEG on a GPU, by its hardware decoder where it has one.

Each image of a batch succeeds or fails by itself. Without a GPU it decodes nothing.
"""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np

from assay.engine.decode import Decoder, Encoded
from assay.engine.decode.screened import on_gpu
from assay.engine.decode.staging import Staging
from assay.engine.errors import SetupError
from assay.kernels.arrays import Array


def decoder(gpu: bool, threads: int) -> Decoder:
    """This decoder. Raises SetupError without a GPU, or where nvImageCodec is not installed."""
    if not gpu:
        raise SetupError("the decoder 'nvimgcodec' needs a GPU: name it with --devices, or --device")
    return on_gpu(NvimgcodecBackend(threads), threads)


class NvimgcodecBackend:
    """Decodes the JPEGs of a batch on the current CUDA device and stream.

    Raises:
        SetupError: nvImageCodec is not installed.
    """

    def __init__(self, threads: int = 1) -> None:
        try:
            self._library: Any = import_module("nvidia.nvimgcodec")
        except ImportError as error:
            raise SetupError(
                "The decoder 'nvimgcodec' needs nvImageCodec, which is not installed: "
                "pip install 'assay[gpu]'."
            ) from error
        kinds = self._library.BackendKind
        self._decoder = self._library.Decoder(
            max_num_cpu_threads=threads,
            # no decoder for CPUs: what a GPU cannot decode is left to libjpeg-turbo, in strict mode
            backends=[
                self._library.Backend(kind)
                for kind in (kinds.HW_GPU_ONLY, kinds.GPU_ONLY, kinds.HYBRID_CPU_GPU)
            ],
            options=":fancy_upsampling=1",
        )
        self._parameters = self._library.DecodeParams(
            apply_exif_orientation=False, color_spec=self._library.ColorSpec.SRGB, allow_any_depth=False
        )
        self._staging = Staging()

    def decode(self, batch: Sequence[Encoded]) -> list[Array | None]:
        import cupy

        encoded = self._staging.hold([data for data, _ in batch])
        stream = cupy.cuda.get_current_stream()
        images = self._decoder.decode(
            [self._library.CodeStream(data) for data in encoded],
            params=self._parameters,
            cuda_stream=stream.ptr,
        )
        self._staging.in_use_until(stream.record())
        return [None if image is None else _pixels(cupy.from_dlpack(image)) for image in images]


def _pixels(array: Array) -> Array:
    """(H, W, 3) of what may be (H, W, 1), where grey was kept."""
    return array if array.shape[-1] == 3 else np.broadcast_to(array, (*array.shape[:2], 3))

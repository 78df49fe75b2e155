"""Page-locked host memory for encoded images: a GPU reads it without a copy by the driver in between."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.kernels.arrays import Array

LEAST = 4 << 20
"""Bytes that are locked at once: locking is slow."""
ALIGNMENT = 64


class Staging:
    """Holds the encoded images of one batch, in memory that is locked once and grows."""

    def __init__(self) -> None:
        self._memory: NDArray[np.uint8] = np.empty(0, np.uint8)
        self._busy: Any = None

    def hold(self, images: Sequence[bytes | memoryview]) -> list[Array]:
        """Views of the copied images; they are valid until the next call."""
        if self._busy is not None:
            self._busy.synchronize()
            self._busy = None
        ends = np.cumsum([-(-len(image) // ALIGNMENT) * ALIGNMENT for image in images]).tolist()
        if ends[-1] > self._memory.size:
            self._memory = self._lock(max(LEAST, 2 * self._memory.size, ends[-1]))
        views = []
        for image, end in zip(images, ends, strict=True):
            start = end - -(-len(image) // ALIGNMENT) * ALIGNMENT
            view = self._memory[start : start + len(image)]
            view[:] = np.frombuffer(image, np.uint8)
            views.append(view)
        return views

    def in_use_until(self, event: Any) -> None:
        """The next batch waits for this CUDA event, after which the device has read the memory."""
        self._busy = event

    @staticmethod
    def _lock(size: int) -> NDArray[np.uint8]:
        import cupyx

        memory: NDArray[np.uint8] = cupyx.empty_pinned(size, np.uint8)
        return memory

"""Shared memory in which a batch of encoded images reaches a worker.

A slot is a memfd, so it needs no /dev/shm (64 MiB in many containers), has no name that could be left
behind, and is handed over as a descriptor. It takes memory only where it was written.
"""

import mmap
import os
import struct
from collections.abc import Sequence

KEPT = 4 << 20
"""Bytes that a slot keeps for the next batch; what a larger batch used beyond is given back."""

_IN_HAND = struct.Struct("<I")


class Slot:
    """One slot. The front packs it, the worker reads it, and its owner changes with the messages between.

    Behind `size` bytes for images the worker notes which of them it is decoding.
    """

    def __init__(self, fd: int, size: int) -> None:
        self.fd = fd
        self.size = size
        self._map = mmap.mmap(fd, size + _IN_HAND.size)
        self._used = 0

    @classmethod
    def create(cls, size: int) -> "Slot":
        fd = os.memfd_create("assay-slot", os.MFD_CLOEXEC)
        os.ftruncate(fd, size + _IN_HAND.size)
        return cls(fd, size)

    def pack(self, images: Sequence[bytes]) -> list[tuple[int, int]]:
        """Write `images` one behind the other -> the (offset, length) of each, in bytes."""
        if self._used > KEPT:
            self._map.madvise(mmap.MADV_REMOVE)
        spans, offset = [], 0
        for image in images:
            self._map[offset : offset + len(image)] = image
            spans.append((offset, len(image)))
            offset += len(image)
        self._used = offset
        self.take_in_hand(None)
        return spans

    def view(self, offset: int, length: int) -> memoryview:
        """The bytes of one image, without a copy."""
        return memoryview(self._map)[offset : offset + length]

    @property
    def in_hand(self) -> int | None:
        """The place of the image that is being decoded, counted from 0; None: no image is."""
        (place,) = _IN_HAND.unpack_from(self._map, self.size)
        return place - 1 if place else None

    def take_in_hand(self, place: int | None) -> None:
        """Note which image is being decoded from here on."""
        _IN_HAND.pack_into(self._map, self.size, 0 if place is None else place + 1)

    def close(self) -> None:
        self._map.close()
        os.close(self.fd)

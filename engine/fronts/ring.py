"""Shared memory through which the encoded images of a front reach the engine's process.

A memfd, as a worker's slots are. The front writes images one behind the other, round and round; the other end
copies them out and says how far it has read. So it holds what is on its way alone, never more than `size`.
"""

import mmap
import os
from typing import NamedTuple


class Place(NamedTuple):
    """Where an image lies, and the position behind it: bytes that were ever written."""

    offset: int
    length: int
    end: int


class Ring:
    """One end. The front alone writes, and is told what was `read`."""

    def __init__(self, fd: int, size: int) -> None:
        self.fd = fd
        self.size = size
        self._map = mmap.mmap(fd, size)
        self._written = 0
        self._read = 0

    @classmethod
    def create(cls, size: int) -> "Ring":
        fd = os.memfd_create("assay-front", os.MFD_CLOEXEC)
        os.ftruncate(fd, size)
        return cls(fd, size)

    def write(self, data: bytes) -> Place | None:
        """Where `data` lies now; None where there is no room for it."""
        if self._read == self._written:  # the same pages over and over, while there is little to do
            self._read = self._written = -(-self._written // self.size) * self.size
        offset = self._written % self.size
        start = self._written
        if offset + len(data) > self.size:  # an image lies in one piece
            start += self.size - offset
            offset = 0
        end = start + len(data)
        if end - self._read > self.size:
            return None
        self._map[offset : offset + len(data)] = data
        self._written = end
        return Place(offset, len(data), end)

    def read_to(self, end: int) -> None:
        """The other side holds copies of all images up to `end`."""
        self._read = max(self._read, end)

    def copy(self, offset: int, length: int) -> bytes:
        """The bytes of an image. Raises ValueError where they lie outside."""
        if not 0 <= offset <= offset + length <= self.size:
            raise ValueError(f"{length} bytes at {offset} are outside of {self.size}")
        return self._map[offset : offset + length]

    def close(self) -> None:
        self._map.close()
        os.close(self.fd)

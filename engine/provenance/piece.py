"""The parts of an encoded image that hold metadata, still encoded themselves."""

from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

Data = bytes | memoryview


class Piece(NamedTuple):
    """A part of a file. `manifest`: of a C2PA manifest store, that is, of evidence that may be signed."""

    kind: Literal["exif", "xmp", "text", "manifest"]
    content: Data
    field: str = ""
    """The keyword of a text."""


Walk = Callable[[memoryview], Iterator[Piece]]
"""Yields the pieces of a file. May end with struct.error or IndexError where the file contradicts itself."""

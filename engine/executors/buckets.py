"""Batches of fixed sizes: what a CUDA graph can run is a batch of the size that it was captured with."""

from collections.abc import Sequence
from typing import NamedTuple


class Chunk(NamedTuple):
    """Images start..stop of a batch, run as a batch of `bucket` images, at least as many."""

    start: int
    stop: int
    bucket: int


def chunks(count: int, buckets: Sequence[int]) -> list[Chunk]:
    """A batch of `count` images, cut to `buckets` (rising): as many of the largest as fit, the rest in the
    smallest that holds it."""
    cut, start = [], 0
    while start < count:
        left = count - start
        bucket = next((size for size in buckets if size >= left), buckets[-1])
        stop = start + min(left, bucket)
        cut.append(Chunk(start, stop, bucket))
        start = stop
    return cut

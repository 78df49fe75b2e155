"""Samples of any depth: out of their bytes, and to 8 bits."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def unpacked(raw: NDArray[np.uint8], bits: int, count: int) -> NDArray[np.uint16]:
    """The first `count` samples of each row, `bits` wide, which lie side by side from the highest bit on."""
    each = np.unpackbits(raw, axis=1)[:, : count * bits].reshape(len(raw), count, bits)
    values = np.zeros((len(raw), count), np.uint16)
    for bit in range(bits):
        values <<= 1
        values |= each[..., bit]
    return values


def eight_bits(values: NDArray[Any], bits: int) -> NDArray[np.uint8]:
    """Unsigned samples as 0 to 255, rounded: those of 16 bits are divided by 257."""
    white = (1 << bits) - 1
    if bits == 8:
        return values.astype(np.uint8)
    return ((values.astype(np.uint64 if bits > 23 else np.uint32) * 255 + white // 2) // white).astype(
        np.uint8
    )

"""How far a JPEG was compressed, by its quantisation table (ITU-T T.81, annexes B.2.4.1 and K.1)."""

from bisect import bisect_left
from functools import lru_cache

# The steps of table K.1, in any order: only their sum is compared.
_LUMA = (
    *(16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55),
    *(14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62),
    *(18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92),
    *(49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99),
)


def _sum(quality: int) -> int:
    """Of libjpeg's luma table at a quality of 1 to 100."""
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    return sum(min(max((step * scale + 50) // 100, 1), 255) for step in _LUMA)


MOST_TABLES = 4
"""Tables that a decoder can hold; more in one segment are not looked at."""
_SUMS = [_sum(quality) for quality in range(100, 0, -1)]


def luma_steps(data: bytes | memoryview, position: int, length: int) -> int:
    """The sum of the 64 steps of table 0, the luma's, in the DQT segment at `position`; 0 where it has none.

    Raises IndexError where the data end within it.
    """
    end, at = position + length, position + 2
    for _ in range(MOST_TABLES):
        if at >= end:
            break
        wide, table = divmod(data[at], 16)
        size = 128 if wide else 64
        steps = data[at + 1 : at + 1 + size]
        if len(steps) < size:
            raise IndexError(at)
        if table == 0:
            return 256 * sum(steps[0::2]) + sum(steps[1::2]) if wide else sum(steps)
        at += 1 + size
    return 0


@lru_cache(1024)
def quality_of(steps: int) -> int:
    """The quality, 1 to 100, at which the steps of libjpeg's luma table have the sum nearest to `steps`."""
    place = bisect_left(_SUMS, steps)
    near = min((place - 1, place), key=lambda at: abs(_SUMS[at] - steps) if 0 <= at < 100 else 1 << 30)
    return 100 - near

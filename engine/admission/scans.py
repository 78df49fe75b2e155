"""How many scans a JPEG holds, counted without decoding it.

Whatever the bytes are, each is looked at a fixed number of times.
"""

import numpy as np
from numpy.typing import NDArray

_FILL, _SCAN, _END, _FIRST_RESTART = 0xFF, 0xDA, 0xD9, 0xD0
_ALONE = frozenset({0xD8, 0x01})  # markers without a length that may stand between scans
_SHORT, _LONG = 1 << 7, 1 << 18  # bytes that are looked through at once


def more_scans(data: bytes | memoryview, position: int, limit: int, max_segments: int) -> bool:
    """Whether more than `limit` scans start from the first one on, whose header lies at `position`.

    Also true where more than `max_segments` segments lie between them.
    """
    codes = np.frombuffer(data, np.uint8)
    # Counting the marker's two bytes never counts too few, and is all that nearly every file needs.
    if _marks(codes[position:]) < limit:
        return False
    # The bytes also occur within tables and behind the end of the image: walk the segments.
    scans = 1
    for _ in range(max_segments):
        position = after_marker(data, position, restarts=False)
        if position == 0:
            return False
        marker = codes[position - 1]
        if marker == _END:
            return False
        if marker == _SCAN:
            scans += 1
            if scans > limit:
                return True
        elif marker not in _ALONE and position + 2 <= codes.size:
            position += max(2, int(codes[position]) << 8 | int(codes[position + 1]))
    return True


def _marks(codes: NDArray[np.uint8]) -> int:
    """How often the two bytes of a scan's marker occur."""
    found = 0
    for start in range(0, codes.size - 1, _LONG):
        part = codes[start : start + _LONG + 1]
        found += int(np.count_nonzero((part[:-1] == _FILL) & (part[1:] == _SCAN)))
    return found


def after_marker(data: bytes | memoryview, position: int, *, restarts: bool) -> int:
    """Where the next marker from `position` on ends, `restarts` among them or not; 0: there is none."""
    codes = np.frombuffer(data, np.uint8)
    length = _SHORT
    while position < codes.size - 1:
        part = codes[position : position + length + 1]
        code = part[1:]
        # unsigned numbers wrap: a coded 0xFF and fill bytes fail the first test, restarts the second
        marks = (part[:-1] == _FILL) & (code - 1 < _FILL - 1)
        if not restarts:
            marks &= code - _FIRST_RESTART > 7
        at = int(marks.argmax())
        if marks[at]:
            return position + at + 2
        position += length
        length = min(2 * length, _LONG)
    return 0

"""A JPEG's frame header, and how many scans it holds (ITU-T T.81, annex B).

A progressive file of 50 kB can hold hundreds of scans, each of which costs a pass over all coefficients.
"""

import re
import struct

from assay.engine.outcome import Reason, Refused

# Start-of-frame markers; 0xC4, 0xC8 and 0xCC in the same range are tables and extensions.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_SCAN, _END = 0xDA, 0xD9
_ALONE = frozenset(range(0xD0, 0xD9)) | {0x01}  # markers without a length: restarts, SOI, TEM

_MARKER = re.compile(rb"\xff([^\x00\xff])")  # fill bytes may precede a marker, and stray bytes do
_AFTER_ENTROPY_CODED_DATA = re.compile(rb"\xff+[^\xff\x00\xd0-\xd7]", re.DOTALL)
_LOOKS_LIKE_A_SCAN = re.compile(rb"\xff\xda")

# The longest honest headers are colour profiles and extended metadata: 255 segments of one, 320 in 20 MiB.
MAX_SEGMENTS = 1024


def read(data: bytes | memoryview, max_scans: int) -> tuple[int, int, int, int, bool]:
    """Width, height, number of components, where the first scan starts, and whether more follow.

    Raises:
        Refused: `undecodable`: no frame, a broken segment, more scans than `max_scans`.
        struct.error, IndexError: the data end before the first scan.
    """
    position = 2
    width = height = components = 0
    progressive = False
    for _ in range(MAX_SEGMENTS):
        marker, position = _next_marker(data, position)
        if marker in _ALONE:
            continue
        if marker == _END:
            raise Refused(
                Reason.UNDECODABLE, "The JPEG ends before its first scan: it holds no image.", at=position
            )
        (length,) = struct.unpack_from(">H", data, position)
        if length < 2:
            raise Refused(
                Reason.UNDECODABLE, f"The JPEG segment at byte {position} has no length.", at=position
            )
        if marker in _FRAMES:
            height, width, components = struct.unpack_from(">HHB", data, position + 3)
            progressive = marker in _PROGRESSIVE
        elif marker == _SCAN:
            break
        position += length
    else:
        raise Refused(
            Reason.UNDECODABLE,
            f"The JPEG holds more than {MAX_SEGMENTS} segments before its first scan.",
            limit=MAX_SEGMENTS,
        )
    if position + length > len(data):
        raise IndexError(position)
    if components == 0:
        raise Refused(Reason.UNDECODABLE, "The JPEG's first scan comes before its frame header.", at=position)
    # Decoding stops after the first scan where that one holds all components and is not progressive.
    multiscan = progressive or data[position + 2] < components
    if multiscan and _more_scans(data, position, max_scans):
        raise Refused(
            Reason.UNDECODABLE,
            f"The JPEG holds more than {max_scans} scans.",
            width=width,
            height=height,
            limit=max_scans,
        )
    return width, height, components, position, multiscan


def _next_marker(data: bytes | memoryview, position: int) -> tuple[int, int]:
    """The code of the first marker from `position` on, and where what follows it starts.

    Cameras write stray bytes between segments, which decoders skip; how many are too many is for them to say.
    """
    match = _MARKER.search(data, position)
    if match is None:
        raise IndexError(position)
    return match[1][0], match.end()


def _more_scans(data: bytes | memoryview, position: int, limit: int) -> bool:
    """Whether more than `limit` scans start from the first one on, whose header lies at `position`."""
    # Counting the marker's two bytes never counts too few, and is all that nearly every file needs.
    if all(number < limit for number, _ in enumerate(_LOOKS_LIKE_A_SCAN.finditer(data, position), 1)):
        return False
    # The bytes also occur within tables and behind the end of the image: walk the segments.
    scans, segments = 1, 0
    while scans <= limit and segments <= MAX_SEGMENTS:
        segments += 1
        match = _AFTER_ENTROPY_CODED_DATA.search(data, position)
        if match is None:
            return False
        marker = match[0][-1]
        position = match.end()
        if marker == _END:
            return False
        if marker == _SCAN:
            scans += 1
        elif marker not in _ALONE and position + 2 <= len(data):
            position += max(2, int.from_bytes(data[position : position + 2], "big"))
    return True

"""A JPEG's frame header, and how many scans it holds (ITU-T T.81, annex B).

A progressive file of 50 kB can hold hundreds of scans, each of which costs a pass over all coefficients.
"""

import re
import struct

from assay.engine.admission.quantisation import luma_steps, quality_of
from assay.engine.admission.scans import after_marker, more_scans
from assay.engine.outcome import Reason, Refused

# Start-of-frame markers; 0xC4, 0xC8 and 0xCC in the same range are tables and extensions.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_SCAN, _END, _TABLES = 0xDA, 0xD9, 0xDB
_ALONE = frozenset(range(0xD0, 0xD9)) | {0x01}  # markers without a length: restarts, SOI, TEM

_MARKER = re.compile(rb"\xff++([^\x00])", re.DOTALL)  # fill bytes may precede a marker's code
_NEAR = 32  # bytes within which nearly every marker is, so that it is found fast

# The longest honest headers are colour profiles and extended metadata: 255 segments of one, 320 in 20 MiB.
MAX_SEGMENTS = 1024
_NAMED = frozenset({(1, 1), (2, 1), (2, 2), (1, 2), (4, 1), (1, 4)})  # sampling of luma over that of chroma


def read(data: bytes | memoryview, max_scans: int) -> tuple[int, int, int, int, bool, int, int]:
    """Width, height, number of components, where the first scan starts, whether more follow, the bytes that
    decoding holds beside the pixels, and the quality that the quantisation table shows (0: it shows none).

    Raises:
        Refused: `undecodable`: no frame, a broken segment, more scans than `max_scans`.
        struct.error, IndexError: the data end before the first scan.
    """
    position = 2
    width = height = components = frame = steps = 0
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
            frame = position
        elif marker == _TABLES:
            steps = luma_steps(data, position, length) or steps
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
    if multiscan and more_scans(data, position, max_scans, MAX_SEGMENTS):
        raise Refused(
            Reason.UNDECODABLE,
            f"The JPEG holds more than {max_scans} scans.",
            width=width,
            height=height,
            limit=max_scans,
        )
    quality = quality_of(steps) if steps else 0
    return width, height, components, position, multiscan, _held(data, frame, multiscan), quality


def _held(data: bytes | memoryview, frame: int, multiscan: bool) -> int:
    """Bytes that decoding the frame whose header lies at `frame` holds beside its pixels.

    These are two copies of the data where odd headers are mended, all coefficients (16 bits each, in whole
    MCUs) where there are several scans, and Pillow's pixels where libjpeg-turbo has no name for the sampling.
    """
    height, width, components = struct.unpack_from(">HHB", data, frame + 3)
    sampling = [(data[at] >> 4, data[at] & 15) for at in range(frame + 9, frame + 9 + 3 * components, 3)]
    held = 2 * len(data)
    if multiscan:
        across = -(-width // (8 * max(1, *(factors[0] for factors in sampling))))
        down = -(-height // (8 * max(1, *(factors[1] for factors in sampling))))
        held += across * down * sum(factors[0] * factors[1] for factors in sampling) * 64 * 2
    if components == 3 and not (sampling[0] in _NAMED and sampling[1:] == [(1, 1), (1, 1)]):
        held += 4 * width * height
    return held


def _next_marker(data: bytes | memoryview, position: int) -> tuple[int, int]:
    """The code of the first marker from `position` on, and where what follows it starts.

    Cameras write stray bytes between segments, which decoders skip; how many are too many is for them to say.
    """
    if data[position] == 0xFF and 0 < (marker := data[position + 1]) < 0xFF:  # nearly always
        return marker, position + 2
    match = _MARKER.match(data, position, position + _NEAR)
    end = match.end() if match else after_marker(data, position, restarts=True)
    if end == 0:
        raise IndexError(position)
    return data[end - 1], end

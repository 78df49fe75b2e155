"""The size of an AVIF sequence: of its largest track, and of the first image in each (ISO/IEC 14496-12).

A decoder takes the tracks where a file has both tracks and a still image, unless its first brand says `avif`.
"""

import struct

from assay.engine.admission import av1
from assay.engine.admission.isobmff import Box, boxes, find, inside
from assay.engine.admission.units import Units
from assay.engine.outcome import Reason, Refused

MAX_SAMPLES = 1 << 17
_MAX_TRACKS = 16
_BYTES_PER_SAMPLE = 160  # that the library holds for each
_SLACK = 64  # as of still images


def read(data: bytes | memoryview, movie: Box) -> tuple[int, int, int]:
    """Width, height, and the bytes that decoding the first image holds beside the pixels.

    Raises:
        Refused: `truncated`, `undecodable`.
        struct.error, IndexError: the data end within the boxes.
    """
    found = [box for box in boxes(data, movie.start, movie.end) if box.kind == b"trak"]
    if not 0 < len(found) <= _MAX_TRACKS:
        raise Refused(
            Reason.UNDECODABLE, f"The sequence has {len(found)} tracks; at most {_MAX_TRACKS} are read."
        )
    units = Units()
    sizes = [_track(data, track, units) for track in found]
    return max(size[0] for size in sizes), max(size[1] for size in sizes), sum(size[2] for size in sizes)


def _track(data: bytes | memoryview, track: Box, units: Units) -> tuple[int, int, int]:
    header = find(data, track.start, track.end, b"tkhd")
    table = inside(data, track, b"mdia", b"minf", b"stbl")
    if header is None or table is None:
        raise Refused(
            Reason.UNDECODABLE, "A track of the sequence does not say its size, or where its images lie."
        )
    wide, high = struct.unpack_from(">II", data, header.start + (88 if data[header.start] else 76))
    width, height = wide >> 16, high >> 16
    samples, first = _samples(data, table)
    frames = av1.frames(first, units) if first else None
    if frames is None:
        return width, height, samples * _BYTES_PER_SAMPLE
    if frames.width > width + _SLACK or frames.height > height + _SLACK:
        raise Refused(
            Reason.UNDECODABLE,
            f"The sequence states {width}x{height} pixels, its coded data {frames.width}x{frames.height}.",
            width=width,
            height=height,
        )
    return width, height, samples * _BYTES_PER_SAMPLE + frames.held


def _samples(data: bytes | memoryview, table: Box) -> tuple[int, bytes | memoryview]:
    """How many images a track has, and the data of the first one; empty where the tables do not say."""
    kinds = {box.kind: box for box in reversed([*boxes(data, table.start, table.end)])}
    if b"stsz" not in kinds:
        return 0, b""
    sizes = kinds[b"stsz"]
    size, count = struct.unpack_from(">II", data, sizes.start + 4)
    if count > MAX_SAMPLES:
        raise Refused(
            Reason.UNDECODABLE,
            f"The sequence states {count} images; at most {MAX_SAMPLES} are read.",
            limit=MAX_SAMPLES,
        )
    places = kinds.get(b"stco") or kinds.get(b"co64")
    if count == 0 or places is None:
        return count, b""
    if size == 0:
        (size,) = struct.unpack_from(">I", data, sizes.start + 12)
    (start,) = struct.unpack_from(">I" if places.kind == b"stco" else ">Q", data, places.start + 8)
    if start + size > len(data):
        raise Refused(
            Reason.TRUNCATED,
            f"The sequence's first image should end at byte {start + size}, not at {len(data)}.",
            bytes=len(data),
        )
    return count, memoryview(data)[start : start + size]

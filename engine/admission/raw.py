"""Camera raw files, most of which are TIFFs inside: a small preview comes first, the sensor's samples later.

They are known by their structure, never by a name: a colour filter array in any of the first directories, the
tags of DNG, or a first image that says itself that it is a reduced form of another one.
"""

import struct
from collections.abc import Iterable, Iterator
from contextlib import suppress

from assay.engine.admission.tiff import COMPRESSION, NEW_SUBFILE_TYPE, PHOTOMETRIC, WIDTH, Entry, Tiff
from assay.engine.outcome import Reason, Refused

_MAKE, _SUB_DIRECTORIES, _EXIF, _MAKER_NOTE = 271, 330, 34665, 37500
_DNG_VERSION, _CFA_PATTERN, _CR2_SLICES = 50706, 33422, 50752
_SENSOR_PHOTOMETRIC = frozenset({32803, 34892})  # colour filter array, linear raw
# of Sony, Epson, Samsung, Nikon, Kodak and Pentax
_SENSOR_COMPRESSION = frozenset({32767, 32769, 32770, 34713, 65000, 65535})
_REDUCED = 1  # a bit of NewSubfileType
_LOOKED_INTO = 4  # directories below the first one, and as many behind it

_MARKS = {b"CR\2": "Canon CR2", b"IIII": "Phase One IIQ", b"MMMM": "Phase One IIQ"}  # at byte 8
_BY_MAKE = (
    ("canon", "Canon CR2"),
    ("nikon", "Nikon NEF"),
    ("sony", "Sony ARW"),
    ("pentax", "Pentax PEF"),
    ("ricoh", "Pentax PEF"),
    ("samsung", "Samsung SRW"),
    ("hasselblad", "Hasselblad 3FR"),
    ("phase one", "Phase One IIQ"),
    ("leaf", "Leaf MOS"),
    ("mamiya", "Mamiya MEF"),
    ("epson", "Epson ERF"),
    ("seiko epson", "Epson ERF"),
    ("eastman kodak", "Kodak DCR"),
    ("kodak", "Kodak DCR"),
    ("olympus", "Olympus ORF"),
    ("om digital", "Olympus ORF"),
    ("panasonic", "Panasonic RW2"),
    ("leica", "Leica RWL"),
)


def refuse(tiff: Tiff, entries: Iterable[Entry]) -> None:
    """Refuse a TIFF whose image is another one than its first directory's; `entries` are those of that one.

    Raises:
        Refused: `unsupported_format`.
    """
    first = {entry.tag: entry for entry in entries}
    mark = bytes(tiff.data[8:12])
    name = next((name for start, name in _MARKS.items() if mark.startswith(start)), None)
    if _DNG_VERSION in first:
        name = "DNG"
    directories = [first, *_others(tiff, first)]
    if name is None and any(_is_sensor(tiff, directory) for directory in directories):
        name = _by_make(tiff, first)
    reduced = _first(tiff, first, NEW_SUBFILE_TYPE) & _REDUCED
    if name is None and reduced and (_SUB_DIRECTORIES in first or _has_maker_note(tiff, first)):
        name = _by_make(tiff, first)
    if name is not None:
        looks = f"a camera's raw file ({name})" if name else "a camera's raw file"
        raise Refused(
            Reason.UNSUPPORTED_FORMAT,
            f"This is {looks}; convert it to an accepted format such as JPEG or TIFF first.",
            looks_like=looks,
        )
    if reduced and any(_is_whole(tiff, other, than=first) for other in directories[1:]):
        raise Refused(
            Reason.UNSUPPORTED_FORMAT,
            "This TIFF's first image says that it is a thumbnail of another one: store that one first.",
            looks_like="a TIFF that begins with a thumbnail",
        )


def _others(tiff: Tiff, first: dict[int, Entry]) -> Iterator[dict[int, Entry]]:
    """The directories below and behind the first one; what cannot be read is left out."""
    places: list[int] = []
    if _SUB_DIRECTORIES in first:
        with suppress(struct.error):
            places += tiff.integers(first[_SUB_DIRECTORIES], _LOOKED_INTO)
    at = tiff.first
    for _ in range(_LOOKED_INTO):
        if at := tiff.following(at):
            places.append(at)
    for place in dict.fromkeys(places):
        with suppress(struct.error, Refused):
            yield {entry.tag: entry for entry in tiff.entries(min(place, len(tiff.data)))}


def _is_sensor(tiff: Tiff, directory: dict[int, Entry]) -> bool:
    return (
        _CFA_PATTERN in directory
        or _CR2_SLICES in directory
        or _first(tiff, directory, PHOTOMETRIC) in _SENSOR_PHOTOMETRIC
        or _first(tiff, directory, COMPRESSION) in _SENSOR_COMPRESSION
    )


def _is_whole(tiff: Tiff, directory: dict[int, Entry], than: dict[int, Entry]) -> bool:
    larger = _first(tiff, directory, WIDTH) > _first(tiff, than, WIDTH)
    return larger and not _first(tiff, directory, NEW_SUBFILE_TYPE) & _REDUCED


def _has_maker_note(tiff: Tiff, first: dict[int, Entry]) -> bool:
    place = _first(tiff, first, _EXIF) or len(tiff.data)
    try:
        return any(entry.tag == _MAKER_NOTE for entry in tiff.entries(min(place, len(tiff.data))))
    except (struct.error, Refused):
        return False


def _by_make(tiff: Tiff, first: dict[int, Entry]) -> str:
    """The format by the camera's maker; an empty string where that is not known."""
    make = first.get(_MAKE)
    start = bytes(tiff.data[make.place : make.place + min(make.count, 32)]) if make else b""
    words = start.decode("latin-1").lower()
    return next((name for maker, name in _BY_MAKE if words.startswith(maker)), "")


def _first(tiff: Tiff, directory: dict[int, Entry], tag: int) -> int:
    """The first number of a tag; 0 where there is none."""
    try:
        return (tiff.integers(directory[tag], 1) or (0,))[0] if tag in directory else 0
    except struct.error:
        return 0

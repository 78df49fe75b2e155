"""A camera's raw file is named as one, and never taken for the thumbnail that it begins with."""

import pytest
from support import hostile
from support.hostile import directory, tiff
from support.images import encode, photograph

from assay.engine.admission import admit
from assay.engine.outcome import Reason, Refused
from assay.engine.settings import Limits

SIZE = 160 * 120 * 3
PREVIEW = [
    *((256, 4, 1, 160), (257, 4, 1, 120), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 2)),
    *((273, 4, 1, 1000), (277, 3, 1, 3), (278, 4, 1, 120), (279, 4, 1, SIZE)),
]
"""A small RGB image whose pixels are at byte 1000."""
REDUCED = (254, 4, 1, 1)
BODY = bytes(1000 + SIZE)
BELOW = 2000
"""Where a second directory lies, within the pixels of the first."""


def with_second(first: list[tuple[int, int, int, int]], second: list[tuple[int, int, int, int]]) -> bytes:
    """A TIFF with a second directory at `BELOW`, to which the first has yet to point."""
    data = bytearray(tiff(first, BODY))
    packed = directory(second)
    data[BELOW : BELOW + len(packed)] = packed
    return bytes(data)


def chained(first: list[tuple[int, int, int, int]], second: list[tuple[int, int, int, int]]) -> bytes:
    data = with_second(first, second)
    end = 8 + len(directory(first))
    return data[: end - 4] + BELOW.to_bytes(4, "little") + data[end:]


def made_by(maker: bytes) -> bytes:
    """A preview with a directory below it, by a maker whose name is at byte 900."""
    data = tiff([*PREVIEW, REDUCED, (271, 2, len(maker) + 1, 900), (330, 4, 1, 60_000_000)], BODY)
    return data[:900] + maker + b"\0" + data[901 + len(maker) :]


def refusal(data: bytes) -> Refused:
    with pytest.raises(Refused) as caught:
        admit(data, Limits(), 1)
    return caught.value


SENSOR = [(256, 4, 1, 6000), (257, 4, 1, 4000), (262, 3, 1, 32803)]
RAW = {
    "DNG": (tiff([*PREVIEW, (50706, 1, 4, 0x0401)], BODY), "DNG"),
    "DNG without a preview": (tiff([*SENSOR, (50706, 1, 4, 0x0401)], BODY), "DNG"),
    "CR2": (b"II*\0\x10\0\0\0CR\2\0" + bytes(4) + directory(PREVIEW) + BODY, "Canon CR2"),
    "NEF": (made_by(b"NIKON CORPORATION"), "Nikon NEF"),
    "ARW": (made_by(b"SONY"), "Sony ARW"),
    "SRW": (made_by(b"SAMSUNG"), "Samsung SRW"),
    "3FR": (made_by(b"Hasselblad"), "Hasselblad 3FR"),
    "of an unknown maker": (made_by(b"Nobody"), "raw"),
    "PEF, its first image is the sensor's": (tiff([*SENSOR, (259, 3, 1, 65535)], BODY), "raw"),
    "IIQ": (b"II*\0\x10\0\0\0IIII" + bytes(4) + directory(PREVIEW) + BODY, "Phase One IIQ"),
    "a sensor in a directory below": (with_second([*PREVIEW, (330, 4, 1, BELOW)], SENSOR), "raw"),
    "a sensor in a directory behind": (chained(PREVIEW, SENSOR), "raw"),
    "a preview with notes of the maker": (with_second([*PREVIEW, REDUCED, (34665, 4, 1, BELOW)],
                                                      [(37500, 7, 4, 0)]), "raw"),
    "ORF": (b"IIRS\x08\0\0\0" + bytes(500), "Olympus ORF"),
    "RW2": (b"IIU\0\x18\0\0\0" + bytes(500), "Panasonic RW2"),
    "RAF": (b"FUJIFILMCCD-RAW 0201" + bytes(500), "Fujifilm RAF"),
    "X3F": (b"FOVb\0\0\2\0" + bytes(500), "Sigma X3F"),
    "MRW": (b"\0MRM\0\0\0\0" + bytes(500), "Minolta MRW"),
    "CRW": (b"II\x1a\0\0\0HEAPCCDR" + bytes(500), "Canon CRW"),
    "CR3": (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom" + bytes(500), "Canon CR3"),
}  # fmt: skip


@pytest.mark.parametrize("name", RAW)
def test_a_raw_file_is_named(name: str) -> None:
    data, words = RAW[name]
    found = refusal(data)
    assert found.reason is Reason.UNSUPPORTED_FORMAT
    assert "a camera's raw file" in found.detail
    assert words in found.detail
    assert "a camera's raw file" in str(found.about["looks_like"])


def test_a_thumbnail_that_comes_before_its_image_is_refused() -> None:
    larger = [(256, 4, 1, 6000), (257, 4, 1, 4000), (262, 3, 1, 2)]
    found = refusal(chained([*PREVIEW, REDUCED], larger))
    assert found.reason is Reason.UNSUPPORTED_FORMAT
    assert "thumbnail" in found.detail


PYRAMID = [(256, 4, 1, 80), (257, 4, 1, 60), REDUCED, (262, 3, 1, 2)]


@pytest.mark.parametrize(
    "data",
    [
        tiff(PREVIEW, BODY),
        tiff([*PREVIEW, REDUCED], BODY),
        tiff([*PREVIEW, (254, 4, 1, 0)], BODY),
        tiff([*PREVIEW, (330, 4, 1, 60_000_000)], BODY),
        with_second([*PREVIEW, (330, 4, 1, BELOW)], PYRAMID),
        chained(PREVIEW, PYRAMID),
        chained(PREVIEW, [(256, 4, 1, 800), (257, 4, 1, 600), (262, 3, 1, 2)]),
        with_second([*PREVIEW, (34665, 4, 1, BELOW)], [(37500, 7, 4, 0)]),
        encode(photograph(120, 160), "TIFF", save_all=True, append_images=[]),
        tiff([*PREVIEW, (254, 4, 1, 2)], BODY),
    ],
    ids=[
        *("plain", "reduced and alone", "full", "a lost directory below", "a pyramid below"),
        *("a thumbnail behind", "a larger page behind", "notes of a maker", "Pillow's", "a page"),
    ],
)
def test_other_tiffs_are_read(data: bytes) -> None:
    found = admit(data, Limits(), 1)
    assert (found.format, found.width, found.height) == ("tiff", 160, 120)


def test_directories_that_point_at_one_another_end() -> None:
    loop = hostile.tiff([*PREVIEW], BODY, following=8)
    assert admit(loop, Limits(), 1).width == 160

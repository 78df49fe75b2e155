"""The quality of a JPEG is the one that it was saved at, wherever its tables stand."""

import struct

import pytest
from support.images import encode, find_marker, photograph, with_segment

from assay.engine.admission import admit
from assay.engine.outcome import Refused
from assay.engine.settings import Limits

PHOTO = photograph(64, 96)


def quality(data: bytes) -> int:
    return admit(data, Limits(), 1).quality


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": "4:4:4"}, {"optimize": True}])
def test_every_quality_is_read_back(options: dict[str, object]) -> None:
    for wanted in (*range(1, 100, 7), 50, 90, 95, 100):
        assert quality(encode(PHOTO, quality=wanted, **options)) == wanted


def test_a_grey_image_has_a_quality_and_another_format_none() -> None:
    assert quality(encode(PHOTO[..., 0], quality=40)) == 40
    assert quality(encode(PHOTO, "PNG")) == quality(encode(PHOTO, "WEBP")) == 0


def test_the_table_of_luma_counts_in_any_place_and_precision_and_the_last_one() -> None:
    data = encode(PHOTO, quality=75)
    rough = bytes([0, *[255] * 64])
    assert quality(with_segment(data, 0xDB, rough)) == 75  # it comes first
    wide = bytes([0x10]) + struct.pack(">64H", *[300] * 64)
    chroma = bytes([1, *[1] * 64])
    position = find_marker(data, 0xC0)
    for table in (rough, wide, chroma + rough, chroma + wide):
        segment = b"\xff\xdb" + struct.pack(">H", 2 + len(table)) + table
        changed = data[:position] + segment + data[position:]
        assert quality(changed) <= 4
    segment = b"\xff\xdb" + struct.pack(">H", 2 + len(chroma)) + chroma
    assert quality(data[:position] + segment + data[position:]) == 75


def test_a_segment_full_of_tables_is_not_read_to_its_end() -> None:
    data = encode(PHOTO, quality=75)
    position = find_marker(data, 0xC0)
    tables = bytes([1, *[1] * 64]) * 900 + bytes([0, *[255] * 64])
    segment = b"\xff\xdb" + struct.pack(">H", 2 + len(tables)) + tables
    assert quality(data[:position] + segment + data[position:]) == 75


def test_a_broken_table_is_no_more_than_truncated() -> None:
    data = encode(PHOTO, quality=75)
    position = find_marker(data, 0xDB)
    for length in range(position + 4, position + 60):
        with pytest.raises(Refused, match="ends"):
            admit(data[:length], Limits(), 1)

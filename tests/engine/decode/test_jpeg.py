"""JPEGs with headers that decoders ignore, or in rare layouts: the same pixels, and no less strictness."""

from collections.abc import Iterator
from typing import Literal

import numpy as np
import pytest
from support.images import (
    behind_jfif,
    cut_with_end,
    encode,
    find_marker,
    good,
    photograph,
    planes,
    with_scan_parameters,
    with_segment,
)
from support.jpeg_writer import write

from assay.engine.admission import Header, admit
from assay.engine.decode import jpeg, markers, sampling
from assay.engine.outcome import Reason, Refused
from assay.engine.settings import Limits

JPEGS = [name for name in good() if name.startswith("jpeg")]


def header_of(data: bytes) -> Header:
    return admit(data, Limits(), 1)


def verdict(data: bytes) -> Reason | None:
    """Why an image is refused on its whole way."""
    try:
        jpeg.decode(data, header_of(data))
    except Refused as refused:
        return refused.reason
    return None


def damaged(data: bytes, count: int, seed: int = 0) -> Iterator[bytes]:
    """Forms of a JPEG of one scan whose entropy-coded data are damaged, and nothing else."""
    random = np.random.default_rng(seed)
    start = find_marker(data, 0xDA) + 14
    for number in range(count):
        at = int(random.integers(start, len(data) - 50))
        length = int(random.integers(1, 48))
        noise = random.bytes(length).replace(b"\xff", b"\0")
        yield [
            data[:at] + bytes(length) + data[at + length :],
            data[:at] + noise + data[at + length :],
            data[:at] + bytes([data[at] ^ 1 << int(random.integers(8))]) + data[at + 1 :],
            data[:at] + data[at + length :],
            data[:at] + b"\xff\xd9",
        ][number % 5]


ODD = ["odd", "unknown", "profile", "junk between", "junk before its frame", "4:1:0", " 1x1", "2x1 2x1"]


@pytest.mark.parametrize("name", [name for name in JPEGS if any(word in name for word in ODD)])
def test_odd_jpegs_that_are_cut_are_refused(name: str) -> None:
    data = good()[name].data
    assert verdict(cut_with_end(data)) in (Reason.TRUNCATED, Reason.UNDECODABLE)
    assert verdict(data[:-2]) is Reason.TRUNCATED


@pytest.mark.parametrize("restart", [0, 2])
def test_a_warning_about_headers_hides_no_damage(restart: int) -> None:
    """A damaged file is refused or not, for the same reason, whatever its headers are."""
    options = {"restart_marker_blocks": restart} if restart else {}
    found: set[Reason | None] = set()
    for data in damaged(encode(photograph(64, 80), quality=90, **options), 60):
        expected = verdict(data)
        found.add(expected)
        strange = behind_jfif(data[:11] + b"\2\1" + data[13:], b"junk")
        assert verdict(with_scan_parameters(strange, 0, 0, 0)) is expected
        assert verdict(with_segment(data, 0xE2, b"ICC_PROFILE\0\1\2")) is expected
    assert {None, Reason.TRUNCATED} <= found


@pytest.mark.parametrize("subsampling", ["4:2:0", "4:4:4"])
def test_rare_layouts_are_decoded_as_strictly_as_others(subsampling: str) -> None:
    """What libjpeg warns about in a layout that TurboJPEG knows, the decoder for others notices too."""
    noticed = 0
    for data in damaged(encode(photograph(96, 128), quality=85, subsampling=subsampling), 100):
        header = header_of(data)
        pieces = markers.plain(data)
        assert pieces is not None
        try:
            pixels = jpeg.decode(data, header)
        except Refused:
            noticed += 1
            with pytest.raises(sampling.DamagedError):
                sampling.decode(pieces, header, jpeg.MOST_EXTRANEOUS)
        else:
            np.testing.assert_array_equal(sampling.decode(pieces, header, jpeg.MOST_EXTRANEOUS), pixels)
    assert 20 <= noticed < 90


@pytest.mark.parametrize("name", [name for name in JPEGS if "grey" not in name])
def test_the_decoder_for_rare_layouts_agrees_on_all_others(name: str) -> None:
    data = good()[name].data
    pieces = markers.plain(data)
    assert pieces is not None
    found = sampling.decode(pieces, header_of(data), jpeg.MOST_EXTRANEOUS)
    np.testing.assert_array_equal(found, good()[name].pixels)


@pytest.mark.parametrize(
    "factors", [[(4, 2), (1, 1), (1, 1)], [(3, 1), (1, 1), (1, 1)], [(2, 1), (1, 1), (2, 1)]]
)
@pytest.mark.parametrize("scans", ["one", "one a component", "progressive"])
@pytest.mark.parametrize("side", [16, 31, 97])
def test_rare_layouts_of_any_size_decode(
    factors: list[tuple[int, int]], scans: Literal["one", "one a component", "progressive"], side: int
) -> None:
    photo = photograph(side, 2 * side - 1)
    data = write(planes(photo), factors, scans=scans)
    pixels = jpeg.decode(data, header_of(data))
    assert np.abs(pixels.astype(int) - photo).mean() < 12


@pytest.mark.parametrize("name", JPEGS)
def test_pieces_are_the_file_up_to_its_end_marker(name: str) -> None:
    data = good()[name].data
    pieces = list(markers.pieces(data))
    joined = markers.joined(pieces)
    assert data.startswith(joined)
    assert pieces[-1].code == markers.END
    assert joined.endswith(b"\xff\xd9")


@pytest.mark.parametrize("name", JPEGS)
def test_plain_headers_need_no_making_plain(name: str) -> None:
    pieces = markers.plain(memoryview(good()[name].data))
    assert pieces is not None
    assert markers.plain(markers.joined(pieces)) == pieces


def test_a_file_of_nothing_but_segments_is_not_walked_to_its_end() -> None:
    data = b"\xff\xd8" + b"\xff\xfe\0\2" * 100_000
    pieces = list(markers.pieces(data))
    assert len(pieces) == 2 * markers.MOST_PIECES + 1
    assert markers.joined(pieces) == data

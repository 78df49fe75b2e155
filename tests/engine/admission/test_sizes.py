"""The size that is admitted is the one that is decoded, whatever the containers around it say or hold."""

import struct
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from support.hostile import PLAIN, Part, box, full_box, heif, size_box, tiff
from support.images import encode, photograph, png, png_chunk

from assay.engine.admission import Header, admit, av1, hevc
from assay.engine.admission.bits import Bits
from assay.engine.admission.units import MAX_UNITS, Units
from assay.engine.decode import make_decoder
from assay.engine.outcome import Reason, Refused
from assay.engine.settings import Limits

PHOTO = photograph(96, 131)
PHOTO_TURNED = Image.fromarray(PHOTO[::-1].copy())
AVIF = encode(PHOTO, "AVIF", speed=10)


def admitted(data: bytes) -> Header:
    return admit(data, Limits(), 1)


def refusal(data: bytes) -> Refused:
    with pytest.raises(Refused) as caught:
        admitted(data)
    return caught.value


def pixels(data: bytes) -> np.ndarray:
    [found] = make_decoder("turbo").decode([(data, admitted(data))])
    assert not isinstance(found, Refused), found.detail
    return np.asarray(found)


def claiming(data: bytes, width: int, height: int, which: int = 0) -> bytes:
    at = -1
    for _ in range(which + 1):
        at = data.index(b"ispe", at + 1)
    return data[: at + 8] + struct.pack(">II", width, height) + data[at + 16 :]


@pytest.mark.parametrize(("across", "down"), [(16, 16), (131, 20), (16, 96), (1, 1)])
def test_an_avif_that_says_less_than_it_holds_is_refused(across: int, down: int) -> None:
    data = claiming(AVIF, across, down)
    assert refusal(data).reason is Reason.UNDECODABLE
    assert "131x96" in refusal(data).detail


def test_an_alpha_plane_has_to_fit_too() -> None:
    alpha = np.concatenate([PHOTO, PHOTO[..., :1]], axis=2)
    data = encode(alpha, "AVIF", speed=10)
    assert admitted(data).width == 131
    small, large = sequence_unit(100, 100), sequence_unit(4000, 3000)
    image = Part(b"av01", [(0, len(small))], [1])
    for stated, part in (
        ((100, 100), "coded data 4000x3000"),
        ((4000, 3000), "A part of the image has 4000x3000"),
    ):
        plane = Part(b"av01", [(len(small), len(large))], [2], plane_of=[1])
        data = heif({1: image, 2: plane}, [size_box(100, 100), size_box(*stated)], small + large)
        assert refusal(data).reason is Reason.UNDECODABLE
        assert part in refusal(data).detail


def test_a_thumbnail_may_say_what_it_likes() -> None:
    body = sequence_unit(200, 100)
    image = Part(b"av01", [(0, len(body))], [1])
    other = Part(b"av01", [(0, 0)], [2])
    data = heif({1: image, 2: other}, [size_box(200, 100), size_box(1, 1)], body)
    assert (admitted(data).width, admitted(data).height) == (200, 100)


@pytest.mark.parametrize(("ties", "fits"), [([1, 3], True), ([1, 2], False), ([2, 1], False)])
def test_one_image_has_one_size(ties: list[int], fits: bool) -> None:
    """Which of two a decoder takes is not for us to guess; nor which box of ties it reads."""
    body = sequence_unit(100, 100)
    sizes = [size_box(100, 100), size_box(4000, 3000), size_box(100, 100)]
    data = heif({1: Part(b"av01", [(0, len(body))], ties)}, sizes, body)
    if fits:
        assert admitted(data).width == 100
    else:
        assert "more than one size" in refusal(data).detail


def test_a_still_image_beside_tracks_is_checked_too() -> None:
    moving = encode(PHOTO, "AVIF", speed=10, save_all=True, append_images=[PHOTO_TURNED])
    assert moving[8:12] == b"avis"
    assert refusal(claiming(moving, 16, 16)).reason is Reason.UNDECODABLE


def test_a_grid_is_its_tiles() -> None:
    tile = sequence_unit(512, 512)
    grid = struct.pack(">BBBBHH", 0, 0, 1, 1, 1000, 900)

    def made(stated: tuple[int, int], tiles: tuple[int, int]) -> bytes:
        parts = {
            1: Part(b"grid", [(len(tile), len(grid))], [1], tiles=[2, 3, 4, 5]),
            **dict.fromkeys(range(2, 6), Part(b"av01", [(0, len(tile))], [2])),
        }
        return heif(parts, [size_box(*stated), size_box(*tiles)], tile + grid)

    found = admitted(made((1000, 900), (512, 512)))
    assert (found.width, found.height) == (1000, 900)
    assert found.peak_bytes > 1000 * 900 * 10 + 4 * 512 * 512
    assert "1000x900" in refusal(made((128, 128), (512, 512))).detail
    assert "512x512" in refusal(made((1000, 900), (128, 128))).detail


def test_what_an_avif_holds_may_be_a_little_larger() -> None:
    """Some encoders code whole blocks."""
    assert admitted(claiming(AVIF, 128, 64)).width == 128


def test_items_that_lie_over_each_other_are_refused() -> None:
    body = sequence_unit(100, 100) + bytes(10_000)
    parts = {number: Part(b"av01", [(0, len(body))], [1]) for number in range(1, 30)}
    assert "over each other" in refusal(heif(parts, [size_box(100, 100)], body)).detail
    assert admitted(heif({1: parts[1], 2: parts[2]}, [size_box(100, 100)], body)).width == 100


@pytest.mark.parametrize("junk", [b"\0", bytes(500), b"junk" * 99, b"\xff" * 40, b"\0\0\0\x08free" * 9])
def test_bytes_behind_the_end_of_an_avif_are_not_read(junk: bytes) -> None:
    np.testing.assert_array_equal(pixels(AVIF + junk), pixels(AVIF))


@pytest.mark.parametrize("chunk", [b"zTXt", b"iTXt", b"tEXt", b"eXIf", b"vpAg", b"caBX"])
def test_chunks_of_a_png_are_skipped(chunk: bytes) -> None:
    data = png(PHOTO, 2, 8, chunks=png_chunk(chunk, b"k\0\0" + bytes(300_000)) * 20)
    np.testing.assert_array_equal(pixels(data), PHOTO)


def with_canvas(data: bytes, width: int, height: int) -> bytes:
    at = data.index(b"VP8X") + 12
    return data[:at] + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little") + data[at + 6 :]


def test_the_canvas_of_a_webp_is_its_frame() -> None:
    still = encode(PHOTO, "WEBP", exif=b"Exif\0\0" + bytes(50))
    assert admitted(with_canvas(still, 131, 96)).width == 131
    for size in ((64, 64), (200, 200), (131, 95)):
        assert "131x96" in refusal(with_canvas(still, *size)).detail
    moving = encode(PHOTO, "WEBP", save_all=True, append_images=[PHOTO_TURNED], lossless=True)
    assert "131x96" in refusal(with_canvas(moving, 64, 64)).detail


def test_webp_chunks_behind_the_image_are_skipped_up_to_a_bound() -> None:
    data = encode(PHOTO, "WEBP", exif=b"Exif\0\0" + bytes(50))

    def longer(count: int) -> bytes:
        more = data + b"JUNK\x02\0\0\0ab" * count
        return more[:4] + struct.pack("<I", len(more) - 8) + more[8:]

    np.testing.assert_array_equal(pixels(longer(500)), pixels(data))
    assert admitted(longer(500)).peak_bytes >= admitted(longer(0)).peak_bytes + 500 * 64
    assert "chunks" in refusal(longer(50_000)).detail


GIF = encode(PHOTO_TURNED.quantize(64), "GIF")


@given(width=st.integers(0, 300), height=st.integers(0, 300))
def test_the_screen_of_a_gif_grows_to_its_frame(width: int, height: int) -> None:
    found = admitted(GIF[:6] + struct.pack("<HH", width, height) + GIF[10:])
    assert (found.width, found.height) == (max(width, 131), max(height, 96))


def test_a_gif_is_as_large_as_its_first_frame_reaches() -> None:
    head = b"GIF89a" + struct.pack("<HHBBB", 10, 10, 0, 0, 0) + b"\x21\xfe\3abc\0\x21\xf9\4\0\0\0\0\0"
    found = admitted(head + b"\x2c" + struct.pack("<4HB", 60000, 5, 5000, 100, 0))
    assert (found.width, found.height) == (65000, 105)
    large = head + b"\x2c" + struct.pack("<4HB", 0, 0, 60000, 60000, 0)
    assert refusal(large).reason is Reason.TOO_MANY_PIXELS
    assert refusal(head + b"\x3b").reason is Reason.UNDECODABLE


@pytest.mark.parametrize(
    ("more", "part"),
    [
        ([(273, 4, 20000, 200), (278, 4, 1, 1)], "20000 strips or tiles"),
        ([(322, 4, 1, 16), (323, 4, 1, 16), (324, 4, 500_000, 200)], "500000 strips or tiles"),
        ([(322, 4, 1, 0), (323, 4, 1, 16)], "tiles of 0x16"),
        ([(256, 4, 1, 99)], "twice"),
        ([(339, 3, 200_000, 200), (700, 1, 390_000, 200), (40000, 3, 200_000, 200)], "tags hold"),
    ],
)
def test_a_tiff_has_no_more_parts_than_room(more: Sequence[tuple[int, int, int, int]], part: str) -> None:
    found = refusal(tiff([*PLAIN, *more], bytes(420_000)))
    assert found.reason is Reason.UNDECODABLE
    assert part in found.detail


def test_strips_that_are_all_the_same_bytes_are_refused() -> None:
    count = 6000
    tables = struct.pack("<I", 300) * count + struct.pack("<I", 20_000) * count
    entries = [*PLAIN, (273, 4, count, 150), (278, 4, 1, 1), (279, 4, count, 150 + 4 * count)]
    head = tiff(entries)
    assert "over each other" in refusal(head.ljust(150, b"\0") + tables).detail


def test_more_entries_than_any_directory_has_are_refused() -> None:
    assert "2000 entries" in refusal(tiff([*PLAIN, *((40000 + n, 3, 1, 0) for n in range(1995))])).detail


def test_coefficients_are_reserved_in_whole_blocks() -> None:
    """A narrow image of several scans is padded to whole MCUs on both sides."""
    narrow = admitted(encode(photograph(1000, 65), progressive=True))
    coefficients = 80 * 1008 * (1 + 2 / 4) * 2
    assert narrow.peak_bytes >= narrow.decoded_bytes + coefficients
    assert admitted(encode(photograph(1000, 65))).peak_bytes < narrow.peak_bytes


# -- AV1 and HEVC headers against a writer of our own


class Writer:
    """Bits in the order of the specification."""

    def __init__(self) -> None:
        self.bits = ""

    def put(self, value: int, count: int) -> None:
        self.bits += f"{value:0{count}b}" if count else ""

    def exp_golomb(self, value: int) -> None:
        length = (value + 1).bit_length()
        self.put(0, length - 1)
        self.put(value + 1, length)

    def data(self) -> bytes:
        bits = self.bits + "1"
        return int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")


def unit(kind: int, content: bytes) -> bytes:
    size = bytes([len(content) & 0x7F | 0x80, len(content) >> 7])
    return bytes([kind << 3 | 2]) + size + content


def sequence_unit(width: int, height: int, bits: int = 16) -> bytes:
    """The sequence header of a still picture, 8 bits, 4:2:0."""
    writer = Writer()
    for value, count in ((0, 3), (1, 1), (1, 1), (0, 5), (bits - 1, 4), (bits - 1, 4)):
        writer.put(value, count)
    writer.put(width - 1, bits)
    writer.put(height - 1, bits)
    for value, count in ((0, 3), (0, 3), (0, 1), (0, 1), (0, 1), (0, 1), (0, 2), (0, 1), (0, 1)):
        writer.put(value, count)
    return unit(1, writer.data())


FLAGS = st.lists(st.integers(0, 1), min_size=12, max_size=12)


def written(width: int, height: int, flags: list[int], points: int) -> bytes:
    """A sequence header with the optional fields that `flags` choose; each field is (value, bits)."""
    timing, model, delay, identity, order, tools, motion, high, grey, described, grain, _ = flags
    model &= timing
    fields = [(0, 3), (0, 1), (0, 1), (timing, 1), (1, 32 * timing), (25, 32 * timing), (0, timing)]
    fields += [(model, timing), (9, 5 * model), (1, 32 * model), (9, 5 * model), (6, 5 * model)]
    fields += [(delay, 1), (points - 1, 5)]
    for number in range(points):
        tier = number % 2
        fields += [(0, 12), (8 if tier else 5, 5), (1, tier), (1, model), (0, 21 * model)]
        fields += [(1, delay), (3, 4 * delay)]
    fields += [(15, 4), (15, 4), (width - 1, 16), (height - 1, 16)]
    fields += [
        (identity, 1),
        (3, 4 * identity),
        (2, 3 * identity),
        (0, 3),
        (0, 4),
        (order, 1),
        (0, 2 * order),
    ]
    fields += [(tools, 1), (1, 1 - tools), (motion, 1), (0, 1 - motion), (6, 3 * order), (0, 3)]
    fields += [(high, 1), (grey, 1), (described, 1), (0x010101, 24 * described), (0, 1)]
    fields += [(0, 2 * (1 - grey)), (0, 1 - grey), (grain, 1)]
    return packed(fields)


def key_frame(flags: list[int], size: tuple[int, int] | None) -> bytes:
    """A frame header that belongs to `written`, up to the size that it may have of its own."""
    timing, model, _, identity, order, tools, motion, *_, shown = flags
    model &= timing
    hidden, own = 1 - shown, int(size is not None)
    width, height = size or (1, 1)
    fields = [
        (0, 1),
        (0, 2),
        (shown, 1),
        (5, 7 * shown * model),
        (1, hidden),
        (1, hidden),
        (0, 1),
        (1, tools),
    ]
    fields += [(0, motion), (3, 8 * identity), (own, 1)]
    fields += [(1, 7 * order * own), (0, model * own), (1, 8 * hidden * own), (0, 56 * hidden * order * own)]
    return packed([*fields, (width - 1, 16 * own), (height - 1, 16 * own)]) + bytes(50)


def packed(fields: Sequence[tuple[int, int]]) -> bytes:
    writer = Writer()
    for value, count in fields:
        writer.put(value, count)
    return writer.data()


@given(
    width=st.integers(1, 65536),
    height=st.integers(1, 65536),
    flags=FLAGS,
    points=st.integers(1, 4),
    size=st.none() | st.tuples(st.integers(1, 65536), st.integers(1, 65536)),
)
def test_sequence_and_frame_headers_are_read_whole(
    width: int, height: int, flags: list[int], points: int, size: tuple[int, int] | None
) -> None:
    """Every optional field in turn: a field that is skipped wrongly moves all that follow."""
    header = written(width, height, flags, points)
    high, grey, grain = flags[7], flags[8], flags[10]
    found = av1.read_sequence(Bits(header))
    assert (found.width, found.height, found.film_grain) == (width, height, bool(grain))
    assert found.sample_bytes == (2 if grey else 3) * (1 + high)
    frames = av1.frames(unit(2, b"") + unit(1, header) + unit(6, key_frame(flags, size)), Units())
    assert frames is not None
    across, down = size or (0, 0)
    assert (frames.width, frames.height) == (max(width, across), max(height, down))
    assert frames.held >= width * height * found.sample_bytes // 2


def test_units_are_counted_over_the_whole_file() -> None:
    units = Units()
    av1.frames(unit(2, b"") * (MAX_UNITS - 1), units)
    with pytest.raises(Refused, match="units"):
        av1.frames(unit(2, b"") * 2, units)


@pytest.mark.parametrize("subsampling", ["4:0:0", "4:2:0", "4:2:2", "4:4:4"])
@pytest.mark.parametrize("size", [(16, 16), (131, 96), (1, 1), (300, 7)])
def test_frames_of_a_real_encoder(size: tuple[int, int], subsampling: str) -> None:
    width, height = size
    data = encode(photograph(height, width), "AVIF", speed=10, subsampling=subsampling)
    at = data.index(b"mdat") + 4
    found = av1.frames(data[at:], Units())
    assert found is not None
    assert (found.width, found.height) == size


@given(
    width=st.integers(1, 60000),
    height=st.integers(1, 60000),
    chroma=st.integers(0, 3),
    layers=st.integers(0, 2),
)
def test_the_size_of_hevc_is_that_of_its_parameters(
    width: int, height: int, chroma: int, layers: int
) -> None:
    writer = Writer()
    writer.put(0x4201, 16), writer.put(0, 4), writer.put(layers, 3), writer.put(1, 1), writer.put(0, 96)
    if layers:
        for number in range(8):
            writer.put(number < layers, 1), writer.put(number < layers, 1)
        for _ in range(layers):
            writer.put(0, 96)
    writer.exp_golomb(0), writer.exp_golomb(chroma)
    if chroma == 3:
        writer.put(0, 1)
    writer.exp_golomb(width), writer.exp_golomb(height)
    parameters = escaped(writer.data() + b"\1")
    configured = bytes(21) + b"\3\1" + b"\x21\0\1" + struct.pack(">H", len(parameters)) + parameters
    assert hevc.size(configured, b"", Units()) == (width, height)
    inside = struct.pack(">I", len(parameters)) + parameters
    assert hevc.size(bytes(21) + b"\3\0", struct.pack(">I", 3) + b"\x26\1\0" + inside, Units()) == (
        width,
        height,
    )


def escaped(data: bytes) -> bytes:
    """With a 3 behind every two zeros that are followed by less than 4."""
    found = bytearray()
    for byte in data:
        if byte < 4 and found[-2:] == b"\0\0":
            found.append(3)
        found.append(byte)
    return bytes(found)


@pytest.mark.parametrize(("size", "fits"), [((4000, 3000), True), ((128, 128), False)])
def test_a_heic_that_says_less_than_it_holds_is_refused(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], fits: bool
) -> None:
    monkeypatch.setattr("assay.engine.admission.header.heif_installed", lambda: True)
    writer = Writer()
    writer.put(0x4201, 16), writer.put(0, 4), writer.put(0, 3), writer.put(1, 1), writer.put(0, 96)
    writer.exp_golomb(0), writer.exp_golomb(1), writer.exp_golomb(4000), writer.exp_golomb(3000)
    parameters = escaped(writer.data() + b"\1")
    configured = box(b"hvcC", bytes(21) + b"\3\1\x21\0\1" + struct.pack(">H", len(parameters)) + parameters)
    image = Part(b"hvc1", [(0, 8)], [1, 2])
    data = heif({1: image}, [size_box(*size), configured], b"\0\0\0\4\x26\1\0\0", brand=b"heic")
    if fits:
        assert admitted(data).width == 4000
    else:
        assert "4000x3000" in refusal(data).detail


def test_the_tracks_of_a_sequence_decide_where_they_are_decoded() -> None:
    moving = encode(PHOTO, "AVIF", speed=10, save_all=True, append_images=[PHOTO_TURNED])
    assert (admitted(moving).width, admitted(moving).height) == (131, 96)
    at = moving.index(b"tkhd") + 4
    at += 88 if moving[at] else 76
    smaller = moving[:at] + struct.pack(">II", 16 << 16, 16 << 16) + moving[at + 8 :]
    assert "131x96" in refusal(smaller).detail
    at = moving.index(b"stsz") + 12
    many = moving[:at] + struct.pack(">I", 1 << 30) + moving[at + 4 :]
    assert "images" in refusal(many).detail


def test_the_boxes_of_the_writer_are_those_of_a_file() -> None:
    """What the other tests are made with: `full_box` has a version, as the boxes of a real file."""
    assert full_box(b"ispe", struct.pack(">II", 131, 96)) in AVIF

"""Admission: what is turned down by its first bytes, and that nothing in them can do harm."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import images
from support.images import encode, evil, good, photograph

from assay.engine.admission import FORMATS, Header, admit, header, read_header
from assay.engine.outcome import Reason, Refused
from assay.engine.settings import Limits

LIMITS = Limits()
MAGIC = [
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR",
    b"RIFF\0\0\0\0WEBPVP8 ",
    b"RIFF\0\0\0\0WEBPVP8L",
    b"RIFF\0\0\0\0WEBPVP8X",
    b"GIF89a",
    b"BM" + bytes(12) + b"\x28\0\0\0",
    b"II*\0\x08\0\0\0",
    b"MM\0+\0\x08\0\0" + bytes(6) + b"\x10",
    b"\0\0\0\x14ftypavif\0\0\0\0mif1",
]


def attempt(data: bytes | memoryview, limits: Limits = LIMITS, min_side: int = 1) -> Header | Refused:
    try:
        return admit(data, limits, min_side)
    except Refused as refused:
        return refused


def refusal(data: bytes | memoryview, limits: Limits = LIMITS, min_side: int = 1) -> Refused:
    found = attempt(data, limits, min_side)
    assert isinstance(found, Refused), "it was admitted"
    return found


@pytest.mark.parametrize("name", good())
def test_the_header_of_a_good_image_is_that_of_its_pixels(name: str) -> None:
    image = good()[name]
    height, width, _ = image.pixels.shape
    found = admit(image.data, LIMITS, 1)
    assert (found.width, found.height) == (width, height)
    assert FORMATS[found.format].lower() == name.split(maxsplit=1)[0]
    assert found.decoded_bytes == image.pixels.nbytes
    assert admit(memoryview(image.data), LIMITS, 1) == found


@pytest.mark.parametrize("name", good())
def test_headers_that_are_cut_off_are_refused_or_complete(name: str) -> None:
    data = good()[name].data
    whole = admit(data, LIMITS, 1)
    for length in range(min(len(data), 2000)):
        found = attempt(data[:length])
        if isinstance(found, Header):
            assert found == whole
            continue
        allowed = {Reason.EMPTY} if length == 0 else {Reason.TRUNCATED}
        if length < 20:  # too short to tell what it would have become
            allowed.add(Reason.UNSUPPORTED_FORMAT)
        assert found.reason in allowed, (length, found.detail)


@pytest.mark.parametrize("prefix", MAGIC, ids=repr)
@given(tail=st.binary(max_size=200))
def test_any_bytes_get_a_header_or_a_refusal(prefix: bytes, tail: bytes) -> None:
    found = attempt(prefix + tail, Limits(max_pixels=1_000_000))
    if isinstance(found, Header):
        assert found.width > 0
        assert found.height > 0
        assert found.pixels <= 1_000_000
    else:
        assert found.detail.endswith(".")


def test_limits_are_inclusive_and_named_with_the_numbers() -> None:
    data = encode(photograph(60, 80))
    assert admit(data, Limits(max_bytes=len(data), max_pixels=4800), 60) == read_header(data, 100)

    too_large = refusal(data, Limits(max_bytes=len(data) - 1))
    assert too_large.reason is Reason.TOO_MANY_BYTES
    assert too_large.about == {"bytes": len(data), "limit": len(data) - 1}
    assert str(len(data)) in too_large.detail

    too_many = refusal(data, Limits(max_pixels=4799))
    assert too_many.reason is Reason.TOO_MANY_PIXELS
    assert too_many.about == {"format": "jpeg", "width": 80, "height": 60, "limit": 4799}
    assert "80x60 = 4800 pixels" in too_many.detail
    assert "4799" in too_many.detail

    too_small = refusal(data, min_side=61)
    assert too_small.reason is Reason.TOO_SMALL
    assert too_small.about == {"format": "jpeg", "width": 80, "height": 60, "limit": 61}
    assert "80x60" in too_small.detail
    assert "61" in too_small.detail


@pytest.mark.parametrize(
    ("name", "looks"),
    [
        ("text", "text"),
        ("text in Greek", "text"),
        ("json", "text"),
        ("html", "an HTML page"),
        ("svg", "an SVG drawing"),
        ("pdf", "a PDF document"),
        ("zip", "a zip archive (or a document in one)"),
        ("mp4", "a video (MP4 or QuickTime)"),
        ("zeros", "nothing but zero bytes"),
        ("noise", "unknown data"),
    ],
)
def test_what_is_no_image_is_called_what_it_looks_like(name: str, looks: str) -> None:
    refused = refusal(evil()[name].data)
    assert refused.reason is Reason.UNSUPPORTED_FORMAT
    assert refused.detail.startswith(f"This looks like {looks}")
    assert "accepted are JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF" in refused.detail


def scans_of(data: bytes) -> list[int]:
    return [position for position, code in images.jpeg_markers(data) if code == 0xDA]


def test_scans_are_counted_to_the_limit() -> None:
    data = encode(photograph(), progressive=True)
    count = len(scans_of(data))
    assert count > 2
    admit(data, Limits(max_scans=count), 1)
    refused = refusal(data, Limits(max_scans=count - 1))
    assert refused.reason is Reason.UNDECODABLE
    assert f"more than {count - 1} scans" in refused.detail


def test_scan_markers_within_tables_and_behind_the_end_are_no_scans() -> None:
    data = encode(photograph(), progressive=True)
    comment = struct.pack(">BBH", 0xFF, 0xFE, 2 + 400) + b"\xff\xda" * 200
    second = scans_of(data)[1]
    admit(data[:second] + comment + data[second:] + b"\xff\xda" * 200, LIMITS, 1)


def test_an_end_marker_within_a_table_does_not_hide_scans() -> None:
    data = images.many_scans(150)
    comment = struct.pack(">BBHBB", 0xFF, 0xFE, 4, 0xFF, 0xD9)
    second = scans_of(data)[1]
    assert refusal(data[:second] + comment + data[second:]).reason is Reason.UNDECODABLE


def test_a_baseline_jpeg_of_one_scan_a_component_is_counted_too() -> None:
    """libjpeg reads all scans of a sequential file too, where the first does not hold all components."""
    data = encode(photograph())
    scan = scans_of(data)[0]
    one_component = b"\xff\xda\0\x08\x01\x01\0\0\x3f\0"
    assert refusal(data[:scan] + one_component * 101 + data[scan:]).reason is Reason.UNDECODABLE
    admit(data[:scan] + one_component * 50 + data[scan:], LIMITS, 1)


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xd8" + b"\xff\xfe\0\2" * 5_000_000,
        b"\xff\xd8" + b"\xff\xd0" * 10_000_000,
        b"\xff\xd8" + b"\xff" * 20_000_000,
        b"\xff\xd8\xff\xc2\0\x0b\x08\0\x40\0\x40\1\1\x11\0\xff\xda\0\2" + b"\xff\xfe\0\4\xff\xda" * 3_000_000,
        b"\0\0\0\x14ftypavif\0\0\0\0mif1" + b"\0\0\0\x08free" * 2_400_000,
    ],
    ids=["segments", "restarts", "fill bytes", "segments behind a scan", "boxes"],
)
@pytest.mark.timeout(20)  # each of these took seconds to minutes if every step were followed
def test_headers_without_end_are_given_up(data: bytes) -> None:
    assert refusal(data, Limits(max_bytes=1 << 30)).reason in (Reason.UNDECODABLE, Reason.TRUNCATED)


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_big_tiff_that_points_beyond_any_index_is_truncated(order: str) -> None:
    mark = b"II" if order == "<" else b"MM"
    directory = struct.pack(order + "HHHQ", 43, 8, 0, 1 << 63)
    assert refusal(mark + directory).reason is Reason.TRUNCATED

    entry = struct.pack(order + "HHQQ", 256, 4, 9, 1 << 63)
    directory = struct.pack(order + "HHHQQ", 43, 8, 0, 16, 1) + entry
    assert refusal(mark + directory).reason is Reason.TRUNCATED


def test_heic_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    data = heic(width=640, height=480, quarter_turns=1)
    monkeypatch.setattr(header, "heif_installed", lambda: False)
    refused = refusal(data)
    assert refused.reason is Reason.UNSUPPORTED_FORMAT
    assert "pip install pillow-heif" in refused.detail

    monkeypatch.setattr(header, "heif_installed", lambda: True)
    assert admit(data, LIMITS, 1) == Header("heic", 480, 640)  # libheif applies the file's own rotation
    assert admit(heic(640, 480, 2), LIMITS, 1) == Header("heic", 640, 480)
    assert "HEIC" in refusal(b"text").detail


def heic(width: int, height: int, quarter_turns: int) -> bytes:
    """The boxes of a HEIC file: a thumbnail's size comes first, the image's is cropped from an even one."""

    def box(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I4s", 8 + len(content), kind) + content

    def full(kind: bytes, content: bytes) -> bytes:
        return box(kind, bytes(4) + content)

    sizes = [full(b"ispe", struct.pack(">II", *size)) for size in ((160, 120), (width + 1, height + 1))]
    crop = box(b"clap", struct.pack(">8I", width, 1, height * 2, 2, 0, 1, 0, 1))
    properties = box(b"ipco", b"".join(sizes) + crop + box(b"irot", bytes([quarter_turns])))
    tied = struct.pack(
        ">IHBBHBBBB", 2, 1, 1, 1, 2, 3, 0x82, 3, 4
    )  # item 1: the first size; item 2: the others
    meta = full(b"pitm", struct.pack(">H", 2)) + box(b"iprp", properties + full(b"ipma", tied))
    return box(b"ftyp", b"heic\0\0\0\0mif1heic") + full(b"meta", meta) + box(b"mdat", bytes(64))


@pytest.mark.parametrize(
    ("data", "part"),
    [
        (b"\x89PNG\r\n\x1a\n\0\0\0\0IDAT" + bytes(30), "IHDR"),
        (b"RIFF\x20\0\0\0WEBPVP8 " + bytes(30), "start code"),
        (b"RIFF\x20\0\0\0WEBPVP8L" + bytes(30), "signature"),
        (b"II*\0\x08\0\0\0\0\0" + bytes(30), "width and height"),
        (b"\0\0\0\x14ftypavis\0\0\0\0msf1\0\0\0\x08moov", "sequence"),
        (b"\0\0\0\x14ftypavif\0\0\0\0mif1\0\0\0\x04meta", "smaller than its own header"),
    ],
)
def test_headers_that_contradict_themselves(data: bytes, part: str) -> None:
    refused = refusal(data)
    assert refused.reason is Reason.UNDECODABLE
    assert part in refused.detail

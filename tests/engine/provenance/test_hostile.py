"""Whatever the bytes are, reading them raises nothing and ends."""

from collections.abc import Callable, Iterator
from functools import cache

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.images import encode, photograph, png_chunk
from support.metadata import (
    INFOTEXT,
    exif_block,
    packet,
    riff,
    source_packet,
    text_chunk,
    with_chunks,
    with_exif,
    with_xmp,
)

from assay.engine import provenance
from assay.engine.admission import Header
from assay.engine.provenance import MOST_CLAIMS, Checker, Claim, Provenance, bmff, exif, jpeg, png, webp, xmp
from assay.engine.provenance.claim import MOST_TEXT

CAMERA = exif_block({0x010F: "Canon", 0x0110: "R5"}, b"UNICODE\0" + INFOTEXT.encode("utf-16-le"))


@cache
def samples() -> dict[str, list[bytes]]:
    """By format, images with as many kinds of metadata as it can hold."""
    files = {name.lower(): [with_exif(CAMERA, name)] for name in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF")}
    for name, images in files.items():
        images.append(with_xmp(source_packet("trainedAlgorithmicMedia"), name.upper()))
    files["png"].append(with_chunks(text_chunk("parameters", INFOTEXT, "iTXt packed")))
    files["webp"].append(riff(encode(photograph(), "WEBP"), b"C2PA", bytes(99)))
    files["heic"] = files["avif"]
    return files


class Unchecked(Checker):
    """Looks at no manifest: hypothesis would start a process for each."""

    def __call__(self, data: bytes | memoryview, format: str, size: int) -> provenance.Manifest:
        return provenance.Manifest("unchecked", why=f"{size}")


def read(data: bytes, format: str) -> Provenance | None:
    """As `claims` does, without the net below."""
    return provenance._claims(memoryview(data), Header(format, 1, 1), Unchecked())


def follows_the_limits(found: Provenance | None) -> None:
    if found:
        record = found.to_dict()
        assert len(record["claims"]) <= MOST_CLAIMS
        for claim in record["claims"]:
            assert len(claim["text"]) <= MOST_TEXT
            claim["text"].encode()
            claim["field"].encode()


@given(st.data())
def test_damaged_files(data: st.DataObject) -> None:
    format = data.draw(st.sampled_from(sorted(samples())))
    damaged = bytearray(data.draw(st.sampled_from(samples()[format])))
    headers = min(len(damaged), 2000)
    for _ in range(data.draw(st.integers(1, 12))):
        at = data.draw(st.integers(0, headers - 1))
        piece = data.draw(st.binary(min_size=1, max_size=8) | st.sampled_from([b"\xff" * 4, b"\0" * 4]))
        if data.draw(st.booleans()):
            damaged[at : at + len(piece)] = piece
        else:
            damaged[at:at] = piece
    follows_the_limits(read(bytes(damaged), format))
    follows_the_limits(read(bytes(damaged[: data.draw(st.integers(0, len(damaged)))]), format))


@given(st.binary(max_size=400), st.sampled_from([b"", b"II*\0", b"MM\0*", b"II+\0\x08\0\0\0", b"MM\0+"]))
@example(b"\xff" * 100, b"II+\0\x08\0\0\0")
def test_arbitrary_blocks_of_exif(body: bytes, start: bytes) -> None:
    for claim in exif.claims(start + body):
        claim.to_dict()["text"].encode()
    list(exif.pieces(memoryview(start + body)))


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_arbitrary_packets_of_xmp(body: bytes) -> None:
    for claim in xmp.claims(b"<x:DigitalSourceType>" + body + b" x:Credit='" + body):
        claim.to_dict()["text"].encode()


@given(st.binary(max_size=300), st.sampled_from([jpeg.pieces, png.pieces, webp.pieces, bmff.pieces]))
def test_arbitrary_files(body: bytes, walk: Callable[[memoryview], Iterator[object]]) -> None:
    header = Header({jpeg.pieces: "jpeg", png.pieces: "png", webp.pieces: "webp"}.get(walk, "heic"), 1, 1)
    list(provenance._pieces(memoryview(b"\x89PNG\r\n\x1a\n" + body), header))
    list(provenance._pieces(memoryview(bytes(12) + body), header))


@pytest.mark.parametrize(
    "body",
    [
        b"<a:Credit" + b" " * 300,
        b"<a:Credit " + b"b" * 199,
        b"<a:Credit>" + b" " * 70,
        b"<a:Credit><rdf:Alt>" + b" " * 64 + b"<rdf:li" + b"a" * 201,
        b" a:Credit='",
        b"<" + b"a" * 32,
        b"<" * 9,
        b" ",
        b"<a:DigitalSourceType rdf:resource",
    ],
)
def test_time_grows_with_the_packet_and_no_faster(body: bytes) -> None:
    """Bounded by a count of what the expression can try at one place: seconds here would be hours if not."""
    list(xmp.claims(body * (xmp.MOST_PACKET // len(body))))


def test_directories_that_point_at_themselves() -> None:
    entry = (0x8769).to_bytes(2, "little") + b"\4\0\1\0\0\0" + b"\x08\0\0\0"
    block = b"II*\0\x08\0\0\0" + b"\xff\xff" + entry * 20_000
    assert list(exif.claims(block)) == []


def test_items_without_end() -> None:
    location = bytes([1, 0, 0, 0, 0, 0, 0xFF, 0xFF]) + b"\0\1\0\0\0\0\xff\xff" * 2
    information = bytes(4) + b"\0\1" + (21).to_bytes(4, "big") + b"infe\2\0\0\0\0\1\0\0Exif\0"
    boxes = [
        (len(content) + 8).to_bytes(4, "big") + kind + content
        for kind, content in ((b"iinf", information), (b"iloc", location))
    ]
    meta = bytes(4) + b"".join(boxes)
    assert read((len(meta) + 8).to_bytes(4, "big") + b"meta" + meta, "avif") is None


def test_a_defect_of_ours_costs_the_evidence_and_not_the_verdict(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(block: bytes) -> Iterator[Claim]:
        raise KeyError("a secret prompt"[:8])

    monkeypatch.setattr(exif, "claims", broken)
    data = with_exif(CAMERA, "JPEG")
    assert provenance.claims(data, Header("jpeg", 1, 1), Checker()) is None
    assert "the metadata of a JPEG could not be read" in caplog.text


def test_prompts_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    damaged = png_chunk(b"zTXt", b"parameters\0\0" + INFOTEXT.encode())
    for chunk in (text_chunk("parameters", INFOTEXT), damaged):
        read(with_chunks(chunk), "png")
    read(with_xmp(packet(f">{INFOTEXT}"), "JPEG"), "jpeg")
    assert not caplog.text

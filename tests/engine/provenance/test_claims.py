"""What is recognised: metadata of each kind, in each format that carries it."""

import io
import zlib
from typing import Any

import pytest
from PIL import Image
from support.images import encode, good, photograph, png_chunk
from support.metadata import (
    GRAPH,
    INFOTEXT,
    IPTC,
    exif_block,
    packet,
    source_packet,
    text_chunk,
    with_chunks,
    with_exif,
    with_xmp,
)

from assay.engine import provenance
from assay.engine.admission import admit
from assay.engine.provenance import Checker, Claim, Provenance, Source, claims
from assay.engine.provenance.claim import MOST_TEXT, of_text, of_tool, source_type
from assay.engine.settings import Limits

SYNTHETIC, PARTLY, CAPTURE = Source.SYNTHETIC, Source.PARTLY, Source.CAPTURE
MAKE, MODEL, SOFTWARE, DESCRIPTION = 0x010F, 0x0110, 0x0131, 0x010E
CAMERA: dict[int, Any] = {MAKE: "Canon", MODEL: "Canon EOS R5", SOFTWARE: "Firmware 1.5"}


def read(data: bytes) -> Provenance | None:
    return claims(data, admit(data, Limits(), 1), Checker())


def found(data: bytes) -> tuple[Claim, ...]:
    provenance = read(data)
    return provenance.claims if provenance else ()


@pytest.mark.parametrize("kind", ["tEXt", "zTXt", "iTXt", "iTXt packed"])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize(
    ("keyword", "text"),
    [
        ("parameters", INFOTEXT),
        ("prompt", GRAPH),
        ("workflow", '{"last_node_id": 9, "nodes": [{"id": 4}]}'),
        ("invokeai_metadata", '{"negative_prompt": "x", "seed": 1}'),
        ("Description", "a fox --ar 3:2 --v 6.1 Job ID: 01234567-89ab-cdef-0123-456789abcdef"),
        ("Software", "NovelAI"),
    ],
)
def test_texts_of_generators_in_a_png(kind: str, last: bool, keyword: str, text: str) -> None:
    data = with_chunks(text_chunk(keyword, text, kind), last=last)
    assert found(data) == (Claim("png", keyword, text, SYNTHETIC),)


@pytest.mark.parametrize(
    ("keyword", "text"),
    [
        ("parameters", "of the simulation: 5"),
        ("prompt", "describe what you see"),
        ("Comment", "the office of Midjourney, by Stable Diffusion's inventors"),
        ("Title", ""),
        ("parameters", "Follow these Steps: 12, then rest."),
    ],
)
def test_texts_that_only_look_alike_are_no_claims(keyword: str, text: str) -> None:
    assert read(with_chunks(text_chunk(keyword, text))) is None


def test_a_program_that_is_no_generator_is_named_and_declares_nothing() -> None:
    data = with_chunks(text_chunk("Software", "gnome-screenshot"))
    assert found(data) == (Claim("png", "Software", "gnome-screenshot"),)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_a_camera_in_exif(format: str) -> None:
    assert set(found(with_exif(exif_block(CAMERA), format))) == {
        Claim("exif", "Make", "Canon"),
        Claim("exif", "Model", "Canon EOS R5", CAPTURE),
        Claim("exif", "Software", "Firmware 1.5"),
    }


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "AVIF"])
@pytest.mark.parametrize(
    "comment",
    [
        b"UNICODE\0" + INFOTEXT.encode("utf-16-be"),
        b"UNICODE\0" + INFOTEXT.encode("utf-16-le"),
        b"UNICODE\0" + INFOTEXT.encode("utf-16"),
        b"ASCII\0\0\0" + INFOTEXT.encode(),
        bytes(8) + INFOTEXT.encode(),
        INFOTEXT.encode(),
    ],
)
def test_parameters_in_the_comment_of_exif(format: str, comment: bytes) -> None:
    assert found(with_exif(exif_block({}, comment), format)) == (
        Claim("exif", "UserComment", INFOTEXT, SYNTHETIC),
    )


@pytest.mark.parametrize("tag", [MAKE, MODEL, DESCRIPTION, SOFTWARE])
def test_a_graph_in_any_text_of_exif(tag: int) -> None:
    [claim] = found(with_exif(exif_block({tag: f"prompt:{GRAPH}"}), "WEBP"))
    assert (claim.place, claim.declares) == ("exif", SYNTHETIC)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize(
    ("name", "declares"),
    [
        ("trainedAlgorithmicMedia", SYNTHETIC),
        ("compositeWithTrainedAlgorithmicMedia", PARTLY),
        ("compositeSynthetic", PARTLY),
        ("digitalCapture", CAPTURE),
        ("digitalArt", None),
    ],
)
def test_the_digital_source_type_in_xmp(format: str, name: str, declares: Source | None) -> None:
    data = with_xmp(source_packet(name), format)
    assert [one for one in found(data) if one.place == "xmp"] == [
        Claim("xmp", "DigitalSourceType", name, declares)
    ]


@pytest.mark.parametrize(
    "body",
    [
        f" Iptc4xmpExt:DigitalSourceType = '{IPTC}trainedAlgorithmicMedia'/>",
        f"><Iptc4xmpExt:DigitalSourceType>{IPTC}trainedAlgorithmicMedia</Iptc4xmpExt:DigitalSourceType>",
        f'><Iptc4xmpExt:DigitalSourceType rdf:resource="{IPTC}trainedAlgorithmicMedia"/>',
        f"><ext:DigitalSourceType\n>\n {IPTC}trainedAlgorithmicMedia/\n</ext:DigitalSourceType>",
    ],
)
def test_forms_of_a_field_in_xmp(body: str) -> None:
    expected = (Claim("xmp", "DigitalSourceType", "trainedAlgorithmicMedia", SYNTHETIC),)
    assert found(with_xmp(packet(body), "JPEG")) == expected
    wide = packet(body).decode().encode("utf-16")
    assert found(with_xmp(wide, "WEBP")) == expected


def test_other_fields_of_xmp() -> None:
    alt = '<rdf:Alt>\n<rdf:li xml:lang="x-default">{}</rdf:li></rdf:Alt>'
    body = (
        ' xmp:CreatorTool="Adobe Firefly &amp; Dan\'s" photoshop:Credit="Edited with Google AI">'
        f"<exif:UserComment>{alt.format(INFOTEXT)}</exif:UserComment>"
        f"<dc:description>{alt.format('a fox in the snow')}</dc:description></rdf:Description>"
    )
    assert found(with_xmp(packet(body), "JPEG")) == (
        Claim("xmp", "CreatorTool", "Adobe Firefly & Dan's", SYNTHETIC),
        Claim("xmp", "Credit", "Edited with Google AI", PARTLY),
        Claim("xmp", "UserComment", INFOTEXT, SYNTHETIC),
    )


def test_the_weightiest_declaration_counts() -> None:
    block = b"Exif\0\0" + exif_block(CAMERA)
    provenance = read(encode(photograph(), exif=block))
    assert provenance
    assert provenance.declared == (CAPTURE, "exif Model")
    provenance = read(encode(photograph(), exif=block, xmp=source_packet("compositeSynthetic")))
    assert provenance
    assert provenance.declared == (PARTLY, "xmp DigitalSourceType")
    record = provenance.to_dict()
    assert (record["declares"], record["by"]) == ("partly_synthetic", "xmp DigitalSourceType")


def test_texts_are_cut() -> None:
    text = INFOTEXT + "x" * 5000
    [claim] = found(with_chunks(text_chunk("parameters", text, "zTXt")))
    shown = claim.to_dict()["text"]
    assert len(shown) == MOST_TEXT
    assert shown == text[: MOST_TEXT - 1] + "…"


def test_bombs_are_not_unpacked() -> None:
    bomb = zlib.compress(b"Steps: 5, Seed: 1" + bytes(20_000_000), 9)
    [claim] = found(with_chunks(png_chunk(b"zTXt", b"parameters\0\0" + bomb)))
    assert claim.declares is SYNTHETIC
    assert len(claim.text) <= 1 << 16
    assert len(claim.to_dict()["text"]) == MOST_TEXT


def test_many_texts_and_many_chunks_are_not_all_looked_at() -> None:
    texts = [text_chunk("Software", f"program {number}") for number in range(500)]
    assert len(found(with_chunks(*texts))) == 16
    empty = [png_chunk(b"teSt", b"")] * 20_000
    assert read(with_chunks(*empty, text_chunk("parameters", INFOTEXT))) is None


def test_damaged_texts_are_passed_over() -> None:
    chunks = [
        png_chunk(b"zTXt", b"parameters\0\0not packed"),
        png_chunk(b"tEXt", b"without a keyword" * 9),
        png_chunk(b"iTXt", b"parameters\0\1"),
        png_chunk(b"iTXt", b""),
        text_chunk("parameters", INFOTEXT),
    ]
    assert [claim.field for claim in found(with_chunks(*chunks))] == ["parameters"]


def test_images_without_metadata_say_nothing() -> None:
    for name, image in good().items():
        assert read(image.data) is None or "exif" in name or "tiff" in name, name


def test_names_of_source_types() -> None:
    assert source_type(f" {IPTC}TrainedAlgorithmicMedia/ ") == ("TrainedAlgorithmicMedia", SYNTHETIC)
    assert source_type("") == ("", None)


@pytest.mark.parametrize(
    ("name", "declares"),
    [
        ("Adobe Photoshop 26.1", None),
        ("Adobe Firefly", SYNTHETIC),
        ("DALL·E 3", SYNTHETIC),
        ("Made with Google AI", SYNTHETIC),
        ("Edited with Google AI", PARTLY),
        ("ComfyUI 0.3", SYNTHETIC),
        ("HDR+ 1.0.345618096zd", None),
        ("f.lux", None),
    ],
)
def test_names_of_programs(name: str, declares: Source | None) -> None:
    assert of_tool(name) is declares


def test_free_text_needs_more_than_a_word() -> None:
    assert of_text(INFOTEXT) is SYNTHETIC
    assert of_text("Steps: 20 of them") is None
    assert of_text('{"nodes": 5}') is SYNTHETIC
    assert of_text("nodes: 5") is None


@pytest.mark.parametrize(
    "data", [with_chunks(text_chunk("prompt", GRAPH, "zTXt")), with_exif(exif_block(CAMERA), "WEBP")]
)
def test_pillow_reads_what_is_tested_here(data: bytes) -> None:
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        assert image.info


def test_a_jpeg_is_not_walked_whose_headers_hold_no_metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    """And markers of metadata behind the first scan's header are none."""
    data = encode(photograph())
    header = admit(data, Limits(), 1)
    walked: list[memoryview] = []
    monkeypatch.setitem(provenance._WALKS, "jpeg", lambda view: walked.append(view) or iter(()))
    for one in (data, data[:-2] + b"\xff\xe1\0\x08Exif\0\0"):
        assert claims(one, header, Checker()) is None
    assert not walked
    data = with_exif(exif_block(CAMERA), "JPEG")
    claims(data, admit(data, Limits(), 1), Checker())
    assert walked

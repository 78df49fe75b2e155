"""Images with metadata as generators, cameras and editors write them."""

import struct
import zlib
from typing import Any

from PIL import Image
from support.images import Pixels, encode, photograph, png_chunk, with_segment

INFOTEXT = (
    "a red fox in the snow, masterpiece\nNegative prompt: blurry\n"
    "Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1234, Size: 512x512, Model: somemodel"
)
GRAPH = '{"3": {"inputs": {"seed": 5, "steps": 20}, "class_type": "KSampler"}}'
IPTC = "http://cv.iptc.org/newscodes/digitalsourcetype/"
XMP_NAME = b"http://ns.adobe.com/xap/1.0/\0"


def text_chunk(keyword: str, text: str, kind: str = "tEXt") -> bytes:
    """A PNG text chunk; `kind` may also be "iTXt packed"."""
    key, raw = keyword.encode("latin-1") + b"\0", text.encode()
    content = {
        "tEXt": key + raw,
        "zTXt": key + b"\0" + zlib.compress(raw),
        "iTXt": key + b"\0\0en\0\0" + raw,
        "iTXt packed": key + b"\1\0\0\0" + zlib.compress(raw),
    }[kind]
    return png_chunk(kind[:4].encode(), content)


def with_chunks(*chunks: bytes, last: bool = False, pixels: Pixels | None = None) -> bytes:
    """A PNG with more chunks, behind its header or, `last`, before its end."""
    data = encode(photograph() if pixels is None else pixels, "PNG")
    place = len(data) - 12 if last else 33
    return data[:place] + b"".join(chunks) + data[place:]


def exif_block(fields: dict[int, Any], comment: bytes | None = None) -> bytes:
    """A TIFF block as Pillow writes it, without the name of the segment."""
    exif = Image.Exif()
    for tag, value in fields.items():
        exif[tag] = value
    if comment is not None:
        exif.get_ifd(0x8769)[0x9286] = comment
    return exif.tobytes().removeprefix(b"Exif\0\0")


def packet(body: str) -> bytes:
    """An XMP packet with `body` within its description."""
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
        'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
        'xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" '
        f'xmlns:exif="http://ns.adobe.com/exif/1.0/"{body}</rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    ).encode()


def source_packet(name: str) -> bytes:
    return packet(f' Iptc4xmpExt:DigitalSourceType="{IPTC}{name}"/>')


def with_exif(block: bytes, format: str, pixels: Pixels | None = None) -> bytes:
    """An image with an EXIF block; of a TIFF, its tags in the file's own directory."""
    image = photograph() if pixels is None else pixels
    if format == "TIFF":
        exif = Image.Exif()
        exif.load(b"Exif\0\0" + block)
        return encode(image, "TIFF", tiffinfo={tag: exif[tag] for tag in exif if tag != 0x8769})
    return encode(image, format, exif=b"Exif\0\0" + block)


def with_xmp(body: bytes, format: str, pixels: Pixels | None = None) -> bytes:
    image = photograph() if pixels is None else pixels
    if format == "JPEG":
        return with_segment(encode(image), 0xE1, XMP_NAME + body)
    if format == "PNG":
        return with_chunks(text_chunk("XML:com.adobe.xmp", body.decode(), "iTXt"), pixels=image)
    if format == "TIFF":
        return encode(image, "TIFF", tiffinfo={700: body})
    return encode(image, format, xmp=body)


def riff(data: bytes, kind: bytes, content: bytes) -> bytes:
    """A WebP with one more chunk at its end."""
    padded = content + b"\0" * (len(content) % 2)
    data = data + kind + struct.pack("<I", len(content)) + padded
    return data[:4] + struct.pack("<I", len(data) - 8) + data[8:]

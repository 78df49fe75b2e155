"""What data that is no accepted image looks like, so that a refusal can say it."""

import codecs

_STARTS = (
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a zip archive (or a document in one)"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"\x1f\x8b", "gzip-compressed data"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"\x28\xb5\x2f\xfd", "zstd-compressed data"),
    (b"\x7fELF", "a Linux program"),
    (b"MZ", "a Windows program"),
    (b"8BPS", "a Photoshop file"),
    (b"%!PS", "a PostScript file"),
    (b"\xff\x0a", "a JPEG XL image"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL image"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 image"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 image"),
    (b"\0\0\x01\0", "a Windows icon"),
    (b"\x1aE\xdf\xa3", "a Matroska or WebM video"),
    (b"OggS", "an Ogg file"),
    (b"ID3", "an MP3 file"),
    (b"RIFF", "a RIFF file (WAV or AVI)"),
    (b"FUJIFILM", "a camera's raw file (Fujifilm RAF)"),
    (b"FOVb", "a camera's raw file (Sigma X3F)"),
    (b"\0MRM", "a camera's raw file (Minolta MRW)"),
    (b"II\x1a\0\0\0HEAPCCDR", "a camera's raw file (Canon CRW)"),
    (b"IIRO", "a camera's raw file (Olympus ORF)"),
    (b"IIRS", "a camera's raw file (Olympus ORF)"),
    (b"MMOR", "a camera's raw file (Olympus ORF)"),
    (b"IIU\0", "a camera's raw file (Panasonic RW2)"),
    (b"ARRI", "a camera's raw file (ARRIRAW)"),
    (b"\x76\x2f\x31\x01", "an OpenEXR image"),
    (b"#?RADIANCE", "a Radiance HDR image"),
    (b"DDS ", "a DirectDraw surface"),
)


def resemblance(head: bytes) -> str:
    """A noun phrase for data by its first bytes (up to 512)."""
    for start, name in _STARTS:
        if head.startswith(start):
            return name
    if head[4:8] == b"ftyp" and head[8:12] == b"crx ":
        return "a camera's raw file (Canon CR3)"
    if head[4:8] == b"ftyp":
        return "a video (MP4 or QuickTime)"
    if not any(head):
        return "nothing but zero bytes"
    markup = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if markup.startswith((b"<svg", b"<?xml")) and b"<svg" in markup:
        return "an SVG drawing"
    if markup.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return "an HTML page"
    if markup.startswith(b"<?xml"):
        return "an XML document"
    if _is_text(head):
        return "text"
    return f"unknown data (first bytes {head[:8].hex(' ')})"


def _is_text(head: bytes) -> bool:
    try:
        # incremental: the 512 bytes may end within a character
        text = codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return bool(text) and all(character.isprintable() or character in "\t\r\n\f" for character in text)

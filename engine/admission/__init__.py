"""What is turned down before anything is decoded.

`admit` looks at an encoded image for a few microseconds, in the front, without calling a decoder: is there
anything, is it an image of a format that Assay reads, how large does its header say it is, and may it be that
large. What it lets through can still be corrupt further on: that is for the decoder to find out.
"""

from assay.engine.admission.header import FORMATS, Header, read_header
from assay.engine.outcome import Reason, Refused
from assay.engine.settings import Limits

__all__ = ["FORMATS", "Header", "admit", "check_bytes", "read_header"]


def admit(data: bytes | memoryview, limits: Limits, min_side: int) -> Header:
    """The header of an encoded image that may be decoded.

    `min_side` is the shorter side, in pixels, that the bundle needs at least.

    Raises:
        Refused: `empty`, `too_many_bytes`, `unsupported_format`, `truncated` (the headers are cut off),
            `undecodable` (the headers contradict themselves or ask for too many scans), `too_many_pixels`
            or `too_small`; with the numbers and the limit in its sentence and in `about`.
    """
    size = len(data)
    if size == 0:
        raise Refused(Reason.EMPTY, "There is nothing to score: the image has 0 bytes.", bytes=0)
    check_bytes(size, limits)
    header = read_header(data, limits.max_scans)
    about = {"format": header.format, "width": header.width, "height": header.height}
    if header.width == 0 or header.height == 0:
        raise Refused(
            Reason.UNDECODABLE,
            f"The {header.name} header states a size of {header.width}x{header.height} pixels.",
            **about,
        )
    if header.pixels > limits.max_pixels:
        raise Refused(
            Reason.TOO_MANY_PIXELS,
            f"The {header.name} header states {header.width}x{header.height} = {header.pixels} pixels; "
            f"at most {limits.max_pixels} are accepted.",
            **about,
            limit=limits.max_pixels,
        )
    if min(header.width, header.height) < min_side:
        raise Refused(
            Reason.TOO_SMALL,
            f"The image is {header.width}x{header.height} pixels; "
            f"its shorter side must have at least {min_side}.",
            **about,
            limit=min_side,
        )
    return header


def check_bytes(size: int, limits: Limits) -> None:
    """Raises `Refused` (`too_many_bytes`) for `size` encoded bytes; for doors that can ask first."""
    if size > limits.max_bytes:
        raise Refused(
            Reason.TOO_MANY_BYTES,
            f"The image has {size} bytes; at most {limits.max_bytes} are accepted.",
            bytes=size,
            limit=limits.max_bytes,
        )

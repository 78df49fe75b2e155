"""A GIF's first frame without comments, applications' blocks and later frames (GIF89a, sections 18 to 26).

Pillow gathers comments in a list, block by block.
"""

import io

from assay.engine.admission.gif import palette_bytes
from assay.engine.outcome import Reason, Refused

_EXTENSION, _FRAME, _END = 0x21, 0x2C, 0x3B
_GRAPHIC_CONTROL = 0xF9


def image_alone(data: bytes | memoryview) -> io.BytesIO:
    """A GIF of the logical screen, the global palette, and the first frame with its graphic control.

    Raises:
        Refused: `undecodable`: the file ends, or holds something else, before its first frame.
        IndexError: the data end before the frame does.
    """
    at = 13 + palette_bytes(data[10])
    alone = io.BytesIO()
    alone.write(data[:at])
    control: bytes | memoryview = b""
    while data[at] == _EXTENSION:
        start = at
        at = _behind_blocks(data, at + 2)
        if data[start + 1] == _GRAPHIC_CONTROL:
            control = data[start:at]
    if data[at] != _FRAME:
        what = "its end" if data[at] == _END else f"the unknown block 0x{data[at]:02x}"
        raise Refused(
            Reason.UNDECODABLE,
            f"The GIF has {what} at byte {at}, where its first frame belongs.",
            format="gif",
            at=at,
        )
    alone.write(control)
    alone.write(data[at:])  # the frame's end is for the decoder to find
    alone.seek(0)
    return alone


def _behind_blocks(data: bytes | memoryview, at: int) -> int:
    while data[at]:
        at += data[at] + 1
    return at + 1

"""What AV1 data are decoded to, from their own headers (AV1 bitstream specification, section 5).

The boxes around them may state any size; it is this one that a decoder takes memory for.
"""

from dataclasses import dataclass

from assay.engine.admission.bits import Bits
from assay.engine.admission.units import Units

_SEQUENCE, _FRAME_HEADER, _FRAME = 1, 3, 6
_KEY, _INTRA_ONLY, _SWITCH = 0, 2, 3
_SELECT = 2  # a tool is chosen frame by frame
_HEADER_BYTES = 160  # more than a sequence header, or a frame header up to its size, ever takes
_REFERENCES = 8  # frames that a decoder holds at most, beside the one that it decodes
_BLOCK = 128


@dataclass(frozen=True, slots=True)
class Sequence:
    """A sequence header: the largest frame, how its samples are stored, and how frame headers are read."""

    width: int
    height: int
    width_bits: int
    height_bits: int
    reduced: bool
    frame_id_bits: int
    order_hint_bits: int
    screen_content: int
    integer_motion: int
    decoder_model: bool
    presentation_bits: int
    sample_bytes: int
    """Bytes of the samples of two pixels, of all planes: 2 for grey of 8 bits, 3 for 4:2:0, 6 for 4:4:4."""
    film_grain: bool


@dataclass(frozen=True, slots=True)
class Frames:
    """`width` and `height` of the largest one; `held` bytes that decoding takes, before any conversion."""

    width: int
    height: int
    held: int


def frames(data: bytes | memoryview, units: Units) -> Frames | None:
    """What the data of one picture (a temporal unit) decode to; None where they hold no sequence header.

    Raises:
        Refused: as `Units.take`.
        IndexError: the data end within a header.
    """
    sequence: Sequence | None = None
    width = height = count = held = at = grain = 0
    while at < len(data):
        units.take()
        first = data[at]
        at += 2 if first & 0x04 else 1  # with an extension
        size = len(data) - at
        if first & 0x02:
            size, at = _leb128(data, at)
        kind = first >> 3 & 0x0F
        if kind == _SEQUENCE:
            sequence = read_sequence(Bits(data[at : at + min(size, _HEADER_BYTES)]))
            found = sequence.width, sequence.height
            grain |= sequence.film_grain  # synthesised into a frame of its own
        elif kind in (_FRAME_HEADER, _FRAME) and sequence:
            count += 1
            found = _frame_size(Bits(data[at : at + min(size, _HEADER_BYTES)]), sequence)
        else:
            found = 0, 0
        at += size
        if sequence and kind in (_SEQUENCE, _FRAME_HEADER, _FRAME):
            width, height = max(width, found[0]), max(height, found[1])
            held = max(held, _padded(width) * _padded(height) * sequence.sample_bytes // 2)
    copies = min(max(count, 1), _REFERENCES + 1) + grain
    return Frames(width, height, held * copies) if sequence else None


def read_sequence(bits: Bits) -> Sequence:
    """Section 5.5. Raises `IndexError` where the data end."""
    profile = bits.take(3)
    bits.take(1)  # still picture
    reduced = bool(bits.take(1))
    decoder_model, presentation_bits = False, 0
    if reduced:
        bits.take(5)
    else:
        decoder_model, presentation_bits = _operating_points(bits)
    width_bits, height_bits = bits.take(4) + 1, bits.take(4) + 1
    width, height = bits.take(width_bits) + 1, bits.take(height_bits) + 1
    frame_id_bits = 0
    if not reduced and bits.take(1):
        delta = bits.take(4) + 2
        frame_id_bits = bits.take(3) + delta + 1
    bits.take(3)  # superblocks, intra filters
    order_hint_bits, screen_content, integer_motion = 0, _SELECT, _SELECT
    if not reduced:
        bits.take(4)
        if order_hint := bits.take(1):
            bits.take(2)
        screen_content = _SELECT if bits.take(1) else bits.take(1)
        if screen_content:
            integer_motion = _SELECT if bits.take(1) else bits.take(1)
        order_hint_bits = bits.take(3) + 1 if order_hint else 0
    bits.take(3)  # superres, cdef, restoration
    return Sequence(
        width, height, width_bits, height_bits, reduced, frame_id_bits, order_hint_bits, screen_content,
        integer_motion, decoder_model, presentation_bits, _colour(bits, profile), bool(bits.take(1)),
    )  # fmt: skip


def _operating_points(bits: Bits) -> tuple[bool, int]:
    """Whether frames say when they leave the buffer, and in how many bits they say when they are shown."""
    model, delay_bits, presentation_bits = False, 0, 0
    if bits.take(1):  # timing
        bits.take(64)
        equal = bits.take(1)
        if equal:
            bits.exp_golomb()
        model = bool(bits.take(1))
        if model:
            delay_bits = bits.take(5) + 1
            bits.take(37)
            presented = bits.take(5) + 1
            presentation_bits = 0 if equal else presented
    initial_delay = bits.take(1)
    for _ in range(bits.take(5) + 1):
        bits.take(12)
        if bits.take(5) > 7:
            bits.take(1)
        if model and bits.take(1):
            bits.take(2 * delay_bits + 1)
        if initial_delay and bits.take(1):
            bits.take(4)
    return model, presentation_bits


def _colour(bits: Bits, profile: int) -> int:
    """The samples of two pixels in bytes (section 5.5.2)."""
    high = bits.take(1)
    twelve = bits.take(1) if profile == 2 and high else 0
    sample = 2 if high else 1
    grey = bits.take(1) if profile != 1 else 0
    description = (bits.take(8), bits.take(8), bits.take(8)) if bits.take(1) else (2, 2, 2)
    if grey:
        bits.take(1)
        return 2 * sample
    if description == (1, 13, 0):  # sRGB: always 4:4:4 and full range
        bits.take(1)
        return 6 * sample
    bits.take(1)
    across, down = {0: (1, 1), 1: (0, 0)}.get(profile, (1, 0))
    if profile == 2 and twelve:
        across = bits.take(1)
        down = bits.take(1) if across else 0
    if across and down:
        bits.take(2)
    bits.take(1)  # separate quantisers
    return (6, 4, 3)[across + down] * sample


def _frame_size(bits: Bits, sequence: Sequence) -> tuple[int, int]:
    """Size of a frame (section 5.9), or the most that it can be; zeros: an earlier one is shown."""
    largest = sequence.width, sequence.height
    if sequence.reduced:
        return largest
    if bits.take(1):
        return 0, 0
    kind, shown = bits.take(2), bits.take(1)
    if shown and sequence.decoder_model:
        bits.take(sequence.presentation_bits)
    if not shown:
        bits.take(1)
    resilient = kind == _SWITCH or (kind == _KEY and shown) or bits.take(1)
    bits.take(1)
    screen_content = bits.take(1) if sequence.screen_content == _SELECT else sequence.screen_content
    if screen_content and sequence.integer_motion == _SELECT:
        bits.take(1)
    bits.take(sequence.frame_id_bits)
    if kind != _SWITCH and not bits.take(1):
        return largest
    bits.take(sequence.order_hint_bits)
    intra = kind in (_KEY, _INTRA_ONLY)
    if not (intra or resilient):
        bits.take(3)
    if not intra or (sequence.decoder_model and bits.take(1)):  # its size may be that of any other frame
        return 1 << sequence.width_bits, 1 << sequence.height_bits
    refreshed = 0xFF if kind == _KEY and shown else bits.take(8)
    if refreshed != 0xFF and resilient and sequence.order_hint_bits:
        bits.take(_REFERENCES * sequence.order_hint_bits)
    return bits.take(sequence.width_bits) + 1, bits.take(sequence.height_bits) + 1


def _leb128(data: bytes | memoryview, at: int) -> tuple[int, int]:
    """A number in the code of the same name, and where what follows starts."""
    value = 0
    for number in range(8):
        value |= (data[at + number] & 0x7F) << 7 * number
        if not data[at + number] & 0x80:
            return value, at + number + 1
    raise IndexError(at)


def _padded(side: int) -> int:
    """A side in whole blocks, as decoders take memory for it."""
    return -(-side // _BLOCK) * _BLOCK

"""The size of HEVC pictures, from their sequence parameter sets (ITU-T H.265, section 7.3.2.2)."""

from assay.engine.admission.bits import Bits
from assay.engine.admission.units import Units

_PARAMETERS = 33
_HEADER_BYTES = 160


def size(configuration: bytes | memoryview, data: bytes | memoryview, units: Units) -> tuple[int, int] | None:
    """Width and height of the largest picture that parameter sets state, in the item's configuration (`hvcC`)
    or in its data; None where neither holds one.

    Raises:
        Refused: as `Units.take`.
        IndexError: the data end within a header.
    """
    found = [_picture(unit) for unit in _configured(configuration, units)]
    length = (configuration[21] & 3) + 1
    at = 0
    while at + length + 2 <= len(data):
        units.take()
        if data[at + length] >> 1 & 0x3F == _PARAMETERS:
            found.append(_picture(data[at + length : at + length + _HEADER_BYTES]))
        at += length + int.from_bytes(data[at : at + length], "big")
    if not found:
        return None
    return max(width for width, _ in found), max(height for _, height in found)


def _configured(configuration: bytes | memoryview, units: Units) -> list[bytes | memoryview]:
    """The parameter sets in a configuration record (ISO/IEC 14496-15, section 8.3.3)."""
    found: list[bytes | memoryview] = []
    at = 23
    for _ in range(configuration[22]):
        kind = configuration[at] & 0x3F
        count = int.from_bytes(configuration[at + 1 : at + 3], "big")
        at += 3
        for _ in range(count):
            units.take()
            length = int.from_bytes(configuration[at : at + 2], "big")
            if kind == _PARAMETERS:
                found.append(configuration[at + 2 : at + 2 + min(length, _HEADER_BYTES)])
            at += 2 + length
    return found


def _picture(unit: bytes | memoryview) -> tuple[int, int]:
    bits = Bits(bytes(unit[2:]).replace(b"\0\0\3", b"\0\0"))  # without the bytes that prevent start codes
    bits.take(4)
    layers = bits.take(3)
    bits.take(1 + 88 + 8)  # profile and level
    if layers:
        present = [(bits.take(1), bits.take(1)) for _ in range(8)][:layers]
        for profile, level in present:
            bits.take(88 * profile + 8 * level)
    bits.exp_golomb()
    if bits.exp_golomb() == 3:  # 4:4:4
        bits.take(1)
    return bits.exp_golomb(), bits.exp_golomb()

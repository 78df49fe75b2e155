"""What JSON can hold as bytes of a `google.protobuf.Struct`.

protobuf's own way makes a Python object for each value, which takes longer than all else in an answer.
"""

from collections.abc import Mapping
from struct import Struct
from typing import Any

_NUMBER = Struct("<Bd")
_NUMBER_ELEMENT = Struct("<BBBd")
_NUMBERS = frozenset({int, float})
# Keys of the fields: of an entry in a map, of `Value`, and the one field of `Struct` and of `ListValue`.
_KEY, _VALUE = b"\x0a", b"\x12"
_NULL, _FALSE, _TRUE = b"\x08\x00", b"\x20\x00", b"\x20\x01"
_DOUBLE, _STRING, _STRUCT, _LIST = 0x11, b"\x1a", b"\x2a", b"\x32"
_ITEM = b"\x0a"


def encoded(values: Mapping[str, Any]) -> bytes:
    """A `Struct` of `values`. Raises ValueError where they hold what JSON cannot."""
    entries = [
        sized(_ITEM, sized(_KEY, key.encode()) + sized(_VALUE, _value(each))) for key, each in values.items()
    ]
    return b"".join(entries)


def _value(value: Any) -> bytes:
    if isinstance(value, float):
        return _NUMBER.pack(_DOUBLE, value)
    if isinstance(value, str):
        return sized(_STRING, value.encode())
    if isinstance(value, (list, tuple)):
        return sized(_LIST, b"".join([_element(each) for each in value]))
    if value is None:
        return _NULL
    if isinstance(value, bool):
        return _TRUE if value else _FALSE
    if isinstance(value, int):
        return _NUMBER.pack(_DOUBLE, value)
    if isinstance(value, Mapping):
        return sized(_STRUCT, encoded(value))
    raise ValueError(f"{type(value).__name__} is not what a Struct can hold")


def _element(value: Any) -> bytes:
    if type(value) in _NUMBERS:  # as in most lists: boxes, logits
        return _NUMBER_ELEMENT.pack(_ITEM[0], _NUMBER.size, _DOUBLE, value)
    return sized(_ITEM, _value(value))


def sized(key: bytes, content: bytes) -> bytes:
    """A field that says its length: `content` behind its key."""
    size = len(content)
    if size < 0x80:
        return key + _SHORT[size] + content
    length = bytearray()
    while size > 0x7F:
        length.append(size & 0x7F | 0x80)
        size >>= 7
    length.append(size)
    return key + length + content


_SHORT = [bytes([size]) for size in range(0x80)]

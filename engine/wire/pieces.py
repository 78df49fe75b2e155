"""A message of many images, cut into messages of a few and parsed as those.

Parsing costs by the image and not by the byte: the 16 million empty ones that fit into 32 MiB take seconds
and 1.4 GB. A message that is cut between two fields is two messages, so a piece at a time will do.
"""

from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from assay.engine.errors import AssayError

# Bytes of a message that either side takes: above the default limit of admission, so that admission refuses a
# large image, and says why.
MAX_MESSAGE = 32 << 20

Kind = TypeVar("Kind", bound=Message)

# By wire type, the bytes of the fields whose length is fixed.
_FIXED = {1: 8, 5: 4}
_VARINT, _LENGTH_FIRST = 0, 2
_VARINT_BYTES = 10


class InvalidMessage(AssayError):
    """What a peer sent is not what the interface asks for."""


def parse(kind: type[Kind], message: bytes) -> Kind:
    """Raises InvalidMessage where the bytes are no message of that kind."""
    try:
        return kind.FromString(message)
    except DecodeError:
        raise InvalidMessage(
            f"{len(message)} bytes were sent that are no {kind.DESCRIPTOR.full_name}"
        ) from None


class Pieces:
    """`message` in consecutive parts of at most `most` fields; true while there are more.

    What was taken is not kept, and a message of no more than `most` fields is not copied.
    """

    def __init__(self, message: bytes, most: int) -> None:
        self._message = message
        self._most = most
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._message)

    def take(self) -> bytes:
        """The next part. Raises InvalidMessage, and has no more, where a field does not end in the message."""
        message, start, end = self._message, self._at, len(self._message)
        at = start
        try:
            for _ in range(self._most):
                if at == end:
                    break
                at = _field_end(message, at)
        except (IndexError, ValueError):
            self._message = b""
            raise InvalidMessage(f"the field at byte {at} of {end} does not end") from None
        self._at = at
        if at == end:
            self._message = b""
        return message[start:at]


def _field_end(message: bytes, at: int) -> int:
    key, at = _varint(message, at)
    wire_type = key & 7
    if wire_type == _LENGTH_FIRST:
        length, at = _varint(message, at)
        at += length
    elif wire_type == _VARINT:
        _, at = _varint(message, at)
    else:  # groups, which nothing that is in use writes, are not known here
        try:
            at += _FIXED[wire_type]
        except KeyError:
            raise ValueError(wire_type) from None
    if at > len(message):
        raise ValueError(at)
    return at


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """The number at `at` and where it ends."""
    value = 0
    for place in range(_VARINT_BYTES):
        byte = message[at + place]
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value, at + place + 1
    raise ValueError(at)

"""A message of many images, cut into messages of a few and parsed as those.

Parsing costs by the image and not by the byte: the 16 million empty ones that fit into 32 MiB take seconds
and 1.4 GB. A message that is cut between two fields is two messages, so a piece at a time will do.
"""

from collections.abc import Iterator
from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from assay.engine.errors import AssayError

# Bytes of a message that either side takes: above the default limit of admission, so that admission refuses a
# large image, and says why.
MAX_MESSAGE = 32 << 20

Kind = TypeVar("Kind", bound=Message)

# Of a message above this many bytes the fields of an image are counted. There are four; one of them that is
# sent a million times would be parsed a million times.
LARGE = 1 << 20
MOST_FIELDS = 64

# By wire type, the bytes of the fields whose length is fixed.
_FIXED = {1: 8, 5: 4}
_VARINT, LENGTH_FIRST = 0, 2
_VARINT_BYTES = 10
_IMAGE = 1 << 3 | LENGTH_FIRST  # the key of the image or images in any request
NO_FIELD = (IndexError, KeyError, ValueError)


class InvalidMessage(AssayError):
    """What a peer sent is not what the interface asks for."""


def parse(kind: type[Kind], message: bytes) -> Kind:
    """A request of at most `MOST_FIELDS` images. Raises InvalidMessage where the bytes are none."""
    try:
        if len(message) > LARGE:
            _check(message)
        return kind.FromString(message)
    except (DecodeError, *NO_FIELD):
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
        """The next part. Where a field does not end in the message, raises InvalidMessage and has no more."""
        message, start, end = self._message, self._at, len(self._message)
        at = start
        try:
            for _ in range(self._most):
                if at == end:
                    break
                _, _, at = field(message, at)
        except NO_FIELD:
            self._message = b""
            raise InvalidMessage(f"the field at byte {at} of {end} does not end") from None
        self._at = at
        if at == end:
            self._message = b""
        return message[start:at]


def _check(message: bytes) -> None:
    for key, start, end in _fields(message, 0, len(message)):
        if key == _IMAGE:
            for _ in _fields(message, start, end):
                pass


def _fields(message: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    for _ in range(MOST_FIELDS):
        if at >= end:
            return
        one = field(message, at)
        yield one
        at = one[2]
    if at < end:
        raise InvalidMessage(f"an image was sent with more than {MOST_FIELDS} fields")


def field(message: bytes, at: int) -> tuple[int, int, int]:
    """The key of the field at `at`, and where its value starts and ends. Raises one of `NO_FIELD`."""
    key, start = _varint(message, at)
    wire_type = key & 7
    if wire_type == LENGTH_FIRST:
        length, start = _varint(message, start)
        end = start + length
    elif wire_type == _VARINT:
        _, end = _varint(message, start)
    else:  # groups, which nothing that is in use writes, are not known here
        end = start + _FIXED[wire_type]
    if end > len(message):
        raise ValueError(end)
    return key, start, end


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """The number at `at` and where it ends."""
    value = 0
    for place in range(_VARINT_BYTES):
        byte = message[at + place]
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value, at + place + 1
    raise ValueError(at)

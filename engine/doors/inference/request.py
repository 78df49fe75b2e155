"""A request of the protocol: what both transports check, said in the same sentences."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from assay.engine.bundle import Bundle
from assay.engine.doors.inference.models import IMAGE, MOST_IMAGES, Output
from assay.engine.item import Item, Priority
from assay.engine.wire.pieces import InvalidMessage

if TYPE_CHECKING:
    from assay.engine.telemetry.spans import Caller

LENGTH = 4
"""Bytes of the little-endian number before each element of a BYTES tensor."""

Parameter = bool | int | float | str


@dataclass(frozen=True, slots=True)
class Request:
    """Encoded images for one bundle. `shape` is (n,) or (n, 1), also of every output.

    deadline: a moment of `time.monotonic()`.
    """

    bundle: Bundle
    id: str
    images: Sequence[bytes]
    shape: Sequence[int]
    outputs: Sequence[Output]
    priority: Priority
    deadline: float | None

    def items(self, caller: "Caller | None" = None) -> list[Item]:
        """One for each image, its id the request's and the image's place."""
        return [
            Item(
                id := f"{self.id}/{place}",
                image,
                self.bundle.name,
                self.deadline,
                self.priority,
                trace=None if caller is None else caller.image(id),
            )
            for place, image in enumerate(self.images)
        ]


def count_images(name: str, datatype: str, shape: Sequence[int]) -> int:
    """How many images the only input of a request has. Raises InvalidMessage where it is another input."""
    if name != IMAGE:
        raise InvalidMessage(f"the input is {IMAGE!r}, and {name[:100]!r} was sent")
    if datatype != "BYTES":
        raise InvalidMessage(
            f"the input {IMAGE!r} is BYTES, the bytes of files, and {datatype[:100]!r} was sent; "
            "decoded pixels are not scored"
        )
    if len(shape) not in (1, 2) or (len(shape) == 2 and shape[1] != 1) or not 1 <= shape[0] <= MOST_IMAGES:
        shown = ", ".join(map(str, shape[:8]))
        raise InvalidMessage(
            f"the shape of the input {IMAGE!r} is [n] or [n, 1] with n from 1 to {MOST_IMAGES}, "
            f"and [{shown}] was sent"
        )
    return shape[0]


def check_count(images: Sequence[bytes], count: int) -> None:
    """Raises InvalidMessage where the data are not as many images as the shape says."""
    if len(images) != count:
        raise InvalidMessage(
            f"the shape of the input {IMAGE!r} says {count} images, and {len(images)} were sent"
        )


def split(raw: bytes, count: int) -> list[bytes]:
    """The elements of a BYTES tensor. Raises InvalidMessage where there are not exactly `count`."""
    images = list(_elements(raw, count))
    check_count(images, count)
    return images


def _elements(raw: bytes, most: int) -> Iterator[bytes]:
    at = 0
    for _ in range(most + 1):
        if at == len(raw):
            return
        start = at + LENGTH
        at = start + int.from_bytes(raw[at:start], "little")
        if start > len(raw) or at > len(raw):
            raise InvalidMessage(
                f"the data of the input {IMAGE!r} end within an image; each image follows its length, "
                "4 bytes little-endian"
            )
        yield raw[start:at]


def join(elements: Sequence[bytes]) -> bytes:
    """A BYTES tensor of its elements."""
    return b"".join(part for one in elements for part in (len(one).to_bytes(LENGTH, "little"), one))


def priority_of(parameters: Mapping[str, Parameter]) -> Priority:
    """Raises InvalidMessage where `priority` is no level."""
    level = parameters.get("priority", 0)
    if isinstance(level, bool) or not isinstance(level, int) or level < 0:
        raise InvalidMessage("the parameter 'priority' is a number: 1 comes first, 2 waits with the backlog")
    return Priority.INTERACTIVE if level <= 1 else Priority.BACKLOG


def deadline_of(parameters: Mapping[str, Parameter], arrived: float, until: float | None) -> float | None:
    """The earlier of the call's deadline `until` and the parameter `timeout`, microseconds from arrival on.

    Raises InvalidMessage where that is none.
    """
    timeout = parameters.get("timeout", 0)
    if isinstance(timeout, bool) or not isinstance(timeout, int) or not 0 <= timeout < 1 << 63:
        raise InvalidMessage("the parameter 'timeout' is a whole number of microseconds")
    if not timeout:
        return until
    own = arrived + timeout * 1e-6
    return own if until is None else min(own, until)

"""What goes into the core: one encoded image with what the caller wants of it."""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from assay.engine.admission import Header
    from assay.engine.telemetry.spans import ImageTrace


class Priority(IntEnum):
    """Interactive items (gRPC, HTTP) are taken before the backlog (Kafka, folders)."""

    INTERACTIVE = 0
    BACKLOG = 1


@dataclass(frozen=True, slots=True)
class Item:
    """`data` is the encoded image; `bundle` names the bundle that scores it (None: the first one served).

    `deadline` is a moment of `time.monotonic()`: past it the item is answered with a `deadline` rejection
    instead of being scored. `drawn`: the evidence of its verdict is wanted as pictures, too, which takes a
    worker several times as long (`engine/explain/drawn.py`). `trace` is there while traces are on, `header`
    where the image was admitted before, by a front process.
    """

    id: str
    data: bytes
    bundle: str | None = None
    deadline: float | None = None
    priority: Priority = Priority.BACKLOG
    drawn: bool = False
    trace: "ImageTrace | None" = field(default=None, compare=False, repr=False)
    header: "Header | None" = field(default=None, compare=False, repr=False)

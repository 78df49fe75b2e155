"""An item on its way through the core: what the front and its workers hand each other."""

import hashlib
from concurrent.futures import Future
from dataclasses import dataclass

from assay.engine.admission import Header
from assay.engine.item import Item
from assay.engine.outcome import Outcome

Digest = bytes  # a name of its own, as `Ticket.bytes` is a number


@dataclass(eq=False, slots=True, weakref_slot=True)
class Ticket:
    """An item on its way: what it reserved, when it came, and how often it ended a worker when alone."""

    item: Item
    bundle: str
    header: Header
    bytes: int
    submitted: float
    future: Future[Outcome]
    suspect: bool = False
    failures: int = 0
    digest: Digest = b""
    """What `hashed` computed; empty before."""

    def hashed(self) -> Digest:
        """SHA-256 of the image, which whoever asks first computes."""
        if not self.digest:
            self.digest = hashlib.sha256(self.item.data).digest()
        return self.digest

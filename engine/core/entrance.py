"""What an item becomes before anything is computed: a ticket that says how many bytes to reserve, or a
rejection."""

import logging
from concurrent.futures import Future
from time import monotonic

from assay.engine import telemetry
from assay.engine.admission import admit
from assay.engine.bundle import Bundle
from assay.engine.core.budget import BACKLOG_SHARE, Budget
from assay.engine.core.fleet import Fleet
from assay.engine.core.runner import too_late
from assay.engine.errors import SetupError
from assay.engine.item import Item, Priority
from assay.engine.outcome import Outcome, Reason, Refused, Rejection
from assay.engine.settings import MIB, Settings
from assay.engine.ticket import Ticket

log = logging.getLogger(__name__)

PIXEL_BYTES = 3
"""Bytes of a decoded pixel."""
DRAWING = 64 * MIB
"""Bytes that drawing the evidence of an image takes at most, beside copies of its pixels."""
DRAWN_PIXEL_BYTES = 2 * PIXEL_BYTES


class Entrance:
    """Reads headers, and knows what an image of each bundle needs of `budget`; it reserves nothing."""

    def __init__(self, settings: Settings, budget: Budget) -> None:
        self._settings = settings
        self._budget = budget
        self._intermediate: dict[str, int] = {}

    def prepare(self, fleet: Fleet) -> None:
        """Images may be for the bundles of `fleet`.

        Raises:
            SetupError: the budget is too small for the largest image that the limits admit.
        """
        limits = self._settings.limits
        most = limits.max_bytes + PIXEL_BYTES * limits.max_pixels
        most += max(fleet.intermediate.values())
        if most > self._settings.memory * BACKLOG_SHARE:
            raise SetupError(
                f"a memory budget of {self._settings.memory // MIB} MiB is too small: the largest image that "
                f"the limits admit needs {most // MIB} MiB of its {BACKLOG_SHARE:.0%}; raise `memory`, "
                "or lower `limits.max_pixels` or `limits.max_bytes`"
            )
        self._intermediate |= fleet.intermediate

    def look(self, item: Item, bundle: Bundle, future: Future[Outcome]) -> Ticket | Rejection:
        """What an item becomes, from its headers and its deadline alone."""
        try:
            ticket = self._admit(item, bundle, future)
        except Refused as refused:
            return refused.rejection(item.id)
        except Exception as error:  # a defect of ours, which must not take a door down with it
            log.exception("admission of %r failed", item.id, extra=telemetry.about(item))
            detail = f"Reading the headers of this image failed: {type(error).__name__}: {error}"
            return Rejection(item.id, Reason.INTERNAL, detail)
        return too_late(item) if item.deadline is not None and monotonic() > item.deadline else ticket

    def _admit(self, item: Item, bundle: Bundle, future: Future[Outcome]) -> Ticket:
        header = item.header
        if header is None or min(header.width, header.height) < bundle.manifest.min_side:
            header = admit(item.data, self._settings.limits, bundle.manifest.min_side)
        need = len(item.id) + len(item.data) + header.peak_bytes + self._intermediate[bundle.name]
        if item.drawn:
            need += DRAWING + DRAWN_PIXEL_BYTES * header.pixels
        most = self._budget.limit(Priority.BACKLOG)
        if need > most:
            raise Refused(
                Reason.TOO_MANY_PIXELS,
                f"Decoding this {header.name} of {header.width}x{header.height} pixels takes "
                f"{need // MIB} MiB; the memory budget has {most // MIB} MiB for one image.",
                bytes=need,
                limit=most,
            )
        return Ticket(item, bundle.name, header, need, monotonic(), future)

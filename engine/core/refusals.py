"""What a caller is told for whom there is no room, or no such bundle."""

from collections.abc import Iterable

from assay.engine.errors import SetupError
from assay.engine.item import Item
from assay.engine.outcome import Reason, Rejection

SHOWN = 100
"""Characters of an unknown bundle's name that are repeated to the caller."""


def not_served(name: str, served: Iterable[str]) -> SetupError:
    """What a caller is told who names an unknown bundle."""
    shown = name if len(name) <= SHOWN else name[:SHOWN] + "..."
    return SetupError(f"bundle {shown!r} is not served here; served: {', '.join(served)}")


def too_many(item: Item, ahead: float, most: float) -> Rejection:
    return Rejection(
        item.id,
        Reason.OVERLOADED,
        f"images that take the workers {ahead:.1f} s wait already, and no more than {most:g} s may; try "
        "again shortly, or give the engine more workers",
        {"seconds": ahead, "limit": most},
    )


def overloaded(item: Item, need: int) -> Rejection:
    return Rejection(
        item.id,
        Reason.OVERLOADED,
        "the memory budget is in use; try again shortly, or give the engine more workers or memory",
        {"bytes": need},
    )

"""Doors in processes of their own, in front of one core: `assay serve --fronts N`."""

from assay.engine.fronts.number import fronts_of

__all__ = ["fronts_of"]

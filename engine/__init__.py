"""Assay's serving side: encoded images in, one typed outcome each out. Works without torch."""

from assay.engine.bundle import Bundle
from assay.engine.engine import Engine
from assay.engine.errors import AssayError, BundleError, EngineFault, SetupError
from assay.engine.item import Item, Priority
from assay.engine.outcome import Label, Outcome, Reason, Rejection, Verdict
from assay.engine.settings import Limits, Settings

__all__ = [
    "AssayError",
    "Bundle",
    "BundleError",
    "Engine",
    "EngineFault",
    "Item",
    "Label",
    "Limits",
    "Outcome",
    "Priority",
    "Reason",
    "Rejection",
    "Settings",
    "SetupError",
    "Verdict",
]

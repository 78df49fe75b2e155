"""Assay's serving side: encoded images in, one typed outcome each out. Works without torch.

What is exported is imported when it is first asked for: a client needs no more than gRPC.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from assay.engine.bundle import Bundle
    from assay.engine.client import Client
    from assay.engine.engine import Engine
    from assay.engine.errors import AssayError, BundleError, EngineFault, SetupError
    from assay.engine.item import Item, Priority
    from assay.engine.outcome import Doubt, Label, Outcome, Reason, Rejection, Verdict
    from assay.engine.settings import Limits, Settings

_HOMES = {
    "AssayError": "errors",
    "Bundle": "bundle",
    "BundleError": "errors",
    "Client": "client",
    "Doubt": "outcome",
    "Engine": "engine",
    "EngineFault": "errors",
    "Item": "item",
    "Label": "outcome",
    "Limits": "settings",
    "Outcome": "outcome",
    "Priority": "item",
    "Reason": "outcome",
    "Rejection": "outcome",
    "Settings": "settings",
    "SetupError": "errors",
    "Verdict": "outcome",
}
__all__ = [
    "AssayError",
    "Bundle",
    "BundleError",
    "Client",
    "Doubt",
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


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

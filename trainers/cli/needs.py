"""What the training commands need beyond the engine."""

from importlib.util import find_spec
from typing import TYPE_CHECKING

from assay.engine.errors import SetupError

if TYPE_CHECKING:
    from assay.engine.bundle import Bundle


def need_torch() -> None:
    """Raises SetupError, saying what to install, where a library for training is missing."""
    for module in ("torch", "torchvision", "sklearn", "tensorboard", "matplotlib", "onnx"):
        if find_spec(module) is None:
            raise SetupError(f"training needs {module}, which is not installed: pip install 'assay[train]'")


def bundle_of(kind: str, given: str, lacks: str) -> "Bundle":
    """The bundle that `given` names. Raises SetupError where it is not of `kind`, and so `lacks`
    something."""
    from assay.engine.bundle import find

    chosen = find(given)
    if chosen.kind != kind:
        raise SetupError(f"{given} is a bundle of kind {chosen.kind!r}, which {lacks}")
    return chosen

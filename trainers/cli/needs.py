"""What the training commands need beyond the engine."""

from importlib.util import find_spec

from assay.engine.errors import SetupError


def need_torch() -> None:
    """Raises SetupError, saying what to install, where a library for training is missing."""
    for module in ("torch", "torchvision", "sklearn", "tensorboard", "matplotlib", "onnx"):
        if find_spec(module) is None:
            raise SetupError(f"training needs {module}, which is not installed: pip install 'assay[train]'")

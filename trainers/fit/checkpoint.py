"""Files of weights: plain state dicts, read without unpickling objects and written in one step."""

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from assay.engine.errors import SetupError

NAMED = 8
"""Names of weights of one fault that a message has."""


def load_state(path: Path) -> dict[str, Tensor]:
    """A state dict from a file: bare, or under `model` or `state_dict`, with or without `module.`.

    Raises SetupError where the file holds anything else.
    """
    content = load(path)
    for key in ("model", "state_dict"):
        if isinstance(content.get(key), Mapping):
            content = content[key]
    if not content or not all(isinstance(value, Tensor) for value in content.values()):
        raise SetupError(f"{path} holds no state dict")
    return {name.removeprefix("module."): value for name, value in content.items()}


def load(path: Path) -> dict[str, Any]:
    """A dictionary of tensors and plain values. Raises SetupError where the file is not one."""
    try:
        with warnings.catch_warnings(action="ignore"):  # of pickles that it then refuses
            content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise SetupError(f"{path} does not exist") from None
    except Exception as error:  # torch raises what its readers raise, and advises to read the file unsafely
        raise SetupError(
            f"{path} is not a file of weights that can be read safely: it is damaged, or holds more than "
            "tensors and plain values; take another copy, or have its state_dict() saved alone"
        ) from error
    if not isinstance(content, Mapping):
        raise SetupError(f"{path} holds no dictionary")
    return dict(content)


def not_fitting(
    source: Path, missing: Sequence[str], extra: Sequence[str], shapes: Sequence[str]
) -> SetupError | None:
    """What to raise where weights lack names, have others, or have `shapes` that differ; else nothing."""
    faults = [
        f"{what} {', '.join(names[:NAMED])}" + (f" and {len(names) - NAMED} more" if names[NAMED:] else "")
        for what, names in (("it lacks", missing), ("it has extra", extra), ("it has", shapes))
        if names
    ]
    return SetupError(f"{source} does not fit this network: {'; '.join(faults)}") if faults else None


def save(content: Mapping[str, Any], path: Path) -> None:
    """Writes beside `path` and renames, so that a reader or a crash never meets half a file.

    Tensors are written as those of the host, wherever they live.
    """
    part = path.with_name(path.name + ".part")
    torch.save(tree_map_only(Tensor, lambda tensor: tensor.detach().cpu(), dict(content)), part)
    os.replace(part, path)

"""Files of weights: plain state dicts, read without unpickling objects and written in one step."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from assay.engine.errors import SetupError


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
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise SetupError(f"{path} does not exist") from None
    except Exception as error:  # torch raises whatever its zip and pickle readers raise
        raise SetupError(f"{path} is not a file of weights that can be read safely: {error}") from error
    if not isinstance(content, Mapping):
        raise SetupError(f"{path} holds no dictionary")
    return dict(content)


def save(content: Mapping[str, Any], path: Path) -> None:
    """Writes beside `path` and renames, so that a reader or a crash never meets half a file.

    Tensors are written as those of the host, wherever they live.
    """
    part = path.with_name(path.name + ".part")
    torch.save(tree_map_only(Tensor, lambda tensor: tensor.detach().cpu(), dict(content)), part)
    os.replace(part, path)

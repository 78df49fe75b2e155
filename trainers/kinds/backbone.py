"""The ImageNet networks that detectors are built on, and filling a network from a file of weights."""

from collections.abc import Mapping
from pathlib import Path
from typing import get_args

from torch import Tensor, nn
from torchvision.models import get_model

from assay.trainers.fit.checkpoint import not_fitting
from assay.trainers.kinds.fusing.run import Backbone

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, in RGB
_HEADS = {"resnet50": "fc.", "resnet18": "fc.", "mobilenet_v2": "classifier."}


def build(backbone: Backbone) -> nn.Module:
    """torchvision's classifier of 1000 classes, with random weights; nothing is ever fetched."""
    if backbone not in get_args(Backbone):
        raise ValueError(f"backbone must be one of {', '.join(get_args(Backbone))}, not {backbone!r}")
    network: nn.Module = get_model(backbone, weights=None)
    return network


def head(backbone: Backbone) -> str:
    """What the names of the classifier's own layers begin with."""
    return _HEADS[backbone]


def features(network: nn.Module, images: Tensor) -> Tensor:
    """The last map of features of a torchvision network: (N, 3, S, S) -> (N, C, S/32, S/32), at least 0."""
    for name, layer in network.named_children():
        if name in ("avgpool", "classifier"):
            break
        images = layer(images)
    return images


def channels(network: nn.Module) -> int:
    """C, the depth of the last map of features."""
    last = [layer for layer in network.modules() if isinstance(layer, nn.Linear)][-1]
    return last.in_features


def fill(
    module: nn.Module, state: Mapping[str, Tensor], source: Path, optional: str | tuple[str, ...] = ()
) -> None:
    """Load `state`, read from `source`, into `module`; names that begin with `optional` need not be there.

    Raises SetupError listing what is missing, extra or of another shape; `module` is then unchanged.
    """
    own = module.state_dict()
    missing = [name for name in own if name not in state and not name.startswith(optional)]
    extra = [name for name in state if name not in own]
    shapes = [
        f"{name} {tuple(value.shape)} instead of {tuple(own[name].shape)}"
        for name, value in state.items()
        if name in own and value.shape != own[name].shape
    ]
    if fault := not_fitting(source, missing, extra, shapes):
        raise fault
    module.load_state_dict(state, strict=False)

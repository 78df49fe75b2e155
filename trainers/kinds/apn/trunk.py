"""The ImageNet networks that the branches are built on, without their classifiers."""

from typing import get_args

from torch import nn
from torchvision.models import MobileNetV2, ResNet, SwinTransformer, get_model

from assay.trainers.kinds.apn.run import Trunk


def trunk(name: Trunk) -> tuple[nn.Module, int]:
    """A torchvision network (N, 3, S, S) -> (N, C) pooled features, and C.

    MobileNetV2, which is there to be small, ends before its last layer, which widens 320 features to 1280:
    attention over vectors so wide would weigh three times as much as the network.
    Weights are random, nothing is ever fetched. Raises ValueError for an unknown name.
    """
    if name not in get_args(Trunk):
        raise ValueError(f"a branch is built on one of {', '.join(get_args(Trunk))}, not {name!r}")
    network: nn.Module = _swin_t() if name == "swin_t" else get_model(name, weights=None)
    *path, last = classifier(name).split(".")
    owner = network.get_submodule(".".join(path))
    linear = owner.get_submodule(last)
    assert isinstance(linear, nn.Linear)
    setattr(owner, last, nn.Identity())
    if isinstance(network, MobileNetV2):
        widening = network.features[-1]
        network.features = network.features[:-1]
        return network, widening[0].in_channels
    return network, linear.in_features


def classifier(name: Trunk) -> str:
    """Where the last layer stands in torchvision's network."""
    names = {"swin_t": "head", "convnext_base": "classifier.2", "mobilenet_v2": "classifier.1"}
    return names.get(name, "fc")


def left_out(name: Trunk) -> tuple[str, ...]:
    """What the names begin with, in torchvision's network, of the layers that a branch does without."""
    last = f"{classifier(name)}."
    return (last, "features.18.") if name == "mobilenet_v2" else (last,)


def last_maps(network: nn.Module) -> tuple[nn.Module, bool]:
    """The layer of a trunk whose output are its last maps, and whether their channels come last."""
    if isinstance(network, SwinTransformer):
        return network.norm, True
    if isinstance(network, ResNet):
        return network.layer4, False
    return network.get_submodule("features"), False


def _swin_t() -> nn.Module:
    """torchvision's Swin-T, but with the published drop path of 0.1 in place of 0.2."""
    swin: nn.Module = SwinTransformer(
        patch_size=[4, 4],
        embed_dim=96,
        depths=[2, 2, 6, 2],
        num_heads=[3, 6, 12, 24],
        window_size=[7, 7],
        stochastic_depth_prob=0.1,
    )
    return swin

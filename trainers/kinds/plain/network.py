"""Detectors that are one network with one logit: the `plain` kind and the Fusing paper's baselines."""

from pathlib import Path
from typing import get_args

import torch
from torch import Tensor, nn
from torchvision.models import get_model

from assay.engine.errors import SetupError
from assay.trainers.fit.checkpoint import load_state
from assay.trainers.kinds.plain.run import Backbone
from assay.trainers.kinds.plain.stages import Mix, Stages

BACKBONES: tuple[Backbone, ...] = get_args(Backbone)


class Plain(nn.Module):
    """A torchvision network whose last layer is one logit: above 0 means synthetic.

    Weights start at random (last layer N(0, 0.02), as CNNDetection) and are never fetched:
    `load_backbone` reads pretrained ones from a file.
    """

    def __init__(
        self, backbone: Backbone = "resnet50", *, trained_layers: int = 0, traces: bool = False
    ) -> None:
        """`trained_layers`, `traces`: as of `Stages`, for `stages` alone."""
        super().__init__()
        if backbone not in BACKBONES:
            raise ValueError(f"backbone must be one of {', '.join(BACKBONES)}, not {backbone!r}")
        self._head = "classifier.1." if backbone == "mobilenet_v2" else "fc."
        self._cut_off: tuple[str, ...] = ()
        if backbone == "stages":
            self.network: nn.Module = Stages(trained_layers=trained_layers, traces=traces)
            self._head = "classifier."
            return
        if backbone == "patch_forensics":
            self.network = Patches()
            self._cut_off = ("layer2.", "layer3.", "layer4.")
        else:
            name = "mobilenet_v2" if backbone == "mobilenet_v2" else "resnet50"
            self.network = get_model(name, weights=None, num_classes=1)
        if backbone == "no_down":
            self.network.conv1.stride = (1, 1)  # type: ignore[assignment]
            self.network.maxpool.stride = 1  # type: ignore[assignment]
        head = self.network.get_submodule(self._head[:-1])
        nn.init.normal_(head.weight, std=0.02)  # type: ignore[arg-type]
        nn.init.zeros_(head.bias)  # type: ignore[arg-type]

    def load_backbone(self, path: Path) -> None:
        """Loads an ImageNet classifier in torchvision's layout, all but its last layer.

        Raises SetupError naming what is missing or extra.
        """
        unused = (self._head, *self._cut_off)
        state = {name: value for name, value in load_state(path).items() if not name.startswith(unused)}
        like: nn.Module = self.network
        if isinstance(self.network, Stages):
            like = get_model("mobilenet_v2", weights=None)
        own = {name for name in like.state_dict() if not name.startswith(unused)}
        missing, extra = sorted(own - state.keys()), sorted(state.keys() - own)
        if missing or extra:
            faults = "; ".join(
                _listed(verb, names) for verb, names in (("lacks", missing), ("has", extra)) if names
            )
            raise SetupError(f"{path} is not this backbone: {faults}")
        like.load_state_dict(state, strict=False)
        if isinstance(self.network, Stages):
            self.network.take_features(like)

    def forward(self, image: Tensor, mix: Mix | None = None) -> Tensor:
        """(B, 3, S, S) normalised views -> (B, 1) logits. `mix`: for `stages` alone.

        While it is trained, patch_forensics gives the (B, P) logits of its positions instead: each is judged
        by itself.
        """
        logit: Tensor = self.network(image) if mix is None else self.network(image, mix)
        return logit


class Patches(nn.Module):
    """Patch_forensics: a decision at each position of the map after ResNet-18's first stage, then their mean.

    Names of the weights are torchvision's. The logit of an image is that of its positions' mean probability.
    """

    def __init__(self) -> None:
        super().__init__()
        whole = get_model("resnet18", weights=None)
        for name in ("conv1", "bn1", "relu", "maxpool", "layer1"):
            self.add_module(name, getattr(whole, name))
        self.fc = nn.Conv2d(64, 1, kernel_size=1)

    def forward(self, image: Tensor) -> Tensor:
        for layer in self.children():
            image = layer(image)
        positions = image.flatten(1)
        if self.training:
            return positions
        return torch.logit(positions.sigmoid().mean(dim=1, keepdim=True), eps=1e-6)


def _listed(verb: str, names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"it {verb} {', '.join(names[:3])}{more}"

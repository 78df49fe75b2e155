"""MobileNetV2 and a small head that judges what all of its stages see.

What generators leave is weak and lies at every depth: grain in the first stages, structure in the last. A
head on all of them generalises better than one on the last alone. The last layers may be trained on with
the head, slowly; the first ones stay ImageNet's.

A second network may stand beside it, one that was trained to find what networks leave in remade photographs:
where it is sure by itself, the image is synthetic.
"""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.models import mobilenet_v2

from assay.engine.errors import SetupError
from assay.trainers.kinds.from_onnx import read_graph

STAGES = (1, 3, 6, 10, 13, 17, 18)
"""The last layers of MobileNetV2's stages."""
LAYERS = 19
_LARGEST = 8.0
"""Normalised values beyond are cut off: an odd image must not be far more certain than any in training."""


GAIN, SURE = 2.0, 1.0
"""The second network's own logit counts from `SURE` on, `GAIN` times."""


@dataclass(frozen=True, slots=True)
class Mix:
    """Which images of a batch are mixed, and how (mixup, Zhang et al. 2018): `share` of each, the rest of
    the one whose index stands in its place in `others` (B,)."""

    share: float
    others: Tensor

    @classmethod
    def draw(cls, alpha: float, images: int, device: torch.device) -> Self:
        """The share by Beta(`alpha`, `alpha`), the order at random, both by torch's own generator."""
        share = float(torch.distributions.Beta(alpha, alpha).sample())
        return cls(share, torch.randperm(images).to(device))

    def __call__(self, values: Tensor) -> Tensor:
        """(B, ...) -> (B, ...)"""
        return self.share * values + (1 - self.share) * values[self.others]


class Stages(nn.Module):
    """(B, 3, S, S) -> (B, 1) logits, of each channel's mean and standard deviation at seven stages.

    Batch normalisation is folded into the convolutions: with few sources its statistics would be learnt by
    heart, and on a CPU it takes half of the time. While the head is trained, logits are its own; then, with
    `traces`, they are log(exp(head) + exp(`GAIN` * (logit of `traces` - `SURE`))).
    """

    def __init__(
        self, hidden: int = 128, dropout: float = 0.3, trained_layers: int = 0, traces: bool = False
    ) -> None:
        """`trained_layers`: how many of the last of `LAYERS` are trained with the head."""
        super().__init__()
        self.features = _folded(mobilenet_v2(weights=None).features)
        self.traces = mobilenet_v2(weights=None, num_classes=1) if traces else None
        self.frozen = LAYERS - trained_layers
        self.requires_grad_(False)
        self.features[self.frozen :].requires_grad_(True)
        with torch.no_grad():
            width = self.seen(torch.zeros(1, 3, 64, 64)).shape[1]
        self.normalise = nn.BatchNorm1d(width, affine=False)
        self.head = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(width, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, 1),
        )

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        if self.traces is not None:
            self.traces.eval()
        return self

    def take_features(self, donor: nn.Module) -> None:
        """Takes the layers of a torchvision MobileNetV2, whose batch normalisation is folded, in place."""
        features = donor.get_submodule("features")
        assert isinstance(features, nn.Sequential)
        self.features.load_state_dict(_folded(features).state_dict())

    def load_traces(self, file: Path) -> None:
        """Takes the second network from the graph of a `plain` bundle with a MobileNetV2.

        Raises SetupError where the file is no such graph.
        """
        import onnx

        assert self.traces is not None
        state = read_graph(self.traces, file)
        graph = onnx.load(file).graph
        stored = {one.name.removeprefix("network."): one for one in graph.initializer}
        for name in ("classifier.1.weight", "classifier.1.bias"):
            if name not in stored or list(stored[name].dims) != list(self.traces.get_parameter(name).shape):
                raise SetupError(f"{file} is no MobileNetV2 with one logit: {name} is not of one")
            state[name] = torch.tensor(onnx.numpy_helper.to_array(stored[name]))
        self.traces.load_state_dict(state)

    def seen(self, image: Tensor, mix: Mix | None = None) -> Tensor:
        """(B, 3, S, S) -> (B, F): of each stage the means, then the deviations of its channels.

        Images are mixed behind the layers that stay as they are, as these see only real ones
        (manifold mixup, Verma et al. 2019).
        """
        found: list[Tensor] = []
        for number, layer in enumerate(self.features):
            if mix and number == self.frozen:
                image, found = mix(image), [mix(one) for one in found]
            image = layer(image)
            if number in STAGES:
                mean = image.mean((2, 3), keepdim=True)
                found += [mean.flatten(1), ((image - mean).square().mean((2, 3)) + 1e-6).sqrt()]
        seen = torch.cat(found, 1)
        return mix(seen) if mix and self.frozen == LAYERS else seen

    def forward(self, image: Tensor, mix: Mix | None = None) -> Tensor:
        seen = self.normalise(self.seen(image, mix))
        logit: Tensor = self.head(seen.clamp(-_LARGEST, _LARGEST))
        if self.traces is None or self.training:
            return logit
        sure = GAIN * (self.traces(image) - SURE)
        return torch.maximum(logit, sure) + torch.log1p(torch.exp(-(logit - sure).abs()))


def _folded(features: nn.Sequential) -> nn.Sequential:
    """The layers with batch normalisation folded into the convolutions before it, in place."""
    for module in features.eval().modules():
        named = list(module.named_children())
        for (first, before), (second, after) in pairwise(named):
            if isinstance(before, nn.Conv2d) and isinstance(after, nn.BatchNorm2d):
                setattr(module, first, fuse_conv_bn_eval(before, after))
                setattr(module, second, nn.Identity())
    return features

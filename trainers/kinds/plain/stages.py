"""A network of ImageNet left as it is, and a small head that judges what all of its stages see.

What generators leave is weak and lies at every depth: grain in the first stages, structure in the last. With
a few thousand images a head on all of them generalises better than the network trained on, which learns its
sources by heart.

A second network may stand beside it, one that was trained to find what networks leave in remade photographs:
its stages are seen by the head, too, and where it is sure by itself, the image is synthetic.
"""

from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn
from torchvision.models import mobilenet_v2

from assay.engine.errors import SetupError
from assay.trainers.kinds.from_onnx import read_graph

STAGES = (1, 3, 6, 10, 13, 17, 18)
"""The last layers of MobileNetV2's stages."""
_LARGEST = 8.0
"""Normalised values beyond are cut off: an odd image must not be far more certain than any in training."""


GAIN, SURE = 2.0, 1.0
"""The second network's own logit counts from `SURE` on, `GAIN` times."""


class Stages(nn.Module):
    """(B, 3, S, S) -> (B, 1) logits, of each channel's mean and standard deviation at seven stages.

    `features` and `traces` are never trained, and their batch normalisation never adapts. While the head is
    trained, logits are its own; then they are log(exp(head) + exp(`GAIN` * (logit of `traces` - `SURE`))).
    """

    def __init__(self, hidden: int = 128, dropout: float = 0.3, traces: bool = False) -> None:
        super().__init__()
        self.features = mobilenet_v2(weights=None).features
        self.traces = mobilenet_v2(weights=None, num_classes=1) if traces else None
        self.requires_grad_(False)
        with torch.no_grad():
            width = self.eval().seen(torch.zeros(1, 3, 64, 64)).shape[1]
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
        self.features.eval()
        if self.traces is not None:
            self.traces.eval()
        return self

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

    def seen(self, image: Tensor) -> Tensor:
        """(B, 3, S, S) -> (B, F): of each stage the means, then the deviations of its channels."""
        found = _stages(self.features, image)
        if self.traces is not None:
            found += _stages(self.traces.features, image)
        return torch.cat(found, 1)

    def forward(self, image: Tensor) -> Tensor:
        seen = self.seen(image)
        logit: Tensor = self.head(self.normalise(seen).clamp(-_LARGEST, _LARGEST))
        if self.traces is None or self.training:
            return logit
        last = self.traces.classifier[1].in_features
        own = self.traces.classifier(seen[:, -2 * last : -last])  # the means of its last stage
        sure = GAIN * (own - SURE)
        return torch.maximum(logit, sure) + torch.log1p(torch.exp(-(logit - sure).abs()))


def _stages(features: nn.Module, image: Tensor) -> list[Tensor]:
    found = []
    for number, layer in enumerate(features.children()):
        image = layer(image)
        if number in STAGES:
            mean = image.mean((2, 3), keepdim=True)
            found += [mean.flatten(1), ((image - mean).square().mean((2, 3)) + 1e-6).sqrt()]
    return found

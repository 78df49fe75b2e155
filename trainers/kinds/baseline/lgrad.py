"""LGrad: "Learning on Gradients: Generalized Artifacts Representation for GAN-Generated Images Detection".

Tan et al. 2023: the gradient of another network's answer by the image, scaled to 0..1 for each image, and
ResNet-50 on that. In the paper the other network is a GAN's discriminator; here it is any that `assay train
plain` has trained. It is not trained any further, and is kept in the run.
"""

from typing import Self

import torch
from torch import Tensor
from torchvision.models import get_model

from assay.trainers.kinds.backbone import MEAN, STD
from assay.trainers.kinds.baseline.network import Baseline
from assay.trainers.kinds.plain.network import Plain
from assay.trainers.kinds.plain.run import Backbone


class LGrad(Baseline):
    mean, std = MEAN, STD
    backbone = "network"

    def __init__(self, size: int, transform: Backbone) -> None:
        """`transform`: what the other network is built on."""
        super().__init__(size)
        self.transform = Plain(transform).requires_grad_(False)
        self.network = get_model("resnet50", weights=None, num_classes=1)

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        self.transform.eval()
        return self

    def forward(self, image: Tensor) -> Tensor:
        logit: Tensor = self.network(self.gradients(image))
        return logit

    def gradients(self, image: Tensor) -> Tensor:
        """(B, 3, S, S) -> (B, 3, S, S) in 0..1, and then by ImageNet's mean and deviation."""
        with torch.inference_mode(False), torch.enable_grad():
            given = image.detach().clone().requires_grad_()
            [found] = torch.autograd.grad(self.transform(given).sum(), given)
        low, high = found.amin(dim=(1, 2, 3), keepdim=True), found.amax(dim=(1, 2, 3), keepdim=True)
        scaled = (found - low) / (high - low).clamp_min(1e-20)
        mean, std = (
            torch.tensor(three, device=image.device).view(3, 1, 1) for three in (self.mean, self.std)
        )
        return (scaled - mean) / std

"""Swin-T as a classifier: "Swin Transformer" (Liu et al. 2021), torchvision's, with one logit."""

from torch import Tensor
from torchvision.models import get_model

from assay.trainers.kinds.backbone import MEAN, STD
from assay.trainers.kinds.baseline.network import Baseline


class SwinT(Baseline):
    mean, std = MEAN, STD
    backbone = "network"
    unused = ("head.",)

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.network = get_model("swin_t", weights=None, num_classes=1)

    def forward(self, image: Tensor) -> Tensor:
        logit: Tensor = self.network(image)
        return logit

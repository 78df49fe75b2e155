"""What the fit needs of a baseline: a network of one logit, how its views are scaled, and its backbone."""

from pathlib import Path
from typing import ClassVar

from torch import Tensor, nn

from assay.engine.errors import SetupError
from assay.trainers.fit.checkpoint import load_state
from assay.trainers.kinds.backbone import fill

Triple = tuple[float, float, float]


class Baseline(nn.Module):
    """(B, 3, S, S) views, scaled by `mean` and `std` -> (B, 1) logits, above 0 meaning synthetic.

    Weights start at random and are never fetched.
    """

    mean: ClassVar[Triple] = (0.0, 0.0, 0.0)
    std: ClassVar[Triple] = (1.0, 1.0, 1.0)
    backbone: str = ""
    """The part, by name, that ImageNet weights in torchvision's layout fit; without, there is none."""
    unused: tuple[str, ...] = ("fc.",)
    """What the names of layers begin with that it has in another form, or not at all."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, image: Tensor) -> Tensor:
        raise NotImplementedError

    def load_backbone(self, path: Path) -> None:
        """Loads an ImageNet classifier, all but its last layer.

        Raises SetupError where there is no backbone, or listing what is missing or extra.
        """
        if not self.backbone:
            raise SetupError(
                f"{path}: this network is trained from random weights alone; leave --weights out"
            )
        state = {name: value for name, value in load_state(path).items() if not name.startswith(self.unused)}
        fill(self.get_submodule(self.backbone), state, path, optional=self.unused)

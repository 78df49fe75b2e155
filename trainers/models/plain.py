"""The `plain` detector: an ImageNet backbone with one logit, and the papers' CNN_aug baseline."""

from pathlib import Path
from typing import Literal, TypeAlias, get_args

from torch import Tensor, nn
from torchvision.models import get_model

from assay.engine.errors import SetupError
from assay.trainers.checkpoint import load_state

Backbone: TypeAlias = Literal["resnet50", "mobilenet_v2"]
BACKBONES: tuple[Backbone, ...] = get_args(Backbone)


class Plain(nn.Module):
    """A torchvision network whose last layer is one logit: above 0 means synthetic.

    Weights start at random (last layer N(0, 0.02), as CNNDetection) and are never fetched:
    `load_backbone` reads pretrained ones from a file.
    """

    def __init__(self, backbone: Backbone = "resnet50") -> None:
        super().__init__()
        if backbone not in BACKBONES:
            raise ValueError(f"backbone must be one of {', '.join(BACKBONES)}, not {backbone!r}")
        self.network = get_model(backbone, weights=None, num_classes=1)
        self._head = "fc." if backbone == "resnet50" else "classifier.1."
        head = self.network.fc if backbone == "resnet50" else self.network.classifier[1]
        nn.init.normal_(head.weight, std=0.02)
        nn.init.zeros_(head.bias)

    def load_backbone(self, path: Path) -> None:
        """Loads an ImageNet classifier in torchvision's layout, all but its last layer.

        Raises SetupError naming what is missing or extra.
        """
        state = {name: value for name, value in load_state(path).items() if not name.startswith(self._head)}
        own = {name for name in self.network.state_dict() if not name.startswith(self._head)}
        missing, extra = sorted(own - state.keys()), sorted(state.keys() - own)
        if missing or extra:
            faults = "; ".join(
                _listed(verb, names) for verb, names in (("lacks", missing), ("has", extra)) if names
            )
            raise SetupError(f"{path} is not this backbone: {faults}")
        self.network.load_state_dict(state, strict=False)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, S, S) normalised views -> (B, 1) logits."""
        logit: Tensor = self.network(image)
        return logit


def _listed(verb: str, names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"it {verb} {', '.join(names[:3])}{more}"

"""Training losses."""

from torch import Tensor
from torch.nn import functional


def binary_cross_entropy(logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """Mean binary cross-entropy of (B, P) logits, all P of an image, and its (B,) labels in {0, 1}.

    `smoothing` s moves the targets to s / 2 and 1 - s / 2.
    """
    targets = labels.to(logits.dtype).unsqueeze(1) * (1 - smoothing) + smoothing / 2
    return functional.binary_cross_entropy_with_logits(logits, targets.expand_as(logits))

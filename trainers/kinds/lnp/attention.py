"""Channel attention: each channel becomes itself plus a mixture of all, weighed by how alike they are.

"Dual Attention Network for Scene Segmentation" (DANet, Fu et al. 2019), its channel half. With X the channels
of an image in rows, the paper weighs by softmax(X X'), the published code by softmax(max(X X') - X X'), so by
how unlike they are. Both sum over all places, so that the energies of a 256 x 256 map lie tens of thousands
apart and the softmax picks one channel alone; `normalised` compares channels by their correlation instead.
"""

from typing import get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from assay.trainers.kinds.lnp.run import AttentionForm


class ChannelAttention(nn.Module):
    """(B, C, H, W) -> the same shape. It begins as the identity: the mixture's weight `gamma` starts at 0."""

    def __init__(self, form: AttentionForm = "normalised") -> None:
        super().__init__()
        if form not in get_args(AttentionForm):
            raise ValueError(f"attention must be one of {', '.join(get_args(AttentionForm))}, not {form!r}")
        self.form = form
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, maps: Tensor) -> Tensor:
        mixed = self.weights(maps) @ maps.flatten(2)
        return self.gamma * mixed.view_as(maps) + maps

    def weights(self, maps: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, C), row i saying what channel i is mixed of; each row sums to 1."""
        rows = maps.flatten(2)
        if self.form == "normalised":
            rows = functional.normalize(rows - rows.mean(dim=2, keepdim=True), dim=2)
        energy = rows @ rows.transpose(1, 2)
        if self.form == "danet":
            energy = energy.amax(dim=2, keepdim=True) - energy
        return energy.softmax(dim=2)

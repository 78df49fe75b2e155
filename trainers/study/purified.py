"""What a purification network sees: its most trusted purified images, and where its spatial branch looks."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from assay.kernels import view
from assay.trainers.data.augment import Pixels
from assay.trainers.kinds.apn.bundle import view_rule
from assay.trainers.kinds.apn.network import APN, Output
from assay.trainers.kinds.apn.trunk import last_maps

SHOWN = 5
"""Purified images an image, the most trusted first, as in the paper's figure 6."""


def row(network: APN, pixels: Pixels) -> tuple[list[Image.Image], list[float]]:
    """The view, the heat map over it and the purified images of one photograph; and their confidence."""
    device = network.get_parameter("classifier.0.weight").device
    views = torch.from_numpy(view([pixels], view_rule(network.size))).to(device)
    found, heat = looked_at(network.eval(), views)
    assert found.purified is not None
    shown = _picture(views[0].cpu())
    confidence = found.confidence[0].detach().cpu()
    order = confidence.argsort(descending=True)[:SHOWN].tolist()
    images = [_stretched(found.purified[0, k].detach().cpu()) for k in order]
    return [shown, overlaid(shown, heat[0]), *images], confidence[order].tolist()


def looked_at(network: APN, views: Tensor) -> tuple[Output, NDArray[np.float32]]:
    """Layer-CAM of the logit of synthetic on the last maps of the spatial trunk (Jiang et al. 2021).

    views: (N, 3, S, S) -> the network's output, and heat (N, h, w) from 0: each cell's activations weighed
    by their positive gradients and summed over channels, negative sums set to 0.
    """
    kept: list[Tensor] = []
    layer, channels_last = last_maps(network.spatial.trunk)

    def keep(module: nn.Module, inputs: tuple[Tensor, ...], maps: Tensor) -> None:
        maps.retain_grad()
        kept.append(maps)

    handle = layer.register_forward_hook(keep)
    try:
        with torch.enable_grad():
            output: Output = network(views, purified=True)
            (output.logits[:, 1] - output.logits[:, 0]).sum().backward()  # type: ignore[no-untyped-call]
    finally:
        handle.remove()
        network.zero_grad()
    [maps] = kept
    assert maps.grad is not None
    heat = (maps.grad.relu() * maps).detach()
    return output, heat.sum(dim=-1 if channels_last else 1).relu().cpu().numpy()


def overlaid(picture: Image.Image, heat: NDArray[np.float32]) -> Image.Image:
    """The picture under its heat map, from blue (none) to red (most of this image)."""
    level = heat / max(float(heat.max()), 1e-12)
    smooth = Image.fromarray(np.uint8(255 * level)).resize(picture.size, Image.Resampling.BICUBIC)
    value = np.asarray(smooth, np.float32)[..., None] / 255
    ramp = np.concatenate([value, 1 - np.abs(2 * value - 1), 1 - value], axis=-1) * 255
    mixed = 0.5 * np.asarray(picture, np.float32) + 0.5 * ramp
    return Image.fromarray(mixed.astype(np.uint8))


def page(rows: Sequence[Sequence[Image.Image]], side: int = 160) -> Image.Image:
    """Rows of pictures, each `side` pixels wide and high."""
    sheet = Image.new("RGB", (max(map(len, rows)) * side, len(rows) * side), "white")
    for top, pictures in enumerate(rows):
        for left, picture in enumerate(pictures):
            sheet.paste(picture.resize((side - 4, side - 4)), (left * side + 2, top * side + 2))
    return sheet


def _picture(view: Tensor) -> Image.Image:
    """(3, S, S), blue first, in 0..1."""
    return Image.fromarray(np.uint8(np.rint(view.flip(0).permute(1, 2, 0).numpy().clip(0, 1) * 255)))


def _stretched(image: Tensor) -> Image.Image:
    low, high = np.percentile(image.numpy(), (1, 99))
    return _picture((image - float(low)) / max(float(high - low), 1e-12))

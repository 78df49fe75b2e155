"""What a purification network sees: its most trusted purified images, and where its spatial branch looks."""

from collections.abc import Mapping
from dataclasses import dataclass

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
from assay.trainers.study.page import Column, page

SHOWN = 5
"""Purified images an image, the most trusted first, as in the paper's figure 6."""


@dataclass(frozen=True)
class Seen:
    """One photograph as the network sees it.

    heat: (h, w) from 0; probability: of being synthetic, before calibration; confidence: of the most trusted
    proposals, whose numbers from 1 and purified images stand beside it.
    """

    view: Image.Image
    heat: NDArray[np.float32]
    probability: float
    confidence: list[float]
    proposals: list[int]
    purified: list[Image.Image]


def seen(network: APN, pixels: Pixels) -> Seen:
    """What `network` makes of one photograph."""
    device = network.get_parameter("classifier.0.weight").device
    views = torch.from_numpy(view([pixels], view_rule(network.size))).to(device)
    found, heat = looked_at(network.eval(), views)
    assert found.purified is not None
    confidence = found.confidence[0].detach().cpu()
    order = confidence.argsort(descending=True)[:SHOWN].tolist()
    return Seen(
        _picture(views[0].cpu()),
        heat[0],
        float(found.logits[0].detach().cpu().softmax(dim=0)[1]),
        confidence[order].tolist(),
        [place + 1 for place in order],
        [_stretched(found.purified[0, place].detach().cpu()) for place in order],
    )


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


def overlaid(picture: Image.Image, heat: NDArray[np.float32], most: float | None = None) -> Image.Image:
    """The picture under its heat map, from blue (none) to red (`most`, or most of this image)."""
    level = heat / max(float(heat.max()) if most is None else most, 1e-12)
    smooth = Image.fromarray(np.uint8(255 * level)).resize(picture.size, Image.Resampling.BICUBIC)
    value = np.asarray(smooth, np.float32)[..., None] / 255
    ramp = np.concatenate([value, 1 - np.abs(2 * value - 1), 1 - value], axis=-1) * 255
    mixed = 0.5 * np.asarray(picture, np.float32) + 0.5 * ramp
    return Image.fromarray(mixed.astype(np.uint8))


def heat_page(found: Mapping[str, Seen], columns: int = 6) -> Image.Image:
    """Figure 5: photographs by name, below each its heat map, name and probability; one scale for all."""
    most = max(float(one.heat.max()) for one in found.values())
    cells = [
        Column((one.view, overlaid(one.view, one.heat, most)), (name, f"synthetic: {one.probability:.3f}"))
        for name, one in found.items()
    ]
    return page([cells[first : first + columns] for first in range(0, len(cells), columns)])


def purified_page(found: Mapping[str, Seen]) -> Image.Image:
    """Figure 6: a row for each photograph: its view, its heat map, and the images of the proposals that are
    trusted most, with number and confidence."""
    most = max(float(one.heat.max()) for one in found.values())
    rows = []
    for name, one in found.items():
        proposals = zip(one.purified, one.proposals, one.confidence, strict=True)
        rows.append(
            [
                Column((one.view,), (name,)),
                Column((overlaid(one.view, one.heat, most),), (f"synthetic: {one.probability:.3f}",)),
                *(Column((image,), (f"proposal {place}: {trust:.3f}",)) for image, place, trust in proposals),
            ]
        )
    return page(rows)


def _picture(view: Tensor) -> Image.Image:
    """(3, S, S), blue first, in 0..1."""
    return Image.fromarray(np.uint8(np.rint(view.flip(0).permute(1, 2, 0).numpy().clip(0, 1) * 255)))


def _stretched(image: Tensor) -> Image.Image:
    low, high = np.percentile(image.numpy(), (1, 99))
    return _picture((image - float(low)) / max(float(high - low), 1e-12))

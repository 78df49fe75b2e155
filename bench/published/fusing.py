"""The global-and-local detector run as its published code runs it: one image at a time, in eager torch.

The peer that the engine is measured against, and an oracle for it, for nothing here is shared with it but the
weights: Pillow decodes, torchvision makes the view, the whole original is normalised, and patches are chosen
and cut in a Python loop over torch operations.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional
from torchvision.transforms import CenterCrop, Compose, Normalize, Resize, ToTensor

from assay.engine.detectors import Stopwatch
from assay.trainers.kinds.fusing.network import AttentionLayer, Fusing

SIDE, WINDOWS, COUNT = 224, ((3, 224), (2, 112)), 3
Box = tuple[int, int, int, int]

original = Compose([ToTensor(), Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))])
view = Compose([Resize(SIDE), CenterCrop(SIDE), original])


@torch.inference_mode()
def score(network: Fusing, file: Path, watch: Stopwatch) -> tuple[float, list[Box]]:
    """The logit of an image file, and the boxes that were looked at: top, left, bottom, right."""
    with watch.stage("decode"), Image.open(file) as image:
        photo = image.convert("RGB")
    with watch.stage("view"):
        pixels, shown = original(photo), view(photo)
    with watch.stage("backbone_view"):
        maps = _features(network, shown.unsqueeze(0))
        embedding = functional.relu(network.fc1(maps.mean(dim=(2, 3))))
    with watch.stage("patches"):
        boxes = list(select(maps, *pixels.shape[1:]))
        crops = torch.cat([_cut(pixels, box) for box in boxes])
    with watch.stage("backbone"):
        local = functional.relu(network.fc1(_features(network, crops).mean(dim=(2, 3))))
    with watch.stage("fuse"):
        logit = float(_fused(network, torch.cat([local, embedding])))
    return logit, boxes


def select(maps: Tensor, height: int, width: int) -> Iterator[Box]:
    """The boxes of the patches for maps (1, C, M, M) of an image of `height` x `width` pixels."""
    side = maps.shape[-1]
    for window, patch in WINDOWS:
        scores = functional.avg_pool2d(maps, window, stride=1).sum(dim=1)[0]
        for _ in range(COUNT):
            best = scores.max()
            row, column = divmod(int(scores.flatten().argmax()), scores.shape[1])
            around = functional.max_pool2d(scores[None, None], 3, stride=1, padding=1)[0, 0]
            scores = scores * (around != best)
            short = min(height, width)
            top, bottom = _extent(row, window, side, short, height, patch)
            left, right = _extent(column, window, side, short, width, patch)
            yield top, left, bottom, right


def _extent(place: int, window: int, side: int, short: int, length: int, patch: int) -> tuple[int, int]:
    """From where to where a patch reaches along one axis of `length` pixels."""
    scores = side - window + 1
    fraction = torch.tensor((2 * place + side - scores + 1) / (2 * side), dtype=torch.float32)
    centre = int(((length - short) // 2 + short * fraction).long())
    low, high = centre - patch // 2, centre + patch // 2
    if low < 0:
        low, high = 0, high - low
    if high > length:
        low, high = low - (high - length), length
    return max(low, 0), high


def _cut(pixels: Tensor, box: Box) -> Tensor:
    top, left, bottom, right = box
    crop = pixels[None, :, top:bottom, left:right]
    if crop.shape[-2:] == (SIDE, SIDE):
        return crop
    return functional.interpolate(crop, (SIDE, SIDE), mode="bilinear", align_corners=True)


def _features(network: Fusing, images: Tensor) -> Tensor:
    trunk = list(network.resnet.children())
    trunk = trunk[:-2] if len(trunk) > 2 else trunk[:1]  # a ResNet ends in pooling and classifier
    for layer in trunk:
        images = layer(images)
    return images


def _fused(network: Fusing, tokens: Tensor) -> Tensor:
    """Three layers of attention over tokens (T, E); the last token is read out."""
    for layer in cast("list[AttentionLayer]", list(network.mha_list)):
        projected = functional.linear(tokens, layer.mha.in_proj_weight, layer.mha.in_proj_bias)
        query, key, value = (
            part.reshape(len(tokens), layer.mha.num_heads, -1).transpose(0, 1)
            for part in projected.chunk(3, dim=-1)
        )
        weights = (query @ key.transpose(1, 2) / query.shape[-1] ** 0.5).softmax(dim=-1)
        mixed = (weights @ value).transpose(0, 1).reshape(tokens.shape)
        tokens = layer.ln1(tokens + layer.mha.out_proj(mixed))
        tokens = layer.ln2(tokens + layer.fc2(functional.relu(layer.fc1(tokens))))
    logit: Tensor = network.fc(tokens[-1])
    return logit

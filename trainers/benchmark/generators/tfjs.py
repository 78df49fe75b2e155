"""TensorFlow.js layers-models (model.json and weight shards), rebuilt in PyTorch.

A layers-model is a Keras functional graph. Only the layers that the super-resolution models of the
@upscalerjs packages use are known here; anything else is refused by name.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from assay.trainers.benchmark.generators.network import Network, Planes


class UnknownLayerError(ValueError):
    """A layer, or an option of one, that is not known here."""


class LayersModel(nn.Module):
    """A Keras functional graph on (N, C, H, W) tensors, built from a model.json and its shards."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        model = json.loads(path.read_text())
        config = model["modelTopology"]["model_config"]["config"]
        weights = read_weights(path.parent, model["weightsManifest"])
        self._output: str = config["output_layers"][0][0]
        self._steps: list[tuple[str, list[str]]] = []
        self._layers = nn.ModuleDict()
        for layer in config["layers"]:
            name = layer["name"]
            nodes = layer["inbound_nodes"]
            if len(nodes) > 1:
                raise UnknownLayerError(f"{path}: layer {name} is used more than once")
            self._steps.append((name, [node[0] for node in nodes[0]] if nodes else []))
            self._layers[_key(name)] = _layer(layer["class_name"], layer["config"], weights)
        # How many layers still need a result: a dense network holds hundreds of them otherwise.
        self._uses = {name: sum(name in inputs for _, inputs in self._steps) for name, _ in self._steps}

    def forward(self, image: Tensor) -> Tensor:
        values: dict[str, Tensor] = {}
        left = dict(self._uses)
        for name, inputs in self._steps:
            arguments = [values[one] for one in inputs] or [image]
            values[name] = self._layers[_key(name)](*arguments)
            for one in set(inputs):
                left[one] -= 1
                if not left[one] and one != self._output:
                    del values[one]
        return values[self._output]


def load(path: Path) -> Network:
    """The network of a model.json; RGB 0..1 on both sides."""
    model = LayersModel(path).eval().to(memory_format=torch.channels_last)

    def network(planes: Planes) -> Planes:
        with torch.inference_mode():
            image = torch.from_numpy(np.ascontiguousarray(planes)).permute(2, 0, 1)[None]
            output: Tensor = model(image.contiguous(memory_format=torch.channels_last))
        array: Planes = output[0].permute(1, 2, 0).numpy()
        return array

    return network


def read_weights(folder: Path, manifest: list[dict[str, Any]]) -> dict[str, NDArray[np.float32]]:
    """The named weights of a weightsManifest; 8- and 16-bit quantised ones are value * scale + min."""
    weights: dict[str, NDArray[np.float32]] = {}
    for group in manifest:
        data = b"".join((folder / shard).read_bytes() for shard in group["paths"])
        offset = 0
        for entry in group["weights"]:
            quantised = entry.get("quantization")
            dtype = np.dtype((quantised or entry)["dtype"]).newbyteorder("<")
            count = int(np.prod(entry["shape"]))
            values = np.frombuffer(data, dtype, count, offset).astype(np.float32)
            offset += count * dtype.itemsize
            if quantised and "scale" in quantised:
                values = values * np.float32(quantised["scale"]) + np.float32(quantised["min"])
            weights[entry["name"]] = values.reshape(entry["shape"])
        if offset != len(data):
            raise ValueError(f"{folder}: the shards hold {len(data)} bytes, the manifest names {offset}")
    return weights


def _key(name: str) -> str:
    return name.replace(".", "_")


def _layer(kind: str, config: dict[str, Any], weights: dict[str, NDArray[np.float32]]) -> nn.Module:
    builders: dict[str, Callable[[], nn.Module]] = {
        "InputLayer": nn.Identity,
        "Conv2D": lambda: _convolution(config, weights),
        "Activation": lambda: _activation(config["activation"]),
        "Concatenate": _Concatenate,
        "Add": _Add,
        "MultiplyBeta": lambda: _Multiply(float(config["beta"])),
        "UpSampling2D": lambda: nn.Upsample(scale_factor=tuple(config["size"]), mode=config["interpolation"]),
        "PixelShuffle4x": lambda: _DepthToSpace(int(config["scale"])),
    }
    if kind not in builders:
        raise UnknownLayerError(f"layer {config['name']} is a {kind}, which is not known here")
    return builders[kind]()


def _convolution(config: dict[str, Any], weights: dict[str, NDArray[np.float32]]) -> nn.Module:
    padded = config["padding"] == "same" or config["kernel_size"] == [1, 1]
    if not padded or config.get("groups", 1) != 1 or config["strides"] != [1, 1]:
        raise UnknownLayerError(
            f"layer {config['name']}: only dense padded convolutions of stride 1 are known"
        )
    kernel = weights[f"{config['name']}/kernel"]  # height, width, in, out
    layer = nn.Conv2d(
        kernel.shape[2], kernel.shape[3], kernel.shape[:2], padding="same", bias=config["use_bias"]
    )
    layer.weight.data = torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy())
    if config["use_bias"]:
        layer.bias = nn.Parameter(torch.from_numpy(weights[f"{config['name']}/bias"].copy()))
    return nn.Sequential(layer, _activation(config["activation"]))


def _activation(name: str) -> nn.Module:
    known: dict[str, type[nn.Module]] = {
        "linear": nn.Identity,
        "relu": nn.ReLU,
        "sigmoid": nn.Sigmoid,
        "tanh": nn.Tanh,
    }
    if name not in known:
        raise UnknownLayerError(f"activation {name} is not known here")
    return known[name]()


class _Concatenate(nn.Module):
    def forward(self, *inputs: Tensor) -> Tensor:
        return torch.cat(inputs, dim=1)


class _Add(nn.Module):
    def forward(self, first: Tensor, *others: Tensor) -> Tensor:
        for other in others:
            first = first + other
        return first


class _Multiply(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, value: Tensor) -> Tensor:
        return value * self.factor


class _DepthToSpace(nn.Module):
    """TensorFlow's depth_to_space: the block's row and column are the slowest part of the depth.

    torch's pixel_shuffle has them fastest, so the depth is reordered first.
    """

    def __init__(self, block: int) -> None:
        super().__init__()
        self.block = block

    def forward(self, value: Tensor) -> Tensor:
        depth = value.shape[1] // self.block**2
        reordered = (
            value.reshape(len(value), self.block**2, depth, *value.shape[2:]).transpose(1, 2).flatten(1, 2)
        )
        return F.pixel_shuffle(reordered, self.block)

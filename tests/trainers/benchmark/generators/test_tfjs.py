"""The PyTorch form of a layers-model against one written with loops over pixels in float64."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from assay.trainers.benchmark.generators.tfjs import UnknownLayerError, load, read_weights


def layer(kind: str, name: str, inputs: list[str], **config: Any) -> dict[str, Any]:
    nodes = [[[one, 0, 0, {}] for one in inputs]] if inputs else []
    return {"class_name": kind, "name": name, "config": {"name": name, **config}, "inbound_nodes": nodes}


def convolution(name: str, source: str, size: int, activation: str = "linear", **more: Any) -> dict[str, Any]:
    config = {"padding": "same", "strides": [1, 1], "groups": 1, "use_bias": True, "activation": activation}
    return layer("Conv2D", name, [source], kernel_size=[size, size], **config | more)


def write(
    folder: Path,
    layers: list[dict[str, Any]],
    weights: dict[str, NDArray[np.float64]],
    quantise: bool = False,
) -> tuple[Path, dict[str, NDArray[np.float64]]]:
    """A model.json with its shards (two, cut inside a tensor), and the weights as a reader must see them."""
    entries, data, seen = [], b"", {}
    for name, values in weights.items():
        entry: dict[str, Any] = {"name": name, "shape": list(values.shape), "dtype": "float32"}
        if quantise:
            scale, least = (values.max() - values.min()) / 255, values.min()
            stored = np.round((values - least) / scale).astype(np.uint8)
            entry["quantization"] = {
                "dtype": "uint8",
                "scale": scale,
                "min": least,
                "original_dtype": "float32",
            }
            seen[name] = stored * scale + least
        else:
            stored = values.astype("<f4")
            seen[name] = stored.astype(np.float64)
        entries.append(entry)
        data += stored.tobytes()
    cut = len(data) // 2 + 1
    (folder / "a.bin").write_bytes(data[:cut])
    (folder / "b.bin").write_bytes(data[cut:])
    config = {"layers": layers, "output_layers": [[layers[-1]["name"], 0, 0]]}
    model = {
        "modelTopology": {"model_config": {"class_name": "Functional", "config": config}},
        "weightsManifest": [{"paths": ["a.bin", "b.bin"], "weights": entries}],
    }
    path = folder / "model.json"
    path.write_text(json.dumps(model))
    return path, seen


def convolve(
    image: NDArray[np.float64], kernel: NDArray[np.float64], bias: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Cross-correlation with zeros around, pixel by pixel; the kernel is (height, width, in, out)."""
    reach = kernel.shape[0] // 2
    padded = np.pad(image, ((reach, reach), (reach, reach), (0, 0)))
    output = np.empty((*image.shape[:2], kernel.shape[3]))
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            window = padded[y : y + kernel.shape[0], x : x + kernel.shape[1]]
            output[y, x] = np.einsum("abi,abio->o", window, kernel) + bias
    return output


@pytest.mark.parametrize("quantise", [False, True])
def test_a_graph_of_every_known_layer(tmp_path: Path, quantise: bool) -> None:
    random = np.random.default_rng(7)
    layers = [
        layer("InputLayer", "in", []),
        convolution("first", "in", 3, "relu"),
        convolution("second", "first", 1, padding="valid"),
        layer("Activation", "bent", ["second"], activation="relu"),
        layer("Concatenate", "both", ["first", "bent"], axis=3),
        convolution("third", "both", 3),
        layer("MultiplyBeta", "scaled", ["third"], beta=0.2),
        layer("Add", "sum", ["scaled", "first"]),
        layer("UpSampling2D", "twice", ["sum"], size=[2, 2], interpolation="nearest"),
        convolution("wide", "twice", 3),
        layer("PixelShuffle4x", "out", ["wide"], scale=4),
    ]
    shapes = {"first": (3, 3, 3, 5), "second": (1, 1, 5, 4), "third": (3, 3, 9, 5), "wide": (3, 3, 5, 48)}
    weights = {}
    for name, shape in shapes.items():
        weights[f"{name}/kernel"] = random.normal(0, 0.4, shape)
        weights[f"{name}/bias"] = random.normal(0, 0.2, shape[3])
    path, seen = write(tmp_path, layers, weights, quantise)
    image = random.random((5, 7, 3))

    def conv(name: str, value: NDArray[np.float64]) -> NDArray[np.float64]:
        return convolve(value, seen[f"{name}/kernel"], seen[f"{name}/bias"])

    first = np.maximum(conv("first", image), 0)
    both = np.concatenate([first, np.maximum(conv("second", first), 0)], axis=2)
    twice = (0.2 * conv("third", both) + first).repeat(2, axis=0).repeat(2, axis=1)
    wide = conv("wide", twice)
    expected = np.empty((40, 56, 3))
    for y in range(40):  # depth_to_space as TensorFlow documents it
        for x in range(56):
            block = (y % 4) * 4 + x % 4
            expected[y, x] = wide[y // 4, x // 4, block * 3 : block * 3 + 3]

    output = load(path)(image.astype(np.float32))
    assert output.shape == expected.shape
    assert np.abs(output - expected).max() < 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize(
    ("bad", "sentence"),
    [
        (layer("Conv2DTranspose", "one", ["in"]), "layer one is a Conv2DTranspose"),
        (convolution("one", "in", 3, strides=[2, 2]), "layer one: only dense padded"),
        (convolution("one", "in", 3, padding="valid"), "layer one: only dense padded"),
        (convolution("one", "in", 3, "swish"), "activation swish"),
    ],
)
def test_what_is_not_known_is_refused_by_name(tmp_path: Path, bad: dict[str, Any], sentence: str) -> None:
    weights = {"one/kernel": np.ones((3, 3, 3, 3)), "one/bias": np.zeros(3)}
    start = layer("InputLayer", "in", [])
    path, _ = write(tmp_path, [start, bad], weights)
    with pytest.raises(UnknownLayerError, match=sentence):
        load(path)


def test_shards_of_the_wrong_length_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(bytes(20))
    manifest = [{"paths": ["a.bin"], "weights": [{"name": "w", "shape": [4], "dtype": "float32"}]}]
    with pytest.raises(ValueError, match="hold 20 bytes, the manifest names 16"):
        read_weights(tmp_path, manifest)

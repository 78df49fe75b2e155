"""Generators of each format, on networks small enough to be worked out by hand."""

import gc
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from support.photos import scene

from assay.trainers.benchmark.generators import autoencoder, dat, dcgan, ncnn, style
from assay.trainers.benchmark.generators.autoencoder import Autoencoder, Upsampler


def write_ncnn(stem: Path, kernel: NDArray[np.float32], bias: NDArray[np.float32]) -> None:
    """A 3x3 convolution without padding (kernel: out, in, 3, 3), enlarged twice by nearest neighbours."""
    count = kernel.size
    Path(f"{stem}.param").write_text(
        "7767517\n3 3\n"
        "Input data 0 1 data\n"
        f"Convolution conv 1 1 data mid 0=3 1=3 4=0 5=1 6={count}\n"
        "Interp up 1 1 mid out 0=1 1=2.0 2=2.0\n"
    )
    flag = np.zeros(1, np.uint32)  # weights follow as float32
    Path(f"{stem}.bin").write_bytes(flag.tobytes() + kernel.tobytes() + bias.tobytes())


def test_an_ncnn_network_against_numpy(tmp_path: Path) -> None:
    pytest.importorskip("ncnn")
    random = np.random.default_rng(3)
    kernel = random.normal(0, 0.3, (3, 3, 3, 3)).astype(np.float32)
    bias = random.normal(0, 0.1, 3).astype(np.float32)
    write_ncnn(tmp_path / "v1.0x", kernel, bias)  # a dot in the name is not a suffix
    network = ncnn.load(tmp_path / "v1.0x", "data", "out", padding=1)
    for height, width in ((8, 12), (5, 4), (64, 40)):
        image = random.random((height, width, 3)).astype(np.float32)
        padded = np.pad(image.astype(np.float64), ((1, 1), (1, 1), (0, 0)), mode="symmetric")
        expected = np.zeros((height, width, 3)) + bias
        for dy in range(3):
            for dx in range(3):
                expected += padded[dy : dy + height, dx : dx + width] @ kernel[:, :, dy, dx].T.astype(
                    np.float64
                )
        output = network(image)
        gc.collect()
        noise = np.random.default_rng(0).random((64, 64, 64))  # what would overwrite a freed buffer
        assert np.abs(output - expected.repeat(2, axis=0).repeat(2, axis=1)).max() < 1e-4
        del noise


def test_ncnn_files_that_are_missing_or_broken(tmp_path: Path) -> None:
    pytest.importorskip("ncnn")
    with pytest.raises(FileNotFoundError, match=r"none\.param"):
        ncnn.load(tmp_path / "none", "data", "out")
    write_ncnn(tmp_path / "a", np.ones((3, 3, 3, 3), np.float32), np.ones(3, np.float32))
    (tmp_path / "a.param").write_text("no network\n")
    with pytest.raises(ValueError, match="ncnn cannot read it"):
        ncnn.load(tmp_path / "a", "data", "out")


def test_a_dcgan_by_the_order_of_its_tensors() -> None:
    torch.manual_seed(0)
    model = dcgan.generator().eval()
    renamed = {f"other.{index}": value for index, value in enumerate(model.state_dict().values())}
    sample = dcgan.load(renamed)
    image = sample(5)
    assert image.shape == (64, 64, 3)
    assert np.array_equal(image, sample(5))
    assert not np.array_equal(image, sample(6))
    noise = np.random.default_rng(5).standard_normal((1, 100, 1, 1)).astype(np.float32)
    with torch.inference_mode():
        expected = model(torch.from_numpy(noise))[0].permute(1, 2, 0).numpy()
    assert np.abs(image / 255.0 - (expected + 1) / 2).max() < 0.5 / 255 + 1e-5


def test_weights_of_something_else_are_refused() -> None:
    state = dcgan.generator().state_dict()
    names = list(state)
    with pytest.raises(ValueError, match="this file"):
        dcgan.load({name: state[name] for name in names[:-1]})
    with pytest.raises(ValueError, match="not the weights"):
        dcgan.load(dict.fromkeys(names, state[names[0]]))


def test_every_image_gets_one_style(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    helper, float32 = onnx.helper, onnx.TensorProto.FLOAT
    tints = np.linspace(0, 1, style.STYLES, dtype=np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Mul", ["style_weights", "tints"], ["chosen"]),
            helper.make_node("ReduceSum", ["chosen"], ["tint"], keepdims=0),
            helper.make_node("Mul", ["image", "tint"], ["stylized"]),
        ],
        "tint",
        [
            helper.make_tensor_value_info("image", float32, [1, 3, "h", "w"]),
            helper.make_tensor_value_info("style_weights", float32, [style.STYLES]),
        ],
        [helper.make_tensor_value_info("stylized", float32, [1, 3, "h", "w"])],
        [helper.make_tensor("tints", float32, [style.STYLES], tints)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, tmp_path / "style.onnx")
    network = style.load(tmp_path / "style.onnx")
    random = np.random.default_rng(1)
    used = set()
    for _ in range(60):
        image = random.random((8, 12, 3)).astype(np.float32)
        output = network(image)
        tint = float((output / image).mean())
        assert np.allclose(output, image * tint, atol=1e-6)
        used.add(round(tint * (style.STYLES - 1), 3))
        assert np.array_equal(output, network(image))
    assert used <= set(range(style.STYLES))  # a single style, not a mixture of them
    assert len(used) > style.STYLES // 2


def test_dat_needs_its_wheel(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="_dat_arch"):
        dat.load(tmp_path, 4)


@pytest.mark.parametrize("upsampler", ["nearest", "bilinear", "deconvolution", "shuffle"])
def test_autoencoders_keep_the_size(upsampler: Upsampler) -> None:
    torch.manual_seed(0)
    network = autoencoder.as_network(Autoencoder(upsampler))
    assert network(np.zeros((12, 20, 3), np.float32)).shape == (12, 20, 3)


def test_training_learns_and_can_be_repeated(tmp_path: Path) -> None:
    images = [scene(np.random.default_rng(seed), 110, 130) for seed in range(4)]
    patch = images[0][:96, :96].astype(np.float32) / 255

    def error(network: object) -> float:
        return float(np.abs(network(patch) - patch).mean())  # type: ignore[operator]

    steps: list[int] = []
    trained = autoencoder.train(images, "shuffle", 40, 3, steps.append)
    assert steps == list(range(1, 41))
    torch.save(trained.state_dict(), tmp_path / "a.pt")
    torch.manual_seed(3)
    untrained = error(autoencoder.as_network(Autoencoder("shuffle")))
    assert error(autoencoder.load(tmp_path / "a.pt", "shuffle")) < 0.6 * untrained
    first, again = (autoencoder.train(images, "shuffle", 2, 3) for _ in range(2))
    other = autoencoder.train(images, "shuffle", 2, 4)
    key = "decoder.0.weight"
    assert torch.equal(first.state_dict()[key], again.state_dict()[key])
    assert not torch.equal(first.state_dict()[key], other.state_dict()[key])


def test_training_needs_images_as_large_as_its_patches() -> None:
    with pytest.raises(ValueError, match="96-pixel patches"):
        autoencoder.train([np.zeros((95, 200, 3), np.uint8)], "nearest", 1, 0)

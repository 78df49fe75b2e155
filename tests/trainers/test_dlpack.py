"""Tensors and arrays share memory; devices and streams are torch's."""

import numpy as np
import pytest
import torch

from assay.kernels import FlatImages, crop_resize, window_scores
from assay.trainers import dlpack as bridge


def test_memory_is_shared_both_ways() -> None:
    tensor = torch.arange(6.0).reshape(2, 3)
    seen: list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]] = []

    def kernel(array: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> object:
        seen.append(array)
        return array

    back = bridge.call(kernel, tensor)
    assert isinstance(seen[0], np.ndarray)
    tensor[0, 0] = 42
    assert seen[0][0, 0] == 42
    assert back[0, 0] == 42


def test_tensors_are_found_in_lists_tuples_and_options() -> None:
    images = [torch.zeros(20, 30, 3, dtype=torch.uint8), torch.full((9, 9, 3), 255, dtype=torch.uint8)]
    boxes = torch.tensor([[[0, 0, 8, 8]], [[1, 1, 9, 9]]], dtype=torch.int32)
    cut = bridge.call(crop_resize, images, boxes, 8, mean=(0.5, 0.5, 0.5))
    assert cut.shape == (2, 3, 8, 8)
    assert (cut[0] == -0.5).all()
    assert (cut[1] == 0.5).all()
    flat = FlatImages(
        torch.cat([image.flatten() for image in images]),
        torch.tensor([0, images[0].numel()]),
        torch.tensor([[20, 30], [9, 9]], dtype=torch.int32),
    )
    assert torch.equal(bridge.call(crop_resize, images=flat, boxes=boxes, size=8), cut + 0.5)


def test_several_outputs_come_back_as_tensors() -> None:
    one, (other, text) = bridge.call(lambda array: (array, [array + 1, "as it is"]), torch.ones(2))
    assert torch.equal(one, torch.ones(2))
    assert torch.equal(other, torch.full((2,), 2.0))
    assert text == "as it is"


def test_gradients_stop() -> None:
    maps = torch.rand(2, 7, 7, requires_grad=True)
    assert not bridge.call(window_scores, maps, 3).requires_grad


def test_a_strided_tensor_is_understood() -> None:
    maps = torch.rand(7, 7, 2)
    scores = bridge.call(window_scores, maps.permute(2, 0, 1), 3)
    assert torch.allclose(scores, torch.nn.functional.avg_pool2d(maps.permute(2, 0, 1), 3, 1), atol=1e-6)


def test_errors_of_kernels_come_through() -> None:
    with pytest.raises(ValueError, match="activation"):
        bridge.call(window_scores, torch.zeros(2, 7, 7, dtype=torch.float64), 3)


@pytest.mark.gpu
def test_kernels_run_on_torchs_device_and_stream() -> None:
    """The kernel must see what torch queued before it on a side stream, without a wait in between."""
    maps = torch.rand(64, 7, 7)
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    with torch.cuda.stream(stream):
        torch.cuda._sleep(50_000_000)
        scores = bridge.call(window_scores, maps.cuda(non_blocking=True), 3)
        doubled = scores * 2
    stream.synchronize()
    expected = 2 * bridge.call(window_scores, maps, 3)
    assert doubled.device.type == "cuda"
    assert torch.allclose(doubled.cpu(), expected, atol=1e-6)

"""Running a network on images of any size: sizes kept, tiles without seams, values rounded."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.ndimage import uniform_filter
from support.photos import scene

from assay.trainers.benchmark.generators.network import Planes, reconstruct, to_pixels

BOX = Image.Resampling.BOX


@settings(max_examples=30)
@given(st.integers(1, 70), st.integers(1, 70), st.sampled_from([1, 2, 3, 4]), st.integers(0, 99))
def test_a_network_sees_multiples_of_four_and_the_size_is_kept(
    height: int, width: int, scale: int, seed: int
) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)

    def network(planes: Planes) -> Planes:
        assert planes.shape[0] % 4 == planes.shape[1] % 4 == 0
        assert planes.dtype == np.float32
        assert 0 <= planes.min() <= planes.max() <= 1
        return planes.repeat(scale, axis=0).repeat(scale, axis=1)

    output = reconstruct(network, image, scale, BOX, tiled=True)
    assert output.shape == image.shape
    assert output.dtype == np.uint8
    if scale == 1:
        assert np.array_equal(output, image)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_blocks_survive_a_box_and_nearest_neighbours(scale: int) -> None:
    blocks = np.random.default_rng(0).integers(0, 256, (31, 17, 3), dtype=np.uint8)
    image = blocks.repeat(scale, axis=0).repeat(scale, axis=1)

    def network(planes: Planes) -> Planes:
        return planes.repeat(scale, axis=0).repeat(scale, axis=1)

    assert np.array_equal(reconstruct(network, image, scale, BOX, tiled=True), image)


def test_tiles_have_no_seams() -> None:
    """A network that looks 15 pixels far gives the same with tiles as without."""
    image = scene(np.random.default_rng(1), 700, 930)
    sizes = set()

    def blur(planes: Planes) -> Planes:
        sizes.add(planes.shape)
        blurred = uniform_filter(planes.astype(np.float64), (31, 31, 0), mode="nearest")
        return blurred.repeat(2, axis=0).repeat(2, axis=1).astype(np.float32)

    tiled = reconstruct(blur, image, 2, BOX, tiled=True)
    assert max(max(shape) for shape in sizes) <= 160
    untiled = reconstruct(blur, image, 2, BOX, tiled=False)
    assert np.abs(tiled.astype(int) - untiled).max() <= 1  # rounding of a running sum
    assert np.mean(tiled != untiled) < 1e-3


def test_pixels_are_clipped_and_rounded() -> None:
    planes = np.array([[[-3.0, 0.4999 / 255, 0.5001 / 255], [1.0, 254.4 / 255, 7.0]]], np.float32)
    assert to_pixels(planes).tolist() == [[[0, 0, 1], [255, 254, 255]]]

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from support import kernel_oracles as oracle
from support.cuda_host import gpu_on_host, on_host_gpu

from assay.kernels import patch_boxes, select_windows, window_scores

map_shapes = st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(1, 9))
activations = st.floats(0, 1000, width=32)
tied = st.sampled_from([0.0, 1.0, 2.0, 3.0])


def both_forms(function, *arguments):
    yield function(*arguments)
    with gpu_on_host():
        yield function(*(on_host_gpu(a) if isinstance(a, np.ndarray) else a for a in arguments))


@settings(deadline=None)
@given(arrays.arrays(np.float32, map_shapes, elements=activations), st.data())
def test_scores_are_means_and_the_same_to_the_last_bit(activation: np.ndarray, data: st.DataObject) -> None:
    window = data.draw(st.integers(1, min(activation.shape[1:])))
    expected = oracle.window_scores(activation, window)
    cpu, cuda = both_forms(window_scores, activation, window)
    assert cpu.dtype == np.float32
    smallest = float(np.finfo(np.float32).tiny)  # below it float32 has fewer digits
    np.testing.assert_allclose(cpu, expected, rtol=1e-5, atol=smallest)
    np.testing.assert_array_equal(cpu, cuda)


@settings(max_examples=300, deadline=None)
@given(arrays.arrays(np.float32, map_shapes, elements=activations | tied), st.integers(1, 5))
def test_windows_are_picked_as_published(scores: np.ndarray, count: int) -> None:
    before = scores.copy()
    expected = oracle.select_windows(scores, count)
    for picked in both_forms(select_windows, scores, count):
        assert picked.dtype == np.int32
        np.testing.assert_array_equal(picked, expected)
    np.testing.assert_array_equal(scores, before)


@settings(max_examples=200, deadline=None)
@given(arrays.arrays(np.float32, map_shapes, elements=tied), st.integers(1, 5))
def test_ties_are_broken_as_published(scores: np.ndarray, count: int) -> None:
    expected = oracle.select_windows(scores, count)
    for picked in both_forms(select_windows, scores, count):
        np.testing.assert_array_equal(picked, expected)


@pytest.mark.parametrize("value", [0.0, 3.5])
def test_a_flat_map_gives_the_first_window_every_time(value: float) -> None:
    for picked in both_forms(select_windows, np.full((2, 5, 5), value, np.float32), 3):
        assert not picked.any()


def test_a_tie_far_away_goes_with_its_surroundings() -> None:
    scores = np.zeros((1, 5, 5), np.float32)
    scores[0, 0, 0] = scores[0, 4, 4] = 9
    scores[0, 3, 3], scores[0, 0, 3] = 5, 1
    for picked in both_forms(select_windows, scores, 2):
        assert picked.tolist() == [[[0, 0], [0, 3]]]


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_boxes_are_mapped_as_published(data: st.DataObject) -> None:
    map_size = data.draw(st.integers(1, 16))
    window = data.draw(st.integers(1, map_size))
    patch = data.draw(st.integers(1, 400) | st.sampled_from([112, 224]))
    side = st.integers(1, 300) | st.integers(1, 20_000)
    images = data.draw(st.lists(st.tuples(side, side), min_size=1, max_size=3))
    cell = st.integers(0, map_size - window)
    count = data.draw(st.integers(1, 3))
    windows = data.draw(arrays.arrays(np.int32, (len(images), count, 2), elements=cell))
    expected = [
        [oracle.patch_box(cell, window, map_size, image, patch) for cell in cells]
        for cells, image in zip(windows, images, strict=True)
    ]
    arguments = (windows, window, map_size, np.array(images, np.int32), patch)
    for boxes in both_forms(patch_boxes, *arguments):
        assert boxes.dtype == np.int32
        assert boxes.tolist() == expected


@pytest.mark.parametrize(
    ("side", "window", "patch", "starts"),
    [
        (256, 3, 224, {0, 16, 32}),
        (256, 2, 112, {0, 17, 53, 90, 126, 144}),
        (512, 3, 224, {0, 70, 144, 217, 288}),
        (512, 2, 112, {17, 90, 163, 236, 309, 382}),
        (224, 3, 224, {0}),
    ],
)
def test_boxes_start_where_the_published_model_starts_them(side, window, patch, starts: set[int]) -> None:
    cells = np.array([[[cell, cell] for cell in range(7 - window + 1)]], np.int32)
    for boxes in both_forms(patch_boxes, cells, window, 7, np.array([[side, side]], np.int32), patch):
        assert set(boxes[0, :, 0].tolist()) == starts
        assert (boxes[0, :, 2:] - boxes[0, :, :2] == min(side, patch)).all()


@pytest.mark.parametrize("map_size", [6, 11, 14])
def test_centres_are_truncated_in_float32(map_size: int) -> None:
    """7/12 of 108 is 63, but 62.999996 in float32; on a map of 7 cells both happen to agree everywhere."""
    sides = np.arange(1, 500, dtype=np.int32)
    cells = range(map_size - 2)
    windows = np.tile(np.array([[cell, cell] for cell in cells], np.int32), (len(sides), 1, 1))
    expected = [[oracle.patch_box((c, c), 3, map_size, (s, s), 1)[0] for c in cells] for s in sides.tolist()]
    assert expected != [[s * (2 * c + 3) // (2 * map_size) for c in cells] for s in sides.tolist()]
    for boxes in both_forms(patch_boxes, windows, 3, map_size, np.stack([sides, sides], axis=1), 1):
        assert boxes[:, :, 0].tolist() == expected


MAP = np.ones((2, 7, 7), np.float32)
CELLS = np.zeros((2, 3, 2), np.int32)
SIZES = np.full((2, 2), 300, np.int32)


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (window_scores, (MAP[0], 3), r"activation must be \(B, H, W\) float32"),
        (window_scores, (MAP.astype(np.float64), 3), "activation .* float64"),
        (window_scores, (np.where(MAP, np.nan, MAP), 3), "activation holds NaN"),
        (window_scores, (MAP, 8), r"window must lie in 1\.\.7"),
        (window_scores, (MAP, 0), "window must lie"),
        (window_scores, (MAP.tolist(), 3), "activation must be a NumPy or CuPy array"),
        (select_windows, (MAP[:, :0], 3), "scores must be .* without an empty axis"),
        (select_windows, (np.where(MAP, np.nan, MAP), 3), "scores holds NaN"),
        (select_windows, (MAP, 0), "count must be at least 1"),
        (patch_boxes, (CELLS.astype(np.int64), 3, 7, SIZES, 224), "windows .* int64"),
        (patch_boxes, (CELLS, 3, 7, SIZES[:1], 224), r"image_sizes must be \(2, 2\) int32"),
        (patch_boxes, (CELLS, 3, 7, SIZES * 0, 224), "image_sizes must be at least 1"),
        (patch_boxes, (CELLS + 5, 3, 7, SIZES, 224), r"windows must lie in 0\.\.4"),
        (patch_boxes, (CELLS - 1, 3, 7, SIZES, 224), "windows must lie"),
        (patch_boxes, (CELLS, 8, 7, SIZES, 224), "window must lie"),
        (patch_boxes, (CELLS, 3, 7, SIZES, 0), "patch must be at least 1"),
    ],
)
def test_names_the_argument_that_is_wrong(function, arguments, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        function(*arguments)


def test_refuses_arrays_of_two_places() -> None:
    with gpu_on_host(), pytest.raises(ValueError, match=r"image_sizes lives on the host"):
        patch_boxes(on_host_gpu(CELLS), 3, 7, SIZES, 224)

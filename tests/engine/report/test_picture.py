"""Pictures for people: turned as EXIF says, places of the stored image found again in them."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps
from support.images import encode, good

from assay.engine.report.picture import ORIENTATION, orientation_of, picture, small_and_turned


def marked(orientation: int) -> bytes:
    """A PNG of 60 x 90 pixels, white at rows 12 to 24 and columns 60 to 81, with an EXIF orientation."""
    pixels = np.zeros((60, 90, 3), np.uint8)
    pixels[12:24, 60:81] = 255
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return encode(pixels, "PNG", exif=exif)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("side", [90, 180, 45])
def test_a_box_lies_where_pillow_shows_it(orientation: int, side: int) -> None:
    data = marked(orientation)
    with Image.open(io.BytesIO(data)) as image:
        stored = np.asarray(image)
        shown = np.asarray(ImageOps.exif_transpose(image))[..., 0] > 0
    assert orientation_of(data) == orientation
    found = picture(stored, orientation, side)
    scale = side / 90
    assert found.image.size == (shown.shape[1] * scale, shown.shape[0] * scale)
    rows, columns = (np.flatnonzero(shown.any(axis=axis)) for axis in (1, 0))
    expected = np.array((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)) * scale
    assert found.box(12, 60, 24, 81) == pytest.approx(expected.tolist())
    left, top, right, bottom = (round(edge) for edge in found.box(12, 60, 24, 81))
    bright = np.asarray(found.image)[..., 0] > 127
    assert bright[top + 1 : bottom - 1, left + 1 : right - 1].all()
    assert bright.sum() == pytest.approx((right - left) * (bottom - top), rel=0.15)


@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(1, 800))
def test_no_size_is_too_odd(height: int, width: int, side: int) -> None:
    image = small_and_turned(Image.new("RGB", (width, height)), 6, side)
    assert 1 <= max(image.size) <= max(1, side)


def test_pixels_of_small_images_become_squares() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 5, 3), np.uint8)
    found = np.asarray(picture(pixels, 1, 17).image)
    assert np.array_equal(found, pixels.repeat(3, axis=0).repeat(3, axis=1))


def test_metadata_that_say_nothing_lawful_turn_nothing() -> None:
    assert [orientation_of(marked(number)) for number in (0, 9, 77)] == [1, 1, 1]
    assert [orientation_of(data) for data in (b"", b"no image", b"\xff\xd8\xff")] == [1, 1, 1]
    for sample in good().values():
        assert orientation_of(sample.data) in range(1, 9)

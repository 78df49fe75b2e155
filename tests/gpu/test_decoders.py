"""The decoders of a GPU against libjpeg-turbo: pixels, refusals, and where the pixels lie."""

from typing import Literal

import numpy as np
import pytest
from support.images import encode, evil, good, photograph

from assay.engine.admission import admit
from assay.engine.decode import Decoder, Encoded, make_decoder
from assay.engine.outcome import Refused
from assay.engine.settings import Limits

pytestmark = pytest.mark.gpu
cupy = pytest.importorskip("cupy")


@pytest.fixture(scope="module", params=["turbo", "dali", "nvimgcodec"])
def name(request: pytest.FixtureRequest) -> Literal["turbo", "dali", "nvimgcodec"]:
    found: Literal["turbo", "dali", "nvimgcodec"] = request.param
    return found


@pytest.fixture(scope="module")
def decoder(name: Literal["turbo", "dali", "nvimgcodec"]) -> Decoder:
    return make_decoder(name, gpu=True, threads=2)


def encoded(data: bytes) -> Encoded:
    return data, admit(data, Limits(), 1)


def test_pixels_are_those_of_libjpeg_turbo_but_for_rounding(decoder: Decoder) -> None:
    images = good()
    results = decoder.decode([encoded(image.data) for image in images.values()])
    for (name, image), pixels in zip(images.items(), results, strict=True):
        assert isinstance(pixels, cupy.ndarray), name
        assert pixels.dtype == np.uint8
        apart = np.abs(pixels.get().astype(int) - image.pixels)
        if name.startswith("jpeg"):
            assert apart.max() <= 6, name
            assert apart.mean() <= 0.6, name
        else:
            np.testing.assert_array_equal(apart, 0)


def test_evil_images_are_refused_and_their_neighbours_are_not(decoder: Decoder) -> None:
    whole = encode(photograph(384, 512))
    kept = decoder.decode([encoded(whole)])[0]
    decoded = 0
    for name, image in evil().items():
        try:
            bad = encoded(image.data)
        except Refused:
            continue
        first, refused, last = decoder.decode([encoded(whole), bad, encoded(whole)])
        assert isinstance(refused, Refused), name
        for pixels in (first, last):
            assert not isinstance(pixels, Refused)
            assert bool((pixels == kept).all()), name
        decoded += 1
    assert decoded > len(evil()) // 2, "admission alone refuses the others"


def test_pixels_are_ready_on_the_current_stream_and_stay(decoder: Decoder) -> None:
    """A consumer on the same stream needs no waiting; a later batch does not write into an earlier one."""
    data = [encode(photograph(200 + 8 * seed, 300, seed)) for seed in range(6)]
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        first = decoder.decode([encoded(one) for one in data])
        sums = [pixels.sum(dtype=np.int64) for pixels in first if not isinstance(pixels, Refused)]
        decoder.decode([encoded(one) for one in reversed(data)])
        again = [pixels.sum(dtype=np.int64) for pixels in first if not isinstance(pixels, Refused)]
        assert len(sums) == len(data)
        assert [int(value) for value in sums] == [int(value) for value in again]

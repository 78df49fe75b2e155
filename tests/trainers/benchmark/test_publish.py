"""Publication: one draw does the same to every image; a repeated compression leaves the same traces."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, JpegImagePlugin
from support.photos import scene

from assay.trainers.benchmark.publish import History, Publication, draw, history


@given(st.integers(0, 2**32))
def test_draws_repeat_and_stay_in_range(seed: int) -> None:
    publication = draw(np.random.default_rng(seed))
    assert publication == draw(np.random.default_rng(seed))
    assert publication.quality is None or 50 <= publication.quality <= 98
    assert 0.6 <= publication.resize <= 1.3
    assert draw(np.random.default_rng(seed), lossless=False).quality is not None


def test_draws_have_the_stated_shares() -> None:
    random = np.random.default_rng(5)
    draws = [draw(random) for _ in range(4000)]
    qualities = [one.quality for one in draws if one.quality is not None]
    # Standard errors are below 0.01: five of them.
    assert abs(1 - len(qualities) / 4000 - 0.25) < 0.04
    assert abs(np.mean([one.resize != 1 for one in draws]) - 0.25) < 0.04
    assert abs(np.mean([80 <= quality <= 96 for quality in qualities]) - (0.6 + 0.4 * 17 / 49)) < 0.05
    assert abs(np.mean([one.subsampling == "4:2:0" for one in draws]) - 0.75) < 0.04


def test_two_images_are_stored_alike(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    for number in range(12):
        publication = draw(random)
        first, second = scene(random, 70, 90), scene(random, 70, 90, synthetic=True)
        paths = [tmp_path / f"{number}-{name}{publication.suffix}" for name in ("real", "fake")]
        sizes = [publication.save(image, path) for image, path in zip((first, second), paths, strict=True)]
        opened = [Image.open(path) for path in paths]
        assert sizes[0] == sizes[1] == opened[0].size == opened[1].size
        assert opened[0].format == opened[1].format
        if isinstance(opened[0], JpegImagePlugin.JpegImageFile):
            assert isinstance(opened[1], JpegImagePlugin.JpegImageFile)
            assert opened[0].quantization == opened[1].quantization
            assert JpegImagePlugin.get_sampling(opened[0]) == JpegImagePlugin.get_sampling(opened[1])
        for image in opened:
            image.close()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_lossless_is_lossless(tmp_path: Path) -> None:
    image = scene(np.random.default_rng(2), 33, 47)
    Publication(None, "4:2:0").save(image, tmp_path / "a.png")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "a.png")), image)


def _stored(image: np.ndarray, subsampling: str) -> tuple[np.ndarray, History]:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=70, subsampling=subsampling)
    with Image.open(buffer) as picture:
        past = history(picture)
        assert past is not None
        return np.asarray(picture.convert("RGB")), past


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:0"])
def test_a_crop_on_the_grid_has_its_history_already(subsampling: str) -> None:
    """Compressing again on the same grid changes little; off the grid, or a clean image, much more."""
    image = scene(np.random.default_rng(3), 160, 160)
    decoded, past = _stored(image, subsampling)

    def change(crop: np.ndarray, past: History = past) -> float:
        return float(np.abs(past.repeat(crop).astype(int) - crop).mean())

    on, off = decoded[16:144, 32:144], decoded[20:148, 35:147]
    assert change(on) < 0.5 * change(off), subsampling
    assert change(on) < 0.5 * change(image[16:144, 32:144]), subsampling


@pytest.mark.parametrize(("mode", "kind"), [("RGB", "PNG"), ("L", "JPEG"), ("CMYK", "JPEG")])
def test_only_colour_jpegs_have_a_history(mode: str, kind: str) -> None:
    image = Image.fromarray(scene(np.random.default_rng(4), 32, 32))
    buffer = io.BytesIO()
    image.convert(mode).save(buffer, kind)
    with Image.open(buffer) as picture:
        assert history(picture) is None, (mode, kind)

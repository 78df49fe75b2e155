"""Sweeps and treatments: the same each time, whatever came before, and what their names say."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.bundles import plain_bundle
from support.photos import scene

from assay.engine.bundle import Bundle
from assay.engine.errors import SetupError
from assay.trainers.audit.audit import jpeg_quality, look_at
from assay.trainers.data.samples import Sample
from assay.trainers.evaluate.score import score
from assay.trainers.evaluate.sweep import SWEEPS, Crop, chosen
from assay.trainers.evaluate.treatment import ALIKE, AS_STORED
from assay.trainers.export.bundle import graphs_of

PIXELS = scene(np.random.default_rng(0), 60, 90)
LEVELS = [(sweep.name, level) for sweep in SWEEPS.values() for level in sweep.levels]


@pytest.mark.parametrize(("name", "level"), LEVELS)
def test_levels_repeat_and_alter(name: str, level: object) -> None:
    once, again = level(PIXELS), level(PIXELS.copy())  # type: ignore[operator]
    assert np.array_equal(once, again)
    assert once.dtype == np.uint8
    assert once.shape[2] == 3
    assert once.shape != PIXELS.shape or not np.array_equal(once, PIXELS)
    assert (once.shape == PIXELS.shape) == (name in ("jpeg", "webp", "blur"))


def test_a_level_does_what_its_name_says() -> None:
    levels = {(name, level.name): level(PIXELS) for name, level in LEVELS}
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, "JPEG", quality=60)
    assert np.array_equal(levels["jpeg", "quality 60"], np.asarray(Image.open(buffer)))
    assert levels["resize", "times 0.5"].shape == (30, 45, 3)
    half = Image.fromarray(PIXELS).resize((45, 30), Image.Resampling.BICUBIC)
    png, jpeg = io.BytesIO(), io.BytesIO()
    half.save(png, "PNG")
    Image.open(png).save(jpeg, "JPEG", quality=70)
    assert np.array_equal(levels["screenshot", "shown at 0.5, PNG, JPEG 70"], np.asarray(Image.open(jpeg)))
    assert np.array_equal(levels["crop", "0.5 of a side"], PIXELS[15:45, 22:67])
    assert Crop(0.1)(PIXELS[:1, :1], np.random.default_rng(0)).shape == (1, 1, 3)


def test_names() -> None:
    assert [sweep.name for sweep in chosen("blur, jpeg,blur")] == ["blur", "jpeg"]
    for wrong in ("rotate", "jpeg,", ","):
        with pytest.raises(SetupError, match=r"no sweep named .* choose of jpeg,webp,blur"):
            chosen(wrong)


def written(folder: Path, name: str, width: int, height: int) -> Sample:
    Image.fromarray(scene(np.random.default_rng(1), height, width)).save(folder / name)
    return Sample(folder / name, 0, "", "", "")


def test_alike_reduces_and_compresses(tmp_path: Path) -> None:
    small, large = written(tmp_path, "s.png", 90, 60), written(tmp_path, "l.png", 1300, 20)
    nothing = Sample(tmp_path / "text.png", 0, "", "", "")
    nothing.path.write_text("no image")
    alter = ALIKE.alter
    assert alter is not None
    assert AS_STORED.alter is None
    assert alter(PIXELS).shape == PIXELS.shape
    wide = alter(np.asarray(Image.open(large.path)))
    assert wide.shape == (16, 1024, 3)
    seen = [
        (file.format, file.width, file.height, file.quality)
        for file in ALIKE.outside([small, nothing, large])
    ]
    assert seen == [("JPEG", 90, 60, 80), ("JPEG", 1024, 16, 80)]
    assert AS_STORED.outside([small, nothing]) == [look_at(small)]
    assert ALIKE.settings is not None
    with Image.open(io.BytesIO(ALIKE.settings.encode(PIXELS))) as image:
        assert jpeg_quality(image.quantization[0]) == 80  # type: ignore[attr-defined]


def test_what_a_level_leaves_too_small_or_cannot_make_is_refused(tmp_path: Path) -> None:
    """The bundle takes 8 pixels and more; a WebP has 16383 at most. Neighbours keep their scores."""
    bundle = Bundle.load(plain_bundle(tmp_path / "bundle"))
    tiny, wide, normal = (
        written(tmp_path, name, *size)
        for name, size in (("t.png", (12, 12)), ("w.png", (16400, 8)), ("n.png", (40, 40)))
    )
    graphs = graphs_of(bundle)
    plain = score([tiny, wide, normal], bundle.manifest, graphs)
    assert plain.unreadable == ()
    webp, cropped = SWEEPS["webp"].levels[0], SWEEPS["crop"].levels[2]
    assert score([tiny, wide, normal], bundle.manifest, graphs, alter=webp).unreadable == (wide.path,)
    left = score([tiny, wide, normal], bundle.manifest, graphs, alter=cropped)
    assert left.unreadable == (tiny.path, wide.path)
    assert left.samples == (normal,)

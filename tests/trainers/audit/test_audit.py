"""`assay audit`: leaks that are put in are found, those that are not are not; re-encoding removes them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.command import exit_code
from support.photos import scene

from assay.engine.errors import SetupError
from assay.trainers.audit.audit import File, audit, best_rule, jpeg_quality
from assay.trainers.audit.reencode import ReencodeSettings, reencode
from assay.trainers.data import manifest
from assay.trainers.data.samples import Sample, read_samples


def tree(
    root: Path, photos: list[tuple[int, int, str, int]], synthetic: list[tuple[int, int, str, int]]
) -> Path:
    """Images of (width, height, suffix, quality) in GenImage's layout."""
    rng = np.random.default_rng(0)
    for folder, images in (("nature", photos), ("ai", synthetic)):
        target = root / "adm/imagenet_ai_0508_adm/train" / folder
        target.mkdir(parents=True)
        for number, (width, height, suffix, quality) in enumerate(images):
            options = {"quality": quality} if suffix != ".png" else {}
            Image.fromarray(scene(rng, height, width)).save(target / f"{number}{suffix}", **options)
    return root


def leaky(root: Path) -> Path:
    """GenImage's leak: photographs are JPEGs of many sizes, synthetic images PNGs of one."""
    photos = [(60 + 3 * number, 50 + 2 * number, ".JPEG", 70 + number) for number in range(10)]
    return tree(root, photos, [(64, 64, ".png", 0)] * 10)


def rules_of(found: Any) -> dict[str, Any]:
    return {rule.feature: rule for rule in found.rules["all"]}


def test_a_leak_is_found_with_its_number(tmp_path: Path) -> None:
    found = audit(read_samples(leaky(tmp_path)))
    rules = rules_of(found)
    assert (rules["format"].accuracy, rules["format"].text) == (1.0, "format is not JPEG")
    assert (rules["height"].accuracy, rules["height"].text) == (0.95, "height is 64")  # one photograph has it
    assert rules["quality"].accuracy == 1.0
    assert all(rule.separates for rule in rules.values())
    assert found.rules["adm"] == found.rules["all"]


def test_files_alike_tell_nothing(tmp_path: Path) -> None:
    kinds = [(60, 50, ".jpg", 80), (64, 64, ".png", 0), (90, 70, ".jpg", 95)]
    found = audit(read_samples(tree(tmp_path, kinds, kinds)))
    assert {(rule.accuracy, rule.text) for rule in found.rules["all"]} == {(0.5, "")}


def files(label: int, widths: list[int]) -> list[File]:
    return [File(Sample(Path(), label, "", "g", "g"), "PNG", width, 1, None) for width in widths]


def test_sizes_that_never_repeat_are_not_learnt_by_heart() -> None:
    """A list of every width would be right for all; a border is right for half."""
    rule = best_rule(files(0, [10, 30, 50, 70]) + files(1, [20, 40, 60, 80]), "width")
    assert rule.accuracy == pytest.approx(0.625)


def test_a_border_between_sizes_is_found_and_classes_weigh_the_same() -> None:
    rule = best_rule(files(0, [100, 101, 102, 103] * 50) + files(1, [90, 91, 92, 101]), "width")
    assert rule.accuracy == pytest.approx((3 / 4 + 1) / 2)
    assert rule.text == "width is at most 92"
    assert best_rule(files(1, [1, 2]), "width").text == ""


@pytest.mark.parametrize("quality", [1, 10, 49, 50, 75, 93, 100])
def test_jpeg_quality_is_read_from_the_tables(tmp_path: Path, quality: int) -> None:
    Image.fromarray(scene(np.random.default_rng(0), 32, 32)).save(tmp_path / "x.jpg", quality=quality)
    with Image.open(tmp_path / "x.jpg") as image:
        assert jpeg_quality(image.quantization[0]) == quality  # type: ignore[attr-defined]
    assert jpeg_quality([255] * 64) <= 5


def broken(root: Path) -> Path:
    leaky(root)
    whole = next(root.rglob("5.JPEG"))
    whole.write_bytes(whole.read_bytes()[:-200])
    (whole.parent / "text.JPEG").write_text("no image")
    return root


def test_corrupt_files_are_listed_and_do_not_count(tmp_path: Path) -> None:
    found = audit(read_samples(broken(tmp_path)))
    assert sorted(path.name for path in found.corrupt) == ["5.JPEG", "text.JPEG"]
    assert len(found.files) == 19


def test_reencoded_files_have_nothing_left_to_tell(tmp_path: Path) -> None:
    root, out = broken(tmp_path / "data"), tmp_path / "alike"
    twin = next(root.rglob("nature")) / "4.png"
    Image.fromarray(np.full((80, 80, 3), 9, np.uint8)).save(twin)
    written = reencode(read_samples(root), root, out, ReencodeSettings(quality=85, size=56))
    assert {path.name for path in written.small} == {f"{number}.JPEG" for number in range(3)}
    assert len(written.corrupt) == 2
    found = audit(read_samples(out))
    assert len(found.files) == written.files == 22 - 2 - 3
    assert {(rule.accuracy, rule.text) for rule in found.rules["all"]} == {(0.5, "")}
    assert {(file.format, file.width, file.height, file.quality) for file in found.files} == {
        ("JPEG", 56, 56, 85)
    }
    names = {path.relative_to(out).as_posix() for path in out.rglob("*.jpg")}
    folder = "adm/imagenet_ai_0508_adm/train"
    assert {f"{folder}/nature/4.jpg", f"{folder}/nature/4.png.jpg", f"{folder}/ai/0.jpg"} <= names
    with Image.open(out / folder / "ai/3.jpg") as image, Image.open(root / folder / "ai/3.png") as original:
        centre = np.asarray(original)[4:60, 4:60].astype(float)
        assert np.abs(np.asarray(image) - centre).mean() < 12  # the centre, not another part


def test_a_manifest_goes_along(tmp_path: Path) -> None:
    root, out = tmp_path / "data", tmp_path / "alike"
    (root / "train").mkdir(parents=True)
    common: Any = {"view": "crop", "pair": "p", "photo": "x", "source": "office", "scale": 1.0}
    records = []
    for name, label, family in (("train/a.png", "real", ""), ("train/b.jpg", "fake", "span")):
        Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(root / name)
        records.append(
            manifest.Record(name, label, "train", family=family, quality=None, width=30, height=20, **common)  # type: ignore[arg-type]
        )
    manifest.write(records, root)
    reencode(read_samples(root), root, out, ReencodeSettings(quality=70))
    assert [(one.path, one.quality, one.width) for one in manifest.read(out)] == [
        ("train/a.jpg", 70, 30),
        ("train/b.jpg", 70, 30),
    ]
    assert [sample.label for sample in read_samples(out)] == [0, 1]


def test_files_are_never_written_into_data(tmp_path: Path) -> None:
    root = leaky(tmp_path / "data")
    for out, reason in ((root / "inside", "inside"), (root / "adm", "not empty")):
        with pytest.raises(SetupError, match=reason):
            reencode(read_samples(root), root, out, ReencodeSettings(90))


def test_command(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    root = broken(tmp_path / "data")
    assert exit_code("audit", root, "--json", "--re-encode", tmp_path / "alike") == 0
    record = json.loads(capfd.readouterr().out)
    assert record["classes"]["synthetic"]["formats"] == {"PNG": 10}
    assert "all: calling an image synthetic if format is not JPEG is right for 100.0%" in record["warnings"]
    assert record["told"] == (
        "Without a look at a pixel, calling an image synthetic if format is not JPEG has a balanced accuracy "
        "of 100.0% on exactly these files."
    )
    assert len(record["corrupt"]) == record["written"]["corrupt"] == 2
    assert exit_code("audit", tmp_path / "alike") == 0
    shown = capfd.readouterr().out
    assert "0 corrupt files" in shown
    assert shown.startswith("Without a look at a pixel, calling an image synthetic if width is")
    assert "format is" not in shown  # what is left to tell them is size, which was not cut
    assert exit_code("audit", tmp_path / "nowhere") == 2
    assert exit_code("audit", root, "--size", 64) == 2

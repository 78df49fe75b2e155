"""Labels come from names of folders, never from their order; manifests say it all."""

from pathlib import Path

import numpy as np
import pytest
from support.photos import write_tree

from assay.engine.bundle import Calibration, Thresholds
from assay.engine.errors import SetupError
from assay.trainers.data import manifest
from assay.trainers.data.samples import Sample, of_split, read_samples
from assay.trainers.evaluate.metrics import Evaluation
from assay.trainers.evaluate.score import Scored


def test_cnn_detection_layout(tmp_path: Path) -> None:
    write_tree(
        tmp_path,
        {
            "train/car/0_real": 2,
            "train/car/1_fake": 1,
            "test/progan/cat/0_real": 1,
            "test/progan/cat/1_fake": 3,
            "test/san/1_fake": 1,
        },
    )
    samples = read_samples(tmp_path)
    found = [(sample.split, sample.group, sample.label) for sample in samples]
    assert sorted(found) == [
        *[("test", "progan", 0)],
        *[("test", "progan", 1)] * 3,
        *[("test", "san", 1)],
        *[("train", "car", 0)] * 2,
        *[("train", "car", 1)],
    ]
    assert {sample.pool for sample in of_split(samples, "test")} == {"progan", "san"}


def test_genimage_labels_are_not_alphabetical(tmp_path: Path) -> None:
    write_tree(tmp_path, {"adm/imagenet_ai/val/ai": 2, "adm/imagenet_ai/val/nature": 1})
    samples = read_samples(tmp_path)
    assert {(sample.path.parent.name, sample.label) for sample in samples} == {("ai", 1), ("nature", 0)}
    assert {(sample.split, sample.group) for sample in samples} == {("val", "adm")}


def test_the_innermost_class_folder_decides(tmp_path: Path) -> None:
    """Data sets are often unpacked below a folder that is called real or fake itself."""
    write_tree(tmp_path / "fake", {"train/real": 1, "train/fake": 1})
    assert [sample.label for sample in read_samples(tmp_path / "fake")] == [1, 0]
    assert sorted(sample.label for sample in read_samples(tmp_path)) == [0, 1]


def test_hidden_files_and_files_outside_classes_are_not_samples(tmp_path: Path) -> None:
    write_tree(tmp_path, {"train/real": 1})
    (tmp_path / "train/real/.DS_Store").write_bytes(b"x")
    (tmp_path / "train/readme.txt").write_text("x")
    assert [sample.path.name for sample in read_samples(tmp_path)] == ["0.png"]


def test_manifest(tmp_path: Path) -> None:
    common = {"view": "crop", "pair": "p", "photo": "office/1", "scale": 2.0, "quality": 90}
    size = {"width": 256, "height": 200}
    manifest.write(
        [
            manifest.Record("a.jpg", "real", "train", source="office", family="", **common, **size),
            manifest.Record("b.jpg", "fake", "test-1", source="office", family="span", **common, **size),
        ],
        tmp_path,
    )
    assert read_samples(tmp_path) == [
        Sample(tmp_path / "a.jpg", 0, "train", "office", "train/crop", "p", 200),
        Sample(tmp_path / "b.jpg", 1, "test-1", "span", "test-1/crop", "p", 200),
    ]


def test_small_images_are_left_out(tmp_path: Path) -> None:
    """By what a manifest says, else by the header; a file without one is left for the reader to report."""
    common = {"view": "whole", "photo": "office/1", "scale": 1.0, "quality": 90, "source": "office"}
    rows = [("a", 640, 426), ("b", 426, 640), ("c", 640, 425), ("d", 425, 640)]
    manifest.write(
        [
            manifest.Record(name, "real", "train", pair=name, family="", width=width, height=height, **common)
            for name, width, height in rows
        ],
        tmp_path,
    )
    assert [sample.path.name for sample in read_samples(tmp_path, 426)] == ["a", "b"]
    with pytest.raises(SetupError, match="shorter side of 641 pixels"):
        read_samples(tmp_path, 641)

    tree = write_tree(tmp_path / "tree", {"train/real": 2}, side=40)
    write_tree(tree, {"train/fake": 1}, side=41)
    (tree / "train/fake/broken.png").write_bytes(b"no image")
    assert [sample.path.name for sample in read_samples(tree, 41)] == ["0.png", "broken.png"]
    assert len(read_samples(tree, 40)) == 4


@pytest.mark.parametrize("content", [None, "nothing,here\n", ""])
def test_an_unusable_folder_is_one_sentence(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / manifest.FILE_NAME).write_text(content)
    with pytest.raises(SetupError, match=str(tmp_path)):
        read_samples(tmp_path)
    with pytest.raises(SetupError, match="not a folder"):
        read_samples(tmp_path / "missing")


def test_a_missing_split_names_those_there_are(tmp_path: Path) -> None:
    write_tree(tmp_path, {"test/x/real": 1, "valid/x/real": 1})
    with pytest.raises(SetupError, match="split train; the splits of this data: test, val"):
        of_split(read_samples(tmp_path), "train")


def test_data_without_splits_is_told_what_it_lacks(tmp_path: Path) -> None:
    write_tree(tmp_path, {"x/real": 1, "x/fake": 1})
    with pytest.raises(SetupError, match="split val; it has no folders named train or val"):
        of_split(read_samples(tmp_path), "val")


GENIMAGE = {
    "stable_diffusion_v_1_4": "imagenet_ai_0419_sdv4",
    "stable_diffusion_v_1_5": "imagenet_ai_0424_sdv5",
    "wukong": "imagenet_ai_0424_wukong",
    "ADM": "imagenet_ai_0508_adm",
    "BigGAN": "imagenet_ai_0419_biggan",
    "glide": "imagenet_glide",
    "Midjourney": "imagenet_midjourney",
    "VQDM": "imagenet_ai_0419_vqdm",
}


def test_genimage_as_it_is_unpacked(tmp_path: Path) -> None:
    """Each generator has photographs of its own, whether the whole or one part is read."""
    folders = [f"{part}/{inner}/{split}" for part, inner in GENIMAGE.items() for split in ("train", "val")]
    write_tree(tmp_path, {f"{folder}/{label}": 1 for folder in folders for label in ("ai", "nature")}, side=8)
    samples = read_samples(tmp_path)
    assert len(samples) == 32
    assert {sample.group for sample in samples} == set(GENIMAGE)
    assert all(sample.pool == sample.group for sample in samples)
    assert {sample.path.parent.name: sample.label for sample in samples} == {"nature": 0, "ai": 1}
    part = read_samples(tmp_path / "wukong")
    assert [(sample.split, sample.label) for sample in part] == [
        *(("train", 1), ("train", 0)),
        *(("val", 1), ("val", 0)),
    ]


DF_GENERATORS = ("adm", "dalle2", "diff-projectedgan", "iddpm", "if", "midjourney", "projectedgan", "sdv1")


def forensics(root: Path) -> Path:
    """DiffusionForensics: nine folders in the test scene, other scenes, and what was computed from them."""
    test = {f"images/test/lsun_bedroom/{name}": 2 for name in ("real", *DF_GENERATORS)}
    other = {"images/test/celebahq/real": 1, "images/test/celebahq/sdv2": 1}
    train = {"images/train/lsun_bedroom/real": 1, "images/train/lsun_bedroom/adm": 1}
    return write_tree(root, {**test, **other, **train, "dire/test/lsun_bedroom/adm": 1}, side=8)


def test_diffusion_forensics_shares_its_photographs(tmp_path: Path) -> None:
    (forensics(tmp_path) / "images/test/lsun_bedroom/readme.txt").write_text("no image")
    samples = read_samples(tmp_path)
    assert len(samples) == 18 + 2 + 2
    bedroom = [one for one in of_split(samples, "test") if one.pool == "lsun_bedroom"]
    assert {one.group for one in bedroom if one.label} == set(DF_GENERATORS)
    assert {one.group for one in bedroom if not one.label} == {"lsun_bedroom"}
    assert sum(not one.label for one in bedroom) == 2
    assert {one.group for one in samples if one.label and one.pool == "celebahq"} == {"sdv2"}
    scene = read_samples(tmp_path / "images/test/lsun_bedroom")
    assert len(scene) == 18
    assert {one.split for one in scene} == {""}


def test_every_generator_is_judged_against_the_shared_photographs(tmp_path: Path) -> None:
    samples = of_split(read_samples(forensics(tmp_path)), "test")
    bedroom = tuple(one for one in samples if one.pool == "lsun_bedroom")
    scored = Scored(bedroom, np.array([2.0 * one.label - 1 for one in bedroom]), np.zeros(len(bedroom), int))
    rows = Evaluation(scored, Calibration(), Thresholds(synthetic=0.5, authentic=0.4)).by_generator()
    assert [(row.name, row.photographs, row.synthetic) for row in rows] == [
        (name, 2, 2) for name in DF_GENERATORS
    ]
    assert {row.average_precision for row in rows} == {1.0}


def test_what_only_looks_like_shared_photographs(tmp_path: Path) -> None:
    """Classes beside `real`, or below its neighbours, leave the meaning of the other folders as it was."""
    write_tree(tmp_path / "one", {"train/real": 1, "train/fake": 1, "train/notes": 1}, side=8)
    assert [sample.label for sample in read_samples(tmp_path / "one")] == [1, 0]
    write_tree(tmp_path / "two", {"real": 1, "progan/cat/0_real": 1, "progan/cat/1_fake": 1}, side=8)
    assert [sample.label for sample in read_samples(tmp_path / "two")] == [0, 1, 0]


def test_dev_is_validation_data_by_source(tmp_path: Path) -> None:
    write_tree(tmp_path, {"train/0_real/a": 1, "dev/0_real/phones": 2, "dev/1_fake/gan": 1})
    held_out = of_split(read_samples(tmp_path), "val")
    assert [sample.group for sample in held_out] == ["phones", "phones", "gan"]

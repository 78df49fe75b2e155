"""The face paper's data sets: the reversed label column, and photographs split by their numbers."""

import csv
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from assay.engine.errors import SetupError
from assay.trainers.data import faces
from assay.trainers.data.samples import of_split, read_samples

HEADER = ["", "original_path", "id", "label", "label_str", "path"]


def write(*files: Path) -> None:
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(file)


def write_list(file: Path, rows: list[tuple[str, str, str]]) -> None:
    """Rows of label, label_str and path."""
    with file.open("w", newline="", encoding="utf-8") as content:
        table = csv.writer(content)
        table.writerow(HEADER)
        table.writerows([number, "/kaggle/x.jpg", number, *row] for number, row in enumerate(rows))


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """As Kaggle's archive unpacks."""
    images = tmp_path / "real_vs_fake/real-vs-fake"
    for split in ("train", "valid", "test"):
        write(images / split / "real/31355.jpg", images / split / "fake/0D3FHB1E0K.jpg")
        rows = [("1", "real", f"{split}/real/31355.jpg"), ("0", "fake", f"{split}/fake/0D3FHB1E0K.jpg")]
        write_list(tmp_path / f"{split}.csv", rows)
    return tmp_path


def test_real_is_real_though_its_label_is_one(archive: Path) -> None:
    samples = read_samples(archive)
    assert [(s.split, s.label, s.group) for s in samples if s.path.parent.name == "real"] == [
        ("test", 0, "ffhq"),
        ("train", 0, "ffhq"),
        ("val", 0, "ffhq"),
    ]
    assert {(s.label, s.group) for s in samples if s.path.parent.name == "fake"} == {(1, "stylegan")}
    assert all(sample.pool == f"{sample.split}/faces" for sample in samples)
    assert len(samples) == 6
    assert all(sample.path.is_file() for sample in samples)


def test_without_lists_folders_say_the_same(archive: Path) -> None:
    listed = {(sample.path, sample.label, sample.split) for sample in read_samples(archive)}
    for file in archive.glob("*.csv"):
        file.unlink()
    assert {(sample.path, sample.label, sample.split) for sample in read_samples(archive)} == listed


def test_lists_may_lie_beside_the_split_folders(archive: Path) -> None:
    inner = archive / "real_vs_fake/real-vs-fake"
    for file in archive.glob("*.csv"):
        file.rename(inner / file.name)
    assert len(read_samples(inner)) == 6


def test_only_what_is_listed_counts(archive: Path) -> None:
    write(archive / "real_vs_fake/real-vs-fake/train/real/2.jpg")
    assert len(of_split(read_samples(archive), "train")) == 2


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        (("0", "real", "train/real/31355.jpg"), "line 2: label 0 and label_str 'real'"),
        (("1", "fake", "train/fake/0D3FHB1E0K.jpg"), "line 2: label 1 and label_str 'fake'"),
        (("1", "photo", "train/real/31355.jpg"), "label_str 'photo'"),
        (("1", "real", "train/real/missing.jpg"), "missing.jpg is neither"),
    ],
)
def test_lists_that_cannot_be_trusted_are_refused(
    row: tuple[str, str, str], fault: str, archive: Path
) -> None:
    write_list(archive / "train.csv", [row])
    with pytest.raises(SetupError, match=fault):
        read_samples(archive)


def test_other_lists_leave_a_tree_a_tree(tmp_path: Path) -> None:
    write(tmp_path / "train/real/a.png", tmp_path / "train/fake/b.png")
    (tmp_path / "train.csv").write_text("path,label\ntrain/real/a.png,7\n")
    (tmp_path / "test.csv").write_bytes(b"\xff\xfe\x00")
    assert {(sample.path.name, sample.label) for sample in read_samples(tmp_path)} == {
        ("a.png", 0),
        ("b.png", 1),
    }


def test_both_classes_are_split_five_to_one_to_one(tmp_path: Path) -> None:
    photos = tmp_path / "ffhq/images1024x1024"
    numbers = ("00000", "49999", "50000", "59999", "60000", "69999")
    write(*(photos / f"{int(number) // 1000:02}000" / f"{number}.png" for number in numbers))
    write(*(tmp_path / "ffhq/thumbnails128x128" / f"{number}.png" for number in numbers))
    (tmp_path / "ffhq/images1024x1024/LICENSE.txt").write_text("x")
    folder = tmp_path / "1-million-fake-faces/1m_faces_00_01_02_03/1m_faces_00_01_02_03"
    generated = [folder / f"1m_faces_0{n % 4}/1m_faces_0{n % 4}" / f"{n:010}.jpg" for n in range(70)]
    write(*generated)
    samples = read_samples(tmp_path)
    real = {sample.path.stem: sample.split for sample in samples if not sample.label}
    assert real == dict(zip(numbers, ["train"] * 2 + ["val"] * 2 + ["test"] * 2, strict=True))
    synthetic = [sample for sample in samples if sample.label]
    assert sorted(sample.path for sample in synthetic) == sorted(generated)  # each once
    shares = Counter(sample.split for sample in synthetic)
    assert shares["train"] + shares["val"] + shares["test"] == 70
    assert all(3 <= shares[split] <= 20 for split in ("val", "test"))
    assert {sample.group for sample in samples} == {"ffhq", "stylegan"}
    moved = tmp_path.with_name("moved")
    tmp_path.rename(moved)
    assert [(s.path.relative_to(moved), s.split) for s in read_samples(moved)] == [
        (s.path.relative_to(tmp_path), s.split) for s in samples
    ]


def test_thumbnails_stand_in_and_photographs_alone_are_no_data_set(tmp_path: Path) -> None:
    write(tmp_path / "thumbnails128x128/00000/00001.png")
    assert faces.nested(tmp_path) == []
    write(tmp_path / "1m_faces_03/ABC.jpg")
    assert [sample.path.name for sample in read_samples(tmp_path)] == ["ABC.jpg", "00001.png"]

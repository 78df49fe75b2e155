"""The manifest: what is written is read back, and what is no manifest is refused by line."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.trainers.data import manifest
from assay.trainers.data.manifest import ManifestError, Record

TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=20)

RECORDS = st.builds(
    Record,
    path=TEXT,
    label=st.sampled_from(["real", "fake"]),
    split=st.sampled_from(["train", "val", "test-1", "test-2", "test-3"]),
    view=st.sampled_from(["crop", "whole", "face"]),
    pair=TEXT,
    photo=TEXT,
    source=TEXT,
    family=st.sampled_from(["", "span_x4"]),
    scale=st.floats(1, 100),
    quality=st.none() | st.integers(1, 100),
    width=st.integers(1, 10_000),
    height=st.integers(1, 10_000),
)


@given(st.lists(RECORDS, max_size=5))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, records: list[Record]) -> None:
    folder = tmp_path_factory.mktemp("manifest")
    manifest.write(records, folder)
    assert manifest.read(folder) == sorted(records, key=lambda record: record.path)
    assert [path.name for path in folder.iterdir()] == [manifest.FILE_NAME]


def _write(folder: Path, **changes: object) -> None:
    row = {
        "path": "a.jpg", "label": "real", "split": "val", "view": "crop", "pair": "p", "photo": "o",
        "source": "s", "family": "", "scale": "1.0", "quality": "", "width": "3", "height": "4",
    } | changes  # fmt: skip
    text = ",".join(row) + "\n" + ",".join(str(value) for value in row.values()) + "\n"
    (folder / manifest.FILE_NAME).write_text(text)


@pytest.mark.parametrize(
    ("column", "value", "sentence"),
    [
        ("label", "0", "line 2: label is '0', not one of real, fake"),
        ("split", "test", "line 2: split is 'test'"),
        ("width", "wide", "line 2: .*wide"),
        ("quality", "high", "line 2: .*high"),
    ],
)
def test_a_wrong_value_is_named(tmp_path: Path, column: str, value: str, sentence: str) -> None:
    _write(tmp_path, **{column: value})
    with pytest.raises(ManifestError, match=sentence):
        manifest.read(tmp_path)


def test_missing_columns_and_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="build one with `assay data"):
        manifest.read(tmp_path)
    (tmp_path / manifest.FILE_NAME).write_text("path,label\na,real\n")
    with pytest.raises(ManifestError, match="the columns family, height, pair"):
        manifest.read(tmp_path)
    (tmp_path / manifest.FILE_NAME).write_text("")
    with pytest.raises(ManifestError, match="missing"):
        manifest.read(tmp_path)

"""Parts of a data set: some generators with their photographs, some scenes, in every layout."""

from pathlib import Path

import pytest
from support.command import assay
from support.photos import write_tree

from assay.engine.errors import SetupError
from assay.trainers.data.only import only
from assay.trainers.data.samples import Sample, read_samples


def groups(root: Path, *asked: str) -> list[tuple[str, int]]:
    return sorted((sample.group, sample.label) for sample in read_samples(root, only=asked))


@pytest.fixture
def genimage(tmp_path: Path) -> Path:
    folders = [f"{name}/imagenet/val/{label}" for name in ("ADM", "glide") for label in ("ai", "nature")]
    return write_tree(tmp_path / "genimage", dict.fromkeys(folders, 1), side=32)


@pytest.fixture
def forensics(tmp_path: Path) -> Path:
    folders = [f"images/test/{scene}/{name}" for scene in ("bed", "faces") for name in ("real", "adm", "if")]
    return write_tree(tmp_path / "df", dict.fromkeys(folders, 1), side=32)


def test_a_generator_comes_with_its_own_photographs(genimage: Path) -> None:
    assert groups(genimage, "generator=ADM") == [("ADM", 0), ("ADM", 1)]
    assert len(groups(genimage, "generator=ADM", "generator=glide")) == 4
    assert len(groups(genimage)) == 4


def test_or_with_those_that_it_shares(forensics: Path) -> None:
    assert groups(forensics, "generator=adm") == [("adm", 1), ("adm", 1), ("bed", 0), ("faces", 0)]
    assert groups(forensics, "generator=adm", "scene=bed") == [("adm", 1), ("bed", 0)]
    assert groups(forensics, "scene=faces") == [("adm", 1), ("faces", 0), ("if", 1)]


def test_or_with_all_where_none_stand_beside_it(tmp_path: Path) -> None:
    samples = [Sample(tmp_path / "a", 0, "", "photos", "photos"), Sample(tmp_path / "b", 1, "", "gan", "gan")]
    assert only(samples, tmp_path, ["generator=gan"]) == samples


def test_a_scene_is_a_folder_of_that_name(tmp_path: Path) -> None:
    folders = [f"test/progan/{name}/{label}" for name in ("cat", "car") for label in ("0_real", "1_fake")]
    root = write_tree(tmp_path / "cnn", dict.fromkeys(folders, 1), side=32)
    assert [sample.path.parts[-3] for sample in read_samples(root, only=["scene=cat"])] == ["cat", "cat"]
    assert len(read_samples(root, only=["scene=cat", "scene=car"])) == 4


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("generator=gan", "has no generator gan; there are ADM, glide"),
        ("scene=moon", "has no scene moon; there are "),
        ("source=x", "'source=x' is neither generator=NAME nor scene=NAME"),
        ("generator=", "'generator=' is neither"),
        ("ADM", "'ADM' is neither"),
    ],
)
def test_what_is_not_there_is_refused_by_name(asked: str, said: str, genimage: Path) -> None:
    with pytest.raises(SetupError, match=said):
        read_samples(genimage, only=[asked])
    with pytest.raises(SetupError, match=said):
        assay("train", "plain", "--data", genimage, "--out", genimage / "run", "--only", asked)


def test_commands_take_it(genimage: Path) -> None:
    said = assay("audit", genimage, "--only", "generator=glide", "--json").stdout
    assert "glide" in said
    assert "ADM" not in said.replace(str(genimage), "")

"""Data sets that are put together by links: each file is found, and no circle is walked twice."""

from pathlib import Path

from support.photos import write_tree

from assay.trainers.data.samples import read_samples
from assay.trainers.data.walk import LINKS, walk


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for folder in walk(root) for path in folder.files)


def test_folders_and_files_by_link(tmp_path: Path) -> None:
    """As DIRE's trainer wants it: each generator's classes are links, photographs the same for all."""
    store = write_tree(tmp_path / "store", {"real": 2, "adm": 3, "if": 1}, side=32)
    for name in ("adm", "if"):
        folder = tmp_path / "data/train" / name
        folder.mkdir(parents=True)
        (folder / "0_real").symlink_to(store / "real")
        (folder / "1_fake").symlink_to(store / name)
    (tmp_path / "data/train/if/1_fake/nowhere.png").symlink_to("gone")
    found = [(sample.group, sample.label) for sample in read_samples(tmp_path / "data")]
    assert sorted(found) == [("adm", 0)] * 2 + [("adm", 1)] * 3 + [("if", 0)] * 2 + [("if", 1)]


def test_photographs_beside_generators_by_link(tmp_path: Path) -> None:
    store = write_tree(tmp_path / "store", {"real": 2, "adm": 1}, side=32)
    scene = tmp_path / "data/images/test/lsun_bedroom"
    scene.mkdir(parents=True)
    for name in ("real", "adm"):
        (scene / name).symlink_to(store / name)
    found = [(sample.group, sample.pool, sample.label) for sample in read_samples(tmp_path / "data")]
    assert sorted(found) == [("adm", "lsun_bedroom", 1)] + [("lsun_bedroom", "lsun_bedroom", 0)] * 2


def test_circles_end(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        (folder / "below").mkdir(parents=True)
        (folder / "below" / f"{folder.name}.txt").write_text("x")
    (one / "below/up").symlink_to(one)
    (one / "below/self").symlink_to(one / "below")
    (one / "below/over").symlink_to(other)
    (other / "below/back").symlink_to(one)
    assert files(one) == ["below/one.txt", "below/over/below/other.txt"]
    assert files(tmp_path) == [
        "one/below/one.txt",
        "one/below/over/below/other.txt",
        "other/below/back/below/one.txt",
        "other/below/other.txt",
    ]


def test_a_folder_beside_one_of_like_name_is_no_circle(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "ab").mkdir()
    (tmp_path / "a/x").write_text("x")
    (tmp_path / "ab/link").symlink_to(tmp_path / "a")
    assert files(tmp_path / "ab") == ["link/x"]


def test_no_more_links_than_are_allowed_lie_on_the_way(tmp_path: Path) -> None:
    for number in range(LINKS + 2):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / f"{number}.txt").write_text("x")
        if number:
            (tmp_path / str(number - 1) / "next").symlink_to(tmp_path / str(number))
    assert files(tmp_path / "0") == sorted(f"{'next/' * number}{number}.txt" for number in range(LINKS + 1))

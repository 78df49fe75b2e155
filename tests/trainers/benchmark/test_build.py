"""The build, end to end on made-up photographs and generators: pairs alike, splits apart, work done once."""

import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, JpegImagePlugin
from support.packages import NETWORKS, SEEN, UNSEEN, archives, sources, write_photos

from assay.trainers.benchmark.build import Benchmark, FaultyGeneratorError
from assay.trainers.benchmark.families import Family, Role
from assay.trainers.benchmark.generators.network import Network, Planes
from assay.trainers.benchmark.packages import PackageError, Store
from assay.trainers.benchmark.plan import Amounts
from assay.trainers.data import manifest
from assay.trainers.data.manifest import Record

AMOUNTS = Amounts(train=2, held_out=2, synthetic=2)


def blocky(scale: int) -> Callable[[Path], Network]:
    def network(planes: Planes) -> Planes:
        return planes.repeat(scale, axis=0).repeat(scale, axis=1)

    return lambda root: network


def family(name: str, role: Role, scale: int, seconds: float = 0.01) -> Family:
    return Family(name, role, scale, NETWORKS, blocky(scale), seconds, floor=12.0)


FAMILIES = (
    family("nearest2", "train", 2),
    family("nearest4", "train", 4),
    family("nearest3", "unseen", 3),
    family("slow2", "unseen", 2, seconds=1.0),
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("packages")
    write_photos(folder / "seen", 14, 130, seed=1)
    write_photos(folder / "unseen", 2, 260, seed=2)
    (folder / "seen" / "cut.jpg").write_bytes((folder / "seen" / "1.jpg").read_bytes()[:-900])
    (folder / "networks").mkdir()
    trees = {SEEN: folder / "seen", UNSEEN: folder / "unseen", NETWORKS: folder / "networks"}
    return Store(folder / "store", archives(trees))


def benchmark(folder: Path, store: Store, **changes: object) -> Benchmark:
    options = {"amounts": AMOUNTS, "sources": sources(), "families": FAMILIES, "face_families": ()} | changes
    return Benchmark(folder, store, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def built(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built")
    report = benchmark(folder, store).build()
    assert report.unreadable == 1
    assert report.photos == {"seen": 14, "unseen": 2}
    assert report.kept == 0
    return folder


def pairs(folder: Path) -> dict[str, list[Record]]:
    found = defaultdict(list)
    for record in manifest.read(folder):
        found[record.pair].append(record)
    return found


def content(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "report.json"]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_the_manifest_says_what_is_there(built: Path) -> None:
    records = manifest.read(built)
    files = {name for name in content(built) if name != manifest.FILE_NAME}
    assert {record.path for record in records} == files
    assert {record.split for record in records} == {"train", "val", "test-1", "test-2", "test-3"}
    assert {record.view for record in records} == {"crop", "whole"}
    for record in records:
        with Image.open(built / record.path) as image:
            assert image.size == (record.width, record.height)
            assert (image.format == "PNG") == (record.quality is None)
        assert (record.label == "real") == (record.family == "")
    report = json.loads((built / "report.json").read_text())
    assert report["made"] == len(records)
    assert set(report["psnr"]) == {one.name for one in FAMILIES}


def test_a_pair_differs_in_nothing_but_its_content(built: Path) -> None:
    of_pairs = pairs(built)
    assert of_pairs
    for pair, records in of_pairs.items():
        labels = [record.label for record in records]
        assert labels.count("real") == 1, pair
        assert labels.count("fake") >= 1, pair
        forms = set()
        for record in records:
            with Image.open(built / record.path) as image:
                tables = sampling = None
                if isinstance(image, JpegImagePlugin.JpegImageFile):
                    tables = tuple((key, tuple(table)) for key, table in image.quantization.items())
                    sampling = JpegImagePlugin.get_sampling(image)
                forms.add((image.format, image.size, image.mode, tables, sampling, record.quality))
        assert len(forms) == 1, pair
        pixels = {np.asarray(Image.open(built / record.path)).tobytes() for record in records}
        assert len(pixels) == len(records), pair


def test_no_photograph_is_in_two_splits(built: Path) -> None:
    found = defaultdict(set)
    for record in manifest.read(built):
        found[record.photo].add(record.split)
    allowed = [{"train"}, {"val"}, {"test-1"}, {"test-2", "test-3"}]
    assert all(one in allowed for one in found.values())
    unseen = {record.family for record in manifest.read(built) if record.split in ("test-1", "test-3")}
    assert unseen == {"", "nearest3", "slow2"}


def test_a_second_build_makes_what_is_missing(built: Path, store: Store) -> None:
    before = content(built)
    for name in list(before)[:5]:
        if name != manifest.FILE_NAME:
            (built / name).unlink()
    gone = len(before) - len(content(built))
    report = benchmark(built, store).build()
    assert (report.made, report.kept) == (gone, len(before) - 1 - gone)
    assert content(built) == before
    assert benchmark(built, store).build().made == 0


def test_an_interrupted_second_build_takes_nothing_from_the_manifest(
    built: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (built / manifest.FILE_NAME).read_bytes()
    monkeypatch.setattr("assay.trainers.benchmark.build._WRITE_EVERY", 1)

    def interrupt(what: str, done: int, total: int) -> None:
        if (what, done) == ("synthetic images", 3):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        benchmark(built, store, progress=interrupt).build()
    assert (built / manifest.FILE_NAME).read_bytes() == before


def test_the_seed_decides(built: Path, store: Store, tmp_path: Path) -> None:
    benchmark(tmp_path / "same", store).build()
    assert content(tmp_path / "same") == content(built)
    benchmark(tmp_path / "other", store, seed=1).build()
    assert content(tmp_path / "other") != content(built)


def test_a_broken_network_is_caught(store: Store, tmp_path: Path) -> None:
    def garbage(root: Path) -> Network:
        random = np.random.default_rng(0)
        return lambda planes: random.random((planes.shape[0] * 2, planes.shape[1] * 2, 3)).astype(np.float32)

    broken = Family("broken2", "train", 2, NETWORKS, garbage, 0.01, floor=15.0)
    with pytest.raises(
        FaultyGeneratorError, match=r"broken2 brings photographs back at .* floor of 15\.0 dB"
    ):
        benchmark(tmp_path, store, families=(broken, *FAMILIES[1:])).build()
    assert not (tmp_path / manifest.FILE_NAME).exists()


def test_a_package_that_cannot_be_had_ends_the_build_at_once(store: Store, tmp_path: Path) -> None:
    alone = Store(tmp_path / "store", archives({}))
    with pytest.raises(PackageError, match="is not there"):
        benchmark(tmp_path / "built", alone).build()


def test_progress_reaches_its_end(store: Store, built: Path) -> None:
    calls = []
    benchmark(built, store, progress=lambda what, done, total: calls.append((what, done, total))).build()
    last = {what: (done, total) for what, done, total in calls}
    assert {"packages", "synthetic images", "synthetic images by slow generators"} <= set(last)
    assert all(done == total for done, total in last.values())


def test_our_autoencoders_are_trained_on_the_training_split(store: Store, tmp_path: Path) -> None:
    from assay.trainers.benchmark.families import FAMILIES as ALL

    own = tuple(one for one in ALL if one.name == "vae_shuffle_f4")
    amounts = Amounts(train=6, held_out=1, synthetic=2, steps=2)
    write_photos(tmp_path / "large", 3, 420, seed=3)
    large = Store(tmp_path / "store", archives({SEEN: tmp_path / "large", NETWORKS: tmp_path / "large"}))
    floorless = tuple(Family(**{**vars(one), "floor": None}) for one in own)
    report = benchmark(
        tmp_path / "built", large, amounts=amounts, sources=sources()[:1], families=(*FAMILIES, *floorless)
    ).build()
    weights = tmp_path / "built" / "networks" / "vae_shuffle_f4.pt"
    assert weights.is_file()
    assert report.psnr["vae_shuffle_f4"] > 0
    families = {record.family for record in manifest.read(tmp_path / "built") if record.split == "train"}
    assert "vae_shuffle_f4" in families
    stamp = weights.stat().st_mtime_ns
    benchmark(
        tmp_path / "built", large, amounts=amounts, sources=sources()[:1], families=(*FAMILIES, *floorless)
    ).build()
    assert weights.stat().st_mtime_ns == stamp

"""The demo's committed images: each with its licence, small, and made again by the script."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.packages import NETWORKS, archives
from support.photos import scene

from assay.trainers.benchmark import demo
from assay.trainers.benchmark.families import FAMILIES, Family
from assay.trainers.benchmark.packages import Package, Store
from assay.trainers.benchmark.sources import DEMO

COMMITTED = Path(__file__).parents[3] / "bench" / "demo"


def licensed(folder: Path) -> dict[str, list[str]]:
    """The cells of each row of the licence table, by file name."""
    lines = (folder / "LICENCES.md").read_text().splitlines()
    rows = [
        [cell.strip() for cell in line.strip("| ").split("|")]
        for line in lines
        if line.startswith("| ") and "---" not in line
    ]
    return {row[0]: row for row in rows[1:]}


def test_every_committed_image_has_a_licence() -> None:
    images = {path.name: path for path in (COMMITTED / "images").iterdir()}
    rows = licensed(COMMITTED)
    assert set(images) == set(rows)
    assert 40 <= len(images) <= 60
    assert sum(path.stat().st_size for path in images.values()) < 4_000_000
    for name, (_, _, origin, author, licence) in rows.items():
        assert origin, name
        assert author, name
        assert licence.startswith(("CC0", "public domain", "Apache-2.0", "MIT")), name
    remade = [name for name in images if name.startswith("fake-")]
    families = {name.removesuffix(".jpg").rsplit("-", 1)[1] for name in remade}
    assert families == set(demo.FAMILY_LICENCES)
    generated = {name for name in images if name.startswith("generated-")}
    assert generated == {f"generated-{generator}.jpg" for generator in demo.GENERATED}
    photographs = [name for name in images if name.startswith("real-")]
    assert len(photographs) == len(remade) == len(images) - len(remade) - len(generated)


def test_committed_pairs_share_size_and_quality() -> None:
    images = list((COMMITTED / "images").glob("fake-*"))
    assert images
    for image in images:
        real = image.with_name(image.name.replace("fake-", "real-").rsplit("-", 1)[0] + ".jpg")
        with Image.open(image) as first, Image.open(real) as second:
            assert first.size == second.size
            assert first.quantization == second.quantization  # type: ignore[attr-defined]
            assert max(first.size) <= 512


def test_the_families_are_those_of_the_benchmark() -> None:
    assert set(demo.FAMILY_LICENCES) <= {family.name for family in FAMILIES}


def test_every_photograph_of_opencv_lomiri_and_palapeli_is_named_as_the_demos() -> None:
    named = {name for names in DEMO.values() for name in names}
    shown = {Path(one.name).stem for one in demo.EXHIBITS if one.package.registry == "debian"}
    assert shown == named


def test_the_script_makes_pairs_and_takes_outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trees: dict[Package, Path] = {NETWORKS: tmp_path / "networks"}
    (tmp_path / "networks").mkdir()
    for number, exhibit in enumerate(demo.EXHIBITS):
        folder = trees.setdefault(exhibit.package, tmp_path / exhibit.package.name)
        path = folder / "data" / exhibit.name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(scene(np.random.default_rng(number), 330, 600)).save(path)
    templates = trees.setdefault(demo._TEMPLATES, tmp_path / "templates")
    templates.mkdir()
    for number, name in enumerate(demo.GENERATED.values()):
        Image.fromarray(scene(np.random.default_rng(number), 400, 400)).save(templates / name)
    families = [
        Family(name, "train", 2, NETWORKS, lambda root: lambda planes: planes.repeat(2, 0).repeat(2, 1), 0.1)
        for name in demo.FAMILY_LICENCES
    ]
    monkeypatch.setattr(demo, "FAMILIES", families)
    made = demo.make(tmp_path / "demo", Store(tmp_path / "store", archives(trees)))
    details = sum(exhibit.detail for exhibit in demo.EXHIBITS)
    assert len(made) == 2 * (len(demo.EXHIBITS) + details) + len(demo.GENERATED)
    assert {path.name for path in made} == set(licensed(tmp_path / "demo"))
    sizes = {np.asarray(Image.open(path)).shape for path in made}
    assert sizes == {(282, 512, 3), (320, 320, 3), (400, 400, 3)}

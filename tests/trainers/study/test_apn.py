"""Tables and figures of the APN paper: numbers against calculations by hand, each command on small trees."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.apn import ALL, NONE, SIDE, bands_bundle
from support.apn_networks import pictures, small_run, tiny_trunks
from support.command import assay
from support.photos import write_tree
from support.tables import read_csv

from assay.engine.bundle import Bundle
from assay.engine.detectors import Detection
from assay.engine.errors import SetupError
from assay.kernels import view
from assay.trainers.cli.study_apn import networks_by_generator
from assay.trainers.data.read import read_pixels
from assay.trainers.data.samples import Sample, read_samples
from assay.trainers.evaluate.score import Scored
from assay.trainers.kinds.apn.bundle import view_rule
from assay.trainers.kinds.apn.fit import make_fit, network_of
from assay.trainers.kinds.apn.network import APN
from assay.trainers.study import ablations, accuracy, features, proposals, purified

GENIMAGE = ("ADM", "Midjourney", "stable_diffusion_v_1_4")
PRINTED = ["stable_diffusion_v_1_4", "ADM", "Midjourney"]
"""The same in the order of the paper's tables."""


def scored(rows: list[tuple[str, str, int, float]]) -> Scored:
    """(generator or source, pool, label, logit) each."""
    samples = tuple(Sample(Path(), label, "val", group, pool) for group, pool, label, _ in rows)
    return Scored(samples, np.array([logit for *_, logit in rows]), np.zeros(len(rows), np.int64))


def test_table_1_counts_images_of_both_classes_together() -> None:
    """Three photographs and one synthetic image: half of the images' weight is not half of the accuracy."""
    rows = [("adm", "adm", 0, -1.0)] * 3 + [("adm", "adm", 1, -1.0)]
    rows += [("glide", "glide", 0, 1.0), ("glide", "glide", 1, 1.0)]
    assert accuracy.by_generator(scored(rows)) == {"adm": 75.0, "glide": 50.0, "Average": 62.5}
    with pytest.raises(SetupError, match="glide has no photographs"):
        accuracy.by_generator(scored([*rows[:4], rows[5]]))


def test_table_2_gives_the_photographs_one_column_of_nine() -> None:
    rows = [("bed", "bed", 0, -1.0), ("bed", "bed", 0, 1.0)]
    rows += [("adm", "bed", 1, 1.0)] * 9 + [("adm", "bed", 1, 0.0)] + [("if", "bed", 1, 1.0)]
    found = accuracy.by_folder(scored(rows))
    assert found == pytest.approx({"Real": 50, "adm": 90, "if": 100, "Average": 80})


def test_table_3_means() -> None:
    known = scored(
        [("ADM", "ADM", 0, -1.0), ("ADM", "ADM", 1, 1.0), ("MJ", "MJ", 0, -1.0), ("MJ", "MJ", 1, -1.0)]
    )
    new = scored(
        [("bed", "bed", 0, -1.0), ("bed", "bed", 0, 1.0), ("adm", "bed", 1, 1.0), ("mj", "bed", 1, -1.0)]
    )
    pairs = {"ADM": "adm", "MJ": "mj"}
    found = accuracy.by_scene(dict.fromkeys(pairs, (known, new)), pairs)
    assert found["ADM, trained scene"] == 100
    assert found["ADM, other scene"] == 75
    assert found["MJ, trained scene"] == 50
    assert found["MJ, other scene"] == 25
    assert found["Average, trained scene"] == 75
    assert found["Average, other scene"] == 50
    assert found["Average"] == 62.5
    turned = [replace(each, logits=-each.logits) for each in (known, new)]
    several = accuracy.by_scene({"ADM": (known, new), "MJ": (turned[0], turned[1])}, pairs)
    assert several["ADM, trained scene"] == found["ADM, trained scene"]
    assert several["MJ, trained scene"] == 100 - found["MJ, trained scene"]
    with pytest.raises(SetupError, match="no images of nowhere; there are adm, mj"):
        accuracy.need_generators(new.samples, ["mj", "nowhere"])


def test_means_of_a_method_that_lacks_a_column_are_left_out() -> None:
    every = {"adm": 90.0, "glide": 80.0, "Average": 85.0, "mAP": 95.0}
    lacks = {"adm": 70.0, "Average": 70.0, "mAP": 75.0}
    for found in ({"one": every, "two": lacks}, {"two": lacks, "one": every}):
        assert accuracy.comparable(found) == {"one": every, "two": {"adm": 70.0}}
        assert list(accuracy.comparable(found)["one"]) == list(every)


def test_shared_photographs_are_seen() -> None:
    rows = [("bed", "bed", 0, 0.0), ("adm", "bed", 1, 0.0), ("if", "bed", 1, 0.0)]
    assert accuracy.shares_photographs(scored(rows).samples)
    assert not accuracy.shares_photographs(scored(rows[:2]).samples)


@pytest.mark.parametrize(
    ("methods", "said"),
    [
        (["apn:ADM=a"], "apn has no network for MJ: add apn:MJ=FOLDER"),
        (["apn=a", "apn:ADM=b"], "apn has two networks for ADM: a and b"),
        (["apn:SD=a"], "is not NAME=FOLDER or NAME:GENERATOR=FOLDER, the generator being one of ADM, MJ"),
        (["runs/apn"], "is not NAME=FOLDER"),
    ],
)
def test_networks_of_table_3_that_do_not_fill_it_are_refused(methods: list[str], said: str) -> None:
    with pytest.raises(SetupError, match=said):
        networks_by_generator(methods, ["ADM", "MJ"])


def test_confidence_lies_on_the_frequencies_that_bands_hold() -> None:
    """Of a side of 8: row 7 is frequency -1/8, columns are positive; a band's share is spread over it."""
    cross = [7 / 8, 7 / 8, 2 / 8, 3 / 8]
    band = {"confidence": 0.5, "amplitude": [cross], "phase": [cross]}
    found = proposals.weights(Detection(0.0, {"bands": [band]}), 8)
    assert found.tolist() == pytest.approx([0, 2 * 0.5, 2 * 0.25, 2 * 0.25, 0])


def test_curves_by_generator(tmp_path: Path) -> None:
    data = write_tree(
        tmp_path / "data", {"ADM/val/ai": 2, "glide/val/ai": 1, "glide/val/nature": 1}, side=SIDE
    )
    (data / "ADM/val/ai/broken.png").write_bytes(b"\x89PNG\r\n")
    bundle = Bundle.load(bands_bundle(tmp_path / "bundle", amplitude=(ALL, NONE), phase=(ALL, NONE)))
    curves, refused = proposals.trusted(bundle, read_samples(data))
    assert [file.name for file in refused] == ["broken.png"]
    assert list(curves) == ["ADM", "glide"]
    for curve in curves.values():
        assert curve.sum() == pytest.approx(1)
        assert curve.argmax() == 0  # the second band holds nothing else
    matrix = proposals.correlations(curves)
    assert np.diag(matrix) == pytest.approx(1)
    assert matrix.shape == (2, 2)


def test_heat_is_layer_cam() -> None:
    """Against the same sum made from gradients by torch, on a real trunk."""
    torch.manual_seed(0)
    network = APN(2, "resnet18", "resnet18", size=64).eval()
    views = pictures(2, 64)
    output, heat = purified.looked_at(network, views)
    spatial, trunk = network.spatial, network.spatial.trunk
    maps = trunk.layer4(
        trunk.layer3(trunk.layer2(trunk.layer1(trunk.maxpool(trunk.relu(trunk.bn1(trunk.conv1(views)))))))
    )
    feature = spatial.head(trunk.avgpool(maps).flatten(1))
    relevant = feature @ spatial.basis.relevant.T @ spatial.basis.relevant
    with torch.no_grad():
        other = network(views).relevant_frequency
    logits = network.classify(relevant, other)
    [gradient] = torch.autograd.grad((logits[:, 1] - logits[:, 0]).sum(), maps)
    expected = (gradient.clamp(min=0) * maps).sum(dim=1).clamp(min=0).detach().numpy()
    assert heat == pytest.approx(expected, abs=1e-5)
    assert heat.max() > 0
    assert all(value.grad is None for value in network.parameters())
    assert output.purified is not None
    assert output.purified.shape == (2, 2, 3, 64, 64)


def test_hot_is_red_and_cold_is_blue() -> None:
    grey = Image.new("RGB", (40, 40), (100, 100, 100))
    found = np.asarray(purified.overlaid(grey, np.array([[0.0, 2.0], [0.0, 2.0]], np.float32))).astype(int)
    assert found[20, 0, 2] > found[20, 0, 0]
    assert found[20, 39, 0] > found[20, 39, 2]
    assert np.isfinite(np.asarray(purified.overlaid(grey, np.zeros((2, 2), np.float32)))).all()


@pytest.fixture(scope="module")
def genimage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folders = [
        f"{name}/imagenet/{split}/{label}"
        for name in GENIMAGE
        for split in ("train", "val")
        for label in ("ai", "nature")
    ]
    return write_tree(tmp_path_factory.mktemp("genimage"), dict.fromkeys(folders, 2), side=SIDE)


@pytest.fixture(scope="module")
def forensics(tmp_path_factory: pytest.TempPathFactory) -> Path:
    names = ("real", "adm", "ddpm", "midjourney", "sdv1")
    folders = {f"images/test/lsun_bedroom/{name}": 2 for name in names}
    root = write_tree(tmp_path_factory.mktemp("df"), folders, side=SIDE)
    (root / "images/test/lsun_bedroom/adm/broken.png").write_bytes(b"\x89PNG\r\n")
    return root


def run(*arguments: object) -> str:
    return assay("study", *arguments).stdout


def test_corrupt_files_are_counted(forensics: Path, tmp_path: Path) -> None:
    methods = [f"{name}={bands_bundle(tmp_path / name)}" for name in ("one", "other")]
    result = assay("study", "shared-photographs", *methods, "--data", forensics, "--out", tmp_path / "out")
    assert result.stderr.count("1 file was left out, corrupt or too small") == 2
    assert (tmp_path / "out/left_out_one.txt").read_text().endswith("adm/broken.png\n")
    assert [row["adm"] for row in whole(tmp_path / "out", "shared_photographs")] == ["50.0", "50.0"]


def whole(out: Path, name: str, header: str = "| ") -> list[dict[str, str]]:
    """The rows of a result, which also is there as Markdown and as a picture."""
    assert (out / f"{name}.md").read_text().startswith(header)
    with Image.open(out / f"{name}.png") as plot:
        assert min(plot.size) > 100
    return read_csv(out / f"{name}.csv")


def test_tables_by_command(genimage: Path, forensics: Path, tmp_path: Path) -> None:
    method, out = f"bands={bands_bundle(tmp_path / 'bundle')}", tmp_path / "out"
    assert "Average" in run("cross-generator", method, "--data", genimage, "--out", out)
    [row] = whole(out, "cross_generator")
    assert list(row) == ["method", *PRINTED, "Average"]
    run("shared-photographs", method, "--data", forensics, "--out", out)
    [row] = whole(out, "shared_photographs")
    assert list(row) == ["method", "Real", "adm", "midjourney", "sdv1", "Average"]
    assert "ddpm" in run(
        "shared-photographs", method, "--data", forensics, "--out", out, "--generator", "ddpm"
    )
    assert list(whole(out, "shared_photographs")[0])[1:3] == ["Real", "ddpm"]
    with pytest.raises(SetupError, match="no images of dalle; there are adm, ddpm, midjourney, sdv1"):
        run("shared-photographs", method, "--data", forensics, "--out", out, "--generator", "dalle")
    run("cross-scene", method, "--trained", genimage, "--other", forensics, "--out", out)
    [row] = whole(out, "cross_scene")
    assert len(row) == 1 + 6 + 3
    [fall] = whole(out, "cross_domain")
    assert list(fall)[1:] == ["stable_diffusion_v_1_4, trained scene", "stable_diffusion_v_1_4, other scene"]
    scenes = ("cross-scene", method, "--trained", genimage, "--other", forensics, "--out", out)
    run(*scenes, "--unseen", "Midjourney")
    assert list(whole(out, "cross_domain")[0])[2] == "Midjourney, trained scene"
    for_each = [f"own:{name}={tmp_path / 'bundle'}" for name in GENIMAGE]
    run("cross-scene", *for_each, "--trained", genimage, "--other", forensics, "--out", out)
    assert [list(row.values())[1:]] == [list(own.values())[1:] for own in whole(out, "cross_scene")]
    run("proposals", tmp_path / "bundle", "--data", genimage, "--out", out)
    assert [row["generator"] for row in whole(out, "proposals")] == PRINTED
    run("proposals", tmp_path / "bundle", "--data", genimage, "--out", out, "--other", forensics)
    assert [row["generator"] for row in whole(out, "proposals")] == [
        "stable_diffusion_v_1_4, trained scene",
        "stable_diffusion_v_1_4, lsun_bedroom",
    ]
    both = ("proposals", tmp_path / "bundle", "--data", genimage, "--out", out, "--other", forensics)
    with pytest.raises(SetupError, match="no images of sdv2; there are adm, ddpm, midjourney, sdv1"):
        run(*both, "--pair", "ADM=sdv2")
    for command in (both, scenes):
        with pytest.raises(SetupError, match="no images of scene moon; there are lsun_bedroom"):
            run(*command, "--scene", "moon")
    with pytest.raises(SetupError, match="no images of SD; there are stable_diffusion_v_1_4, ADM"):
        run(*scenes, "--pair", "SD=sdv1")
    with pytest.raises(SetupError, match="no images of scene"):
        run("shared-photographs", method, "--data", forensics, "--out", out, "--scene", "moon")
    with pytest.raises(SetupError, match="--pair"):
        run("cross-scene", method, "--trained", genimage, "--other", forensics, "--out", out, "--pair", "x")


@pytest.fixture
def tiny() -> Iterator[None]:
    with tiny_trunks():
        yield


def test_ablations_train_what_is_not_there(tiny: None, genimage: Path, tmp_path: Path) -> None:
    base = small_run(genimage)
    folder, out = tmp_path / "run", tmp_path / "out"
    base.write(folder)
    make_fit(base, folder, {}, 0).run()
    command = ("ablations", folder, "--data", genimage, "--out", out, "--of", "masks", "--workers", 0)
    run(*command)
    rows = whole(out, "ablations_masks")
    assert [row["method"] for row in rows] == ["hard masks", "soft masks"]
    assert [path.name for path in (out / "runs").iterdir()] == ["soft_masks"]  # the other is the run itself
    trained = (out / "runs/soft_masks/best.pt").stat().st_mtime_ns
    run(*command)
    assert (out / "runs/soft_masks/best.pt").stat().st_mtime_ns == trained
    base.model_copy(update={"seed": 1}).write(folder)
    with pytest.raises(SetupError, match="other settings"):
        run(*command)


def test_the_number_of_proposals_is_judged_as_table_2_where_photographs_are_shared(
    tiny: None, forensics: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for subject, first in (("proposals", "Real"), ("masks", "adm")):
        monkeypatch.setitem(ablations.CHANGES, subject, {"as it is": {}})  # type: ignore[arg-type]
        base = small_run(forensics)
        base.write(tmp_path / "run")
        torch.manual_seed(0)
        torch.save({"model": network_of(base).state_dict()}, tmp_path / "run/best.pt")
        only = ("--only", "generator=adm", "--only", "generator=sdv1", "--split", "test")
        out = tmp_path / "out"
        run("ablations", tmp_path / "run", "--data", forensics, "--out", out, "--of", subject, *only)
        [row] = whole(out, f"ablations_{subject}")
        assert list(row)[1] == first
        assert list(row)[-4:] == ["adm", "sdv1", "Average", "mAP"]


def test_pictures_of_a_run(tmp_path: Path, genimage: Path) -> None:
    torch.manual_seed(0)
    record = small_run(genimage, proposals=3, spatial="mobilenet_v2", frequency="mobilenet_v2", size=64)
    record.write(tmp_path / "run")
    torch.save({"model": network_of(record).state_dict()}, tmp_path / "run/best.pt")
    files = sorted(genimage.rglob("0.png"))[:2]
    run("purified", tmp_path / "run", *files, "--out", tmp_path / "out")
    rows = whole(tmp_path / "out", "purified")
    assert [row["image"] for row in rows] == ["ai/0.png", "nature/0.png"]
    network = network_of(record).eval()
    network.load_state_dict(torch.load(tmp_path / "run/best.pt")["model"])
    views = torch.from_numpy(view([read_pixels(file) for file in files], view_rule(64)))
    wanted = network(views).logits.softmax(dim=1)[:, 1].tolist()
    assert [float(row["probability"]) for row in rows] == pytest.approx(wanted, abs=1e-3)
    trust = [float(rows[0][f"confidence {place}"]) for place in (1, 2, 3)]
    assert trust == sorted(trust, reverse=True)
    with Image.open(tmp_path / "out/purified.png") as page:
        assert page.size == (5 * 160, 2 * (160 + 16 + 4))
    with Image.open(tmp_path / "out/heat.png") as page:
        assert page.size == (2 * 160, 2 * 160 + 2 * 16 + 4)


def test_heat_is_drawn_on_one_scale() -> None:
    """Of two photographs the one that is half as hot is nowhere red."""
    grey = Image.new("RGB", (160, 160), (100, 100, 100))
    heats = [np.full((2, 2), value, np.float32) for value in (1.0, 0.5)]
    found = {str(heat[0, 0]): purified.Seen(grey, heat, 0.25, [0.5], [3], [grey]) for heat in heats}
    for drawn, lefts in (
        (purified.heat_page(found), [(80, 240), (240, 240)]),
        (purified.purified_page(found), [(240, 80), (240, 260)]),
    ):
        hot, warm = (np.array(drawn.getpixel(place)).astype(int) for place in lefts)
        assert hot[0] > hot[1]
        assert warm[1] > warm[0]


def test_features_are_laid_out(tiny: None, genimage: Path, forensics: Path, tmp_path: Path) -> None:
    runs = []
    for form in ("whole", "no_implicit"):
        record = small_run(genimage, form=form)
        record.write(tmp_path / form)
        torch.manual_seed(len(form))
        torch.save({"model": network_of(record).state_dict()}, tmp_path / form / "best.pt")
        runs.append(f"{form}={tmp_path / form}")
    out = tmp_path / "out"
    command = ("features", *runs, "--data", genimage, "--other", forensics, "--images", 5, "--out", out)
    text = run(*command)
    rows = whole(out, "features", header="| images |")
    assert len(rows) == 2 * 2 * (10 + 6)  # 5 and 5 images, 2 and 4: relevant and irrelevant
    assert {row["kind"] for row in rows if row["method"] == "no_implicit"} == {
        f"{part} to artifacts, {kind}"
        for part in ("relevant", "irrelevant")
        for kind in ("photographs", "synthetic images")
    }
    assert text == run(*command)  # of what was kept
    with pytest.raises(SetupError, match="no images of scene moon; there are lsun_bedroom"):
        run(*command, "--scene", "moon")
    assert read_csv(out / "features.csv") == rows


def test_the_features_are_the_networks(tiny: None, genimage: Path) -> None:
    torch.manual_seed(0)
    network = network_of(small_run(genimage)).eval()
    samples = features.chosen(read_samples(genimage), 6)
    assert [one.label for one in samples] == [0] * 6 + [1] * 6
    assert len(set(samples)) == 12
    found = features.looked_at(network, samples)
    views = torch.from_numpy(view([read_pixels(one.path) for one in samples], view_rule(32)))
    output = network(views)
    for name in features.PARTS:
        both = [getattr(output, f"{name}_{branch}") for branch in ("frequency", "spatial")]
        assert found[name] == pytest.approx(((both[0] + both[1]) / 2).detach().numpy(), abs=1e-5)


def test_what_is_lost_on_an_unseen_generator_and_in_another_scene() -> None:
    known = scored([("ADM", "ADM", 0, -1.0), ("ADM", "ADM", 1, 1.0)])
    new = scored([("bed", "bed", 0, -1.0), ("adm", "bed", 1, -1.0)])
    strange = scored([("glide", "glide", 0, 1.0), ("glide", "glide", 1, -1.0)])
    found = accuracy.fall({"ADM": (known, new)}, {"ADM": "adm"}, strange)
    assert found == {"ADM, trained scene": 100, "glide, trained scene": 0, "ADM, other scene": 50}
    assert list(accuracy.fall({"ADM": (known, new)}, {"ADM": "adm"}, None)) == [
        "ADM, trained scene",
        "ADM, other scene",
    ]
    samples = [*known.samples, *strange.samples]
    assert accuracy.of_generator(samples, "glide") == list(strange.samples)
    assert accuracy.of_generator(samples, "nobody") == []

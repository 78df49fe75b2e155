"""Tables and figures: numbers against a calculation by hand, and the commands on a tiny tree."""

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.command import assay
from support.fusing import brightness_bundle
from support.photos import write_tree
from support.tables import read_csv

from assay.engine.errors import SetupError
from assay.trainers.cli.study_pictures import read_all
from assay.trainers.data.samples import Sample, of_split, read_samples
from assay.trainers.evaluate.score import Scored
from assay.trainers.study import patches, results, robustness, sizes, table
from assay.trainers.study.method import method_of, methods_of


def scored(rows: list[tuple[str, int, float]]) -> Scored:
    samples = tuple(Sample(Path(), label, "test", group, group) for group, label, _ in rows)
    return Scored(samples, np.array([logit for *_, logit in rows]), np.zeros(len(rows), np.int64))


def test_means_are_taken_over_generators_and_families_apart() -> None:
    """StyleGAN and BigGAN are one family of the paper; a photograph counts for its own generator alone."""
    rows = [("progan", 0, -1.0), ("progan", 1, 1.0)]
    rows += [("stylegan", 0, 2.0), ("stylegan", 1, 1.0)]  # AP 1/2
    rows += [("biggan", 0, 0.0), ("biggan", 1, 1.0)]  # AP 1
    rows += [("ours", 1, 0.5), ("ours", 0, 0.0), ("ours", 0, 3.0), ("ours", 1, 4.0)]  # AP (1 + 2/3) / 2
    found = table.line("method", scored(rows))
    assert found.generators == pytest.approx({"progan": 100, "stylegan": 50, "biggan": 100, "ours": 83.3333})
    assert found.families == pytest.approx({"Seen (ProGAN)": 100, "Unconditional GANs": 75, "ours": 83.3333})
    assert list(found.families) == ["Seen (ProGAN)", "Unconditional GANs", "ours"]
    assert found.total == pytest.approx(83.3333)
    # synthetic images at ranks 1, then 3 equal ones among ranks 4 to 6, then rank 7, of 10
    assert found.pooled == pytest.approx(100 * (1 * 1 + 3 * 4 / 6 + 1 * 5 / 7) / 5)
    header, row = table.records([found])
    assert header == ["method", "biggan", "ours", "progan", "stylegan", "Total mAP", "Global AP"]
    assert row[0] == "method"
    assert "**75.000**" in table.markdown([found])


@pytest.mark.parametrize(
    ("folder", "family"),
    [
        ("FaceForensics++", "DeepFakes"),
        ("FF++", "DeepFakes"),
        ("Celeb-DF-v2", "DeepFakes"),
        ("Celeb-DF (v2)", "DeepFakes"),
        ("celeb_df", "DeepFakes"),
        ("taming-transformers", "Others"),
        ("StyleGAN3", "Unconditional GANs"),
        ("whichfaceisreal", "whichfaceisreal"),
    ],
)
def test_generators_find_their_family_however_their_folder_is_spelt(folder: str, family: str) -> None:
    assert table.family(folder) == family


def test_sizes_of_methods_one_after_another() -> None:
    """One photograph of 100 pixels between two synthetic ones, and another one of 600 alone."""
    rows = [("gan", 0, 0.0), ("gan", 1, 1.0), ("gan", 1, -1.0), ("gan", 0, -2.0)]
    small = scored(rows[:3])
    large = scored(rows)
    small.sides[:] = [100, 100, 100]
    large.sides[:] = [100, 100, 100, 600]
    header, *lines = sizes.records([("first", small), ("second", large)])
    assert header == ["method", "shorter side", "photographs", "synthetic", "mean AP", "AP", "AUC"]
    assert [line[:4] for line in lines] == [
        ["first", "64 to 111 px", 1, 2],
        ["first", "all images", 1, 2],
        ["second", "64 to 111 px", 1, 2],
        ["second", "512 to 1023 px", 1, 0],
        ["second", "all images", 2, 2],
    ]
    precision = 100 * (1 + 2 / 3) / 2
    for line in lines[:3]:
        assert line[4:] == pytest.approx([precision, precision, 50.0])
    assert lines[3][4:] == ["", "", ""]
    assert lines[4][4:] == pytest.approx([precision, precision, 75.0])


def test_alterations_do_what_their_strength_says() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    assert robustness.blurred(0)(noise) is noise
    spread = [float(robustness.blurred(sigma)(noise).std()) for sigma in (0.5, 1.0, 2.0)]
    assert spread == sorted(spread, reverse=True)
    errors = [
        float(np.abs(robustness.compressed(q)(noise).astype(float) - noise).mean()) for q in (95, 60, 30)
    ]
    assert errors == sorted(errors)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    folders = [f"test/{name}/{label}" for name in ("biggan", "crn") for label in ("0_real", "1_fake")]
    return write_tree(root, dict.fromkeys(folders, 2), side=64)


def test_commands_write_markdown_csv_and_plots(data: Path, tmp_path: Path) -> None:
    bundle = brightness_bundle(tmp_path / "bundle")
    out = tmp_path / "out"
    method = f"bright={bundle}"
    shared = [method, "--data", data, "--out", out]
    assert "Perceptual loss" in assay("study", "generators", *shared).stdout
    assay("study", "robustness", *shared, "--to", "jpeg")
    [row] = read_csv(out / "generators.csv")
    assert row["method"] == "bright"
    assert all(not math.isnan(float(value)) for name, value in row.items() if name != "method")
    by_size = read_csv(out / "sizes.csv")
    assert [row["shorter side"] for row in by_size] == ["64 to 111 px", "all images"]
    assert float(by_size[1]["AP"]) == pytest.approx(float(row["Global AP"]))
    [curve] = read_csv(out / "robustness_jpeg.csv")
    assert list(curve) == ["method", "jpeg none", *(f"jpeg {quality}" for quality in robustness.QUALITIES)]
    assert float(curve["jpeg none"]) == pytest.approx(float(row["Total mAP"]), abs=1e-3)
    assert not list(out.glob("left_out*"))
    for name in ("generators", "robustness_jpeg"):
        assert (out / f"{name}.md").read_text().startswith("| ")
        with Image.open(out / f"{name}.png") as plot:
            assert min(plot.size) > 300


def test_files_that_no_method_can_score_are_counted_and_listed(data: Path, tmp_path: Path) -> None:
    bundle = brightness_bundle(tmp_path / "bundle")
    good, *_ = (data / "test" / "crn" / "1_fake").iterdir()
    bad = good.with_name("cut.jpg")
    bad.write_bytes(good.read_bytes()[:200])
    out = tmp_path / "out"
    command = [f"bright={bundle}", "--data", data, "--out", out]
    for chosen in (["generators"], ["robustness", "--to", "blur"]):
        result = assay("study", chosen[0], *command, *chosen[1:])
        assert "bright: 1 file was left out" in result.stderr
        assert (out / "left_out_bright.txt").read_text() == f"{bad}\n"
        (out / "left_out_bright.txt").unlink()
    bad.unlink()


def test_a_baseline_trains_and_stands_in_a_study(tmp_path: Path) -> None:
    folders = [f"{split}/{label}" for split in ("train", "val", "test") for label in ("0_real", "1_fake")]
    data = write_tree(tmp_path / "data", dict.fromkeys(folders, 4), side=64)
    options = "--backbone patch_forensics --epochs 1 --batch 4 --size 32 --workers 0"
    assay("train", "plain", "--data", data, "--out", tmp_path / "run", *options.split())
    found = method_of(f"patches={tmp_path / 'run'}").score(of_split(read_samples(data), "test"), None)
    assert len(found.logits) == 8
    assert np.ptp(found.logits) > 0


def test_a_shipped_bundle_is_a_method_by_its_name() -> None:
    assert method_of("ours=plain-mobilenet").name == "ours"


def test_what_a_method_could_not_score_is_empty_and_so_are_its_means() -> None:
    one = scored([("adm", 0, -1.0), ("biggan", 1, 1.0), ("cyclegan", 1, 2.0), ("gaugan", 1, 3.0)])
    other = scored([("adm", 0, -1.0), ("biggan", 1, 1.0), ("cyclegan", 1, 2.0)])
    lines = [table.line("one", one), table.line("other", other)]
    last = table.markdown(lines).splitlines()[-1]
    assert last == "| other |  | **100.000** |  |  |"
    assert table.records(lines)[2] == ["other", 100.0, 100.0, "", "", ""]
    names, dots = table.dots(lines)
    assert len(dots["one"]) == len(names) == 4
    assert dots["other"] == [(1.0, 100.0)]
    assert table.markdown(lines[::-1]).splitlines()[-2] == last


def test_methods_have_names_of_their_own(tmp_path: Path) -> None:
    bundle = brightness_bundle(tmp_path / "bundle")
    with pytest.raises(SetupError, match="two methods are called bright"):
        methods_of([f"bright={bundle}", f"bright={bundle}"])
    assert [one.name for one in methods_of([f"bright={bundle}", f"again={bundle}"])] == ["bright", "again"]


def test_a_class_of_which_nothing_could_be_scored_ends_a_study(tmp_path: Path) -> None:
    data = write_tree(tmp_path / "data", {"test/0_real": 2, "test/1_fake": 1}, side=64)
    [only] = (data / "test/1_fake").iterdir()
    only.write_bytes(b"\x89PNG\r\n")
    method = f"bright={brightness_bundle(tmp_path / 'bundle')}"
    with pytest.raises(SetupError, match=r"bright: there are no synthetic images .* could score, 2 of 3"):
        assay("study", "generators", method, "--data", data, "--out", tmp_path / "out")


def test_the_dots_of_many_methods_stay_beside_their_place(tmp_path: Path) -> None:
    names = ["a", "b"]
    curves = {f"method {number}": [(0.0, 50.0), (1.0, 60.0)] for number in range(13)}
    for count in (2, 13):
        lefts = results.beside(count)
        assert len(lefts) == count
        assert max(lefts) - min(lefts) < 0.75
        assert sum(lefts) == pytest.approx(0)
    results.plot(tmp_path / "plot.png", curves, "", "accuracy in %", names)
    assert (tmp_path / "plot.png").stat().st_size > 1000


def test_files_left_out_of_a_method_with_a_slash_in_its_name(tmp_path: Path) -> None:
    results.left_out(tmp_path, {"runs/one": {Path("bad.jpg")}, "two": set()})
    assert [file.name for file in tmp_path.iterdir()] == ["left_out_runs_one.txt"]


@pytest.mark.parametrize("text", ["runs/fusing", "=runs", "name=", "psm=/nowhere"])
def test_what_is_no_method_is_refused(text: str) -> None:
    with pytest.raises(SetupError):
        method_of(text)


def test_patches_are_drawn_where_they_are(tmp_path: Path) -> None:
    dark = np.zeros((600, 800, 3), np.uint8)
    evidence = {
        "patches": [
            {"box": [100, 200, 324, 424], "attention": 0.3},
            {"box": [400, 500, 512, 612], "attention": 0.1},
        ]
    }
    picture = np.asarray(patches.drawn(dark, evidence))
    framed = picture.any(axis=2)
    assert framed[100, 200:424].all()
    assert framed[323, 200:424].all()
    assert framed[400:512, 611].all()
    assert not framed[120:300, 220:400].any()
    assert picture[100, 300, 0] > picture[400, 550, 2] > 0  # red, and a fainter blue

    files = []
    for number in range(5):
        files.append(tmp_path / f"{number}.png")
        Image.fromarray(dark + number * 30).save(files[-1])
    bundle = brightness_bundle(tmp_path / "bundle")
    assay("study", "patches", bundle, *files, "--out", tmp_path / "out")
    assert len(read_csv(tmp_path / "out" / "patches.csv")) == 5 * 6
    with Image.open(tmp_path / "out" / "patches.png") as sheet:
        assert sheet.width == 4 * 384
        height = sheet.height // 2
        assert height * 2 == sheet.height > 2 * 384
        for number in range(5):
            row, column = divmod(number, 4)
            words = (384 * column, height * row + 384, 384 * (column + 1), height * (row + 1))
            assert sheet.crop(words).convert("L").getextrema()[0] < 100


def test_patches_of_what_is_no_image(tmp_path: Path) -> None:
    bundle, out = brightness_bundle(tmp_path / "bundle"), tmp_path / "out"
    text, small = tmp_path / "text.jpg", tmp_path / "small.png"
    text.write_text("not an image")
    Image.new("RGB", (500, 8)).save(small)
    with pytest.raises(SetupError, match=r"text\.jpg: This looks like text"):
        assay("study", "patches", bundle, text, "--out", out)
    with pytest.raises(
        SetupError, match=r"small\.png: its shorter side has 8 pixels, and the bundle needs 9"
    ):
        read_all([small], 9)
    assert list(read_all([small], 8)) == ["small.png"]
    with pytest.raises(FileNotFoundError, match=r"nowhere\.jpg"):
        assay("study", "patches", bundle, tmp_path / "nowhere.jpg", "--out", out)
    assert not out.exists()


def test_patches_have_names_and_numbers(tmp_path: Path) -> None:
    bundle, out = brightness_bundle(tmp_path / "bundle"), tmp_path / "out"
    files = [tmp_path / name / "one.png" for name in ("a", "b")]
    for file in files:
        file.parent.mkdir()
        Image.new("RGB", (300, 300), "white").save(file)
    assay("study", "patches", bundle, *files, "--out", out)
    rows = read_csv(out / "patches.csv")
    assert [row["image"] for row in rows] == ["a/one.png"] * 6 + ["b/one.png"] * 6
    assert [row["patch"] for row in rows] == [str(number) for number in range(1, 7)] * 2

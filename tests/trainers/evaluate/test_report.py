"""The whole command on a tiny tree: several bundles, both treatments, a sweep, and every file it writes."""

import csv
import io
import json
from html.parser import HTMLParser
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from PIL import Image
from support.bundles import plain_bundle
from support.command import exit_code
from support.photos import scene
from support.tables import read_csv

from assay.engine.bundle import Bundle
from assay.trainers.evaluate.markdown import table
from assay.trainers.evaluate.metrics import Row
from assay.trainers.evaluate.result import json_schema
from assay.trainers.evaluate.spread import spread


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs are dark PNGs, synthetic images bright JPEGs, but for one of each; one file is no image."""
    root = tmp_path_factory.mktemp("evaluate")
    rng = np.random.default_rng(0)
    for group, count in (("a|b", 12), ("<flow>", 3)):
        for label, suffix in (("0_real", ".png"), ("1_fake", ".jpg")):
            target = root / "data/test" / group / label
            target.mkdir(parents=True)
            for number in range(count):
                shade = 70 * ((suffix == ".jpg") != (number == 0)) + 40
                pixels = scene(rng, 24, 24) // 4 + np.uint8(shade)
                Image.fromarray(pixels).save(target / f"{number}{suffix}")
    (root / "data/test/a|b/0_real/text.png").write_text("no image")
    plain_bundle(root / "one", "one")
    sure = {"method": "isotonic", "points": [[-8, 0.05], [-3, 0.05], [1, 0.95]], "shift": -1}
    plain_bundle(root / "two", "two", calibration=sure)
    return root


@pytest.fixture(scope="module")
def out(folder: Path, capfd_module: str) -> Path:
    (folder / "printed.md").write_text(capfd_module)
    return folder / "out"


@pytest.fixture(scope="module")
def capfd_module(folder: Path) -> str:
    """What the command prints; it runs once for all tests."""
    from contextlib import redirect_stdout

    printed = io.StringIO()
    arguments = [
        "--data",
        folder / "data",
        "--as-stored",
        "--alike",
        "--sweep",
        "crop",
        "--out",
        folder / "out",
    ]
    with redirect_stdout(printed):
        assert exit_code("evaluate", folder / "one", folder / "two", *arguments) == 0
    return printed.getvalue()


def test_what_is_printed(out: Path) -> None:
    text = (out / "report.md").read_text()
    assert (out.parent / "printed.md").read_text().rstrip("\n") == text.rstrip("\n")
    assert "nan" not in text
    first = text.split("## ")[1:4]
    assert "one: 1 files were refused" in first[0]
    assert "synthetic if format is JPEG has a balanced accuracy of 100.0% on exactly" in first[1]
    assert (
        "at most 1024 pixels on the longer side and re-encoded as JPEG of quality 80. No single" in first[2]
    )
    for section in text.split("## ")[4:]:
        lines = [line for line in section.splitlines() if line.startswith("|")]
        assert len({line.replace("\\|", "").count("|") for line in lines}) == 1
        assert lines[0].startswith("| bundle | stored |")
    generators = text.split("## Generators")[1].split("##")[0]
    named = [line.split(" | ")[:2] for line in generators.splitlines() if "flow" in line]
    assert named == [["| one", "as stored"], ["| one", "alike"], ["| two", "as stored"], ["| two", "alike"]]


def test_json_holds_every_figure_and_keeps_to_its_schema(out: Path) -> None:
    found = json.loads((out / "report.json").read_text())
    jsonschema.validate(found, json_schema())
    assert (found["schema"], found["splits"]) == (1, ["test"])
    assert [one["told_accuracy"] for one in found["stored"]] == [1.0, 0.5]
    results = {(one["bundle"], one["treatment"]): one for one in found["results"]}
    assert set(results) == {(name, how) for name in ("one", "two") for how in ("as stored", "alike")}
    one, two = results["one", "as stored"], results["two", "as stored"]
    assert (one["overall"]["photographs"], one["overall"]["synthetic"], one["refused"]) == (15, 15, 1)
    assert one["overall"]["auc"] == two["overall"]["auc"] > 0.7  # calibration does not change an order
    assert one["intervals"]["auc"][0] < one["overall"]["auc"] < one["intervals"]["auc"][1]
    assert one["generators"]["auc"]["groups"] == 1  # of the other there are three images
    assert one["generators"]["auc"]["name"] == "a|b"
    assert (one["calibration"]["method"], two["calibration"]["method"]) == ("temperature", "isotonic")
    assert two["overall"]["caught"] > one["overall"]["caught"]
    assert one["risk_coverage"][-1][0] == 1
    assert [(at["sweep"], at["level"]) for at in one["sweeps"]] == [
        ("crop", "unchanged"), ("crop", "0.9 of a side"), ("crop", "0.75 of a side"),
        ("crop", "0.5 of a side"), ("crop", "0.35 of a side"),
    ]  # fmt: skip
    assert one["by_source"][0]["auc"] is None


def test_csv_files(out: Path) -> None:
    tables = {path.stem: read_csv(path) for path in out.glob("*.csv")}
    assert set(tables) == {"pools", "generators", "sources", "sizes", "sweeps", "scores"}
    assert len(tables["scores"]) == 30 * 4
    assert len(tables["sweeps"]) == 5 * 4
    manifests = {name: Bundle.load(out.parent / name).manifest for name in ("one", "two")}
    for row in tables["scores"]:
        manifest = manifests[row["bundle"]]
        probability = manifest.calibration.probability(float(row["logit"]))
        assert float(row["probability"]) == pytest.approx(probability)
        assert row["verdict"] == manifest.thresholds.label(float(row["probability"]))
    assert {row["name"] for row in tables["generators"]} == {"a|b", "<flow>"}
    assert (out / "refused.txt").read_text() == f"{out.parent}/data/test/a|b/0_real/text.png\n"
    for path in out.glob("*.csv"):
        with path.open(newline="") as file:
            assert len({len(row) for row in csv.reader(file)}) == 1


class Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.cells: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in ("meta", "img"):
            self.open.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "td":
            self.cells.append(data)


def test_the_page_is_whole_and_loads_nothing(out: Path) -> None:
    page = Page()
    page.feed((out / "report.html").read_text())
    assert not page.open
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert len(page.sources) == 4
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    assert {"<flow>", "a|b"} <= set(page.cells)


def test_plots_can_be_read(out: Path) -> None:
    pictures = {path.stem for path in out.glob("*.png")}
    assert pictures == {"roc", "reliability", "risk_coverage", "sweep_crop"}
    for path in out.glob("*.png"):
        with Image.open(path) as image:
            image.load()
            assert min(image.size) > 300


def test_wrong_input_is_one_sentence(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    one, data = folder / "one", folder / "data"
    plain_bundle(folder / "large", "large", min_side=500)
    (folder / "file").write_text("")
    (folder / "train/x/train/0_real").mkdir(parents=True)
    Image.new("RGB", (32, 32)).save(folder / "train/x/train/0_real/0.png")
    for arguments, words in (
        ([one, one, "--data", data], "is named twice"),
        ([one, "--data", data, "--sweep", "rotate"], "no sweep named 'rotate'; choose of jpeg,webp,"),
        ([one, "--data", data, "--alike", "--record"], "give --as-stored beside --alike"),
        ([one, "--data", data, "--out", folder / "file"], "cannot be written to"),
        ([one, "--data", data, "--out", folder / "file/sub"], "cannot be written to"),
        ([one, "--data", data, "--split", "dev"], "no images in split dev"),
        ([one, "--data", folder / "nowhere"], "is not a folder"),
        ([one, "--data", folder / "train"], "of the split train alone: judge them with --split train"),
        ([folder / "large", "--data", data], "large can score none of the 31 images"),
        ([folder / "three", "--data", data], "there is no such folder"),
    ):
        assert exit_code("evaluate", *arguments) == 2
        shown = capfd.readouterr()
        assert words in " ".join(shown.err.split())
        assert "Traceback" not in shown.err
        assert not shown.out


def test_one_class_alone_has_what_figures_it_can(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    target = folder / "photographs/camera/0_real"
    target.mkdir(parents=True)
    for number in range(3):
        Image.fromarray(scene(np.random.default_rng(number), 24, 24)).save(target / f"{number}.png")
    arguments = ["--data", folder / "photographs", "--out", folder / "half"]
    assert exit_code("evaluate", folder / "one", *arguments) == 0
    assert "camera" in capfd.readouterr().out
    [result] = json.loads((folder / "half/report.json").read_text())["results"]
    assert result["overall"]["auc"] is None
    assert result["overall"]["false_alarms"] == 0
    assert result["generators"]["auc"]["groups"] == 0
    assert not (folder / "half/refused.txt").exists()


def test_two_bundles_of_one_name_are_told_apart(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    plain_bundle(folder / "again", "one")
    assert exit_code("evaluate", folder / "one", folder / "again", "--data", folder / "data") == 0
    shown = capfd.readouterr().out
    assert f"| {folder / 'one'} |" in shown
    assert f"| {folder / 'again'} |" in shown


def row(pool: str, name: str, images: int, caught: float) -> Row:
    nan = float("nan")
    return Row(pool, name, 0, images, nan, nan, nan, nan, nan, nan, nan, nan, caught, nan, nan)


def test_the_worst_is_of_those_with_images_enough_and_one_row_each() -> None:
    rows = [
        row("x", "small", 2, 0.0),
        row("x", "gan", 10, 0.2),
        row("y", "gan", 30, 0.6),
        row("x", "flow", 20, 0.5),
    ]
    rows += [row("all", "gan", 40, 0.5), row("x", "silent", 50, float("nan"))]
    found = spread(rows, "caught")
    assert (found.mean, found.worst, found.groups) == (0.5, 0.5, 2)
    assert spread(rows[:1], "caught").name == "small"
    assert spread([], "caught").groups == 0
    assert spread([*rows, row("x", "best", 10, 0.9)], "caught", max).name == "best"


def test_markdown_cells_stay_in_their_columns() -> None:
    assert table([["a|b", "c"], ["1\n2", "3"]]) == "| a\\|b | c |\n| --- | --: |\n| 1 2 | 3 |\n"
    assert table([]) == ""


def test_doubts_are_told_by_source_and_generator(folder: Path, tmp_path: Path) -> None:
    """The brightest and the darkest are labelled by thresholds alone, and doubted as too small."""
    sure = {"synthetic": 0.51, "authentic": 0.49}
    plain_bundle(tmp_path / "knows", "knows", min_side=16, thresholds=sure, domain={"side": 24})
    plain_bundle(
        tmp_path / "doubts", "doubts", min_side=16, thresholds=sure, domain={"side": 25, "quality": 99}
    )
    bundles = (tmp_path / "knows", tmp_path / "doubts")
    assert exit_code("evaluate", *bundles, "--data", folder / "data", "--out", tmp_path / "out") == 0
    found = json.loads((tmp_path / "out/report.json").read_text())
    jsonschema.validate(found, json_schema())
    knows, doubts = found["results"]
    assert knows["decided"] == knows["by_thresholds"] == doubts["by_thresholds"]
    assert doubts["decided"][0] == 0
    rows = {(row["label"], row["name"]): row for row in doubts["doubted"]}
    assert set(rows) == {
        (label, name) for label in ("photographs", "synthetic") for name in ("a|b", "<flow>", "all")
    }
    assert {row["uncertain"] for row in rows.values()} == {1.0}
    assert rows["photographs", "all"]["doubts"] == {"small": 1.0, "compressed": 0.0}  # these are no JPEGs
    assert rows["synthetic", "<flow>"]["doubts"] == {"small": 1.0, "compressed": 1.0}
    scores = read_csv(tmp_path / "out/scores.csv")
    assert {row["doubts"] for row in scores if row["bundle"] == "knows"} == {""}
    assert {row["doubts"] for row in scores if row["bundle"] == "doubts"} == {"small", "small compressed"}
    assert len(read_csv(tmp_path / "out/doubts.csv")) == 2 * 6
    assert "## Doubts by source and generator" in (tmp_path / "out/report.md").read_text()

"""`assay explain`: what is drawn is what was scored, turned as the photograph is shown."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import apn, fusing, lnp
from support.bundles import plain_bundle
from support.command import assay
from support.ensemble import ensemble_bundle
from support.images import encode, evil, photograph

from assay.engine.bundle import Bundle
from assay.engine.detectors import KINDS, Detection
from assay.engine.engine import Engine
from assay.engine.errors import SetupError
from assay.engine.explain import PANELS, explain
from assay.engine.explain.apn import overlaid
from assay.engine.explain.plain import crop_boxes
from assay.engine.explain.seen import Trace
from assay.engine.explain.sheet import COLOURS, WIDTH, Panel, font, sheet, wrapped
from assay.engine.outcome import Label, Refused, Verdict
from assay.engine.report.picture import ORIENTATION
from assay.engine.settings import Settings
from assay.kernels import view

MAKERS: dict[str, Callable[[Path], Path]] = {
    "plain": plain_bundle,
    "fusing": fusing.brightness_bundle,
    "apn": apn.bands_bundle,
    "lnp": lnp.mean_bundle,
    "ensemble": ensemble_bundle,
}
SETTINGS = Settings(workers=0)


@pytest.fixture(scope="module", params=MAKERS)
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return Bundle.load(MAKERS[request.param](tmp_path_factory.mktemp(request.param)))


def turned_photo(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return encode(photograph(300, 420), quality=95, exif=exif)


def test_every_kind_can_be_drawn() -> None:
    assert PANELS.keys() == KINDS.keys() == MAKERS.keys()


@pytest.mark.parametrize("size", [(300, 420), (9, 9), (8, 400), (1500, 20)])
def test_a_page_comes_of_any_size_with_the_served_verdict(bundle: Bundle, size: tuple[int, int]) -> None:
    data = encode(photograph(*size), "PNG")
    verdict, page = explain("photo.png", data, bundle, SETTINGS)
    with Engine(bundle, settings=SETTINGS) as engine:
        served = engine.score(data)
    assert isinstance(served, Verdict)
    assert (verdict.label, verdict.probability, verdict.evidence) == (
        served.label,
        served.probability,
        served.evidence,
    )
    assert page.width == WIDTH
    assert 200 < page.height < 4000
    colours = {colour for _, colour in page.crop((0, 0, WIDTH, 80)).getcolors(1 << 20) or []}
    assert COLOURS[verdict.label] in colours


def test_what_is_turned_by_exif_is_drawn_turned(bundle: Bundle) -> None:
    _, upright = explain("photo.jpg", turned_photo(1), bundle, SETTINGS)
    _, turned = explain("photo.jpg", turned_photo(6), bundle, SETTINGS)
    assert turned.height != upright.height  # the photograph stands where it lay


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_boxes_of_patches_lie_on_the_turned_photograph(tmp_path: Path, orientation: int) -> None:
    """A black photograph with one bright square: the patches that are drawn must hold it, however turned."""
    pixels = np.zeros((600, 900, 3), np.uint8)
    pixels[60:200, 640:800] = (0, 250, 0)
    bundle = Bundle.load(fusing.brightness_bundle(tmp_path))
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    data = encode(pixels, "PNG", exif=exif)
    verdict, page = explain("photo.png", data, bundle, SETTINGS)
    first = verdict.evidence["patches"][0]["box"]
    assert first[0] <= 130 <= first[2]
    assert first[1] <= 720 <= first[3]
    shown = np.asarray(page).astype(int)
    bright = (shown[..., 1] > 200) & (shown[..., 0] < 60) & (shown[..., 2] < 60)
    photo = bright[:, : WIDTH * 2 // 3]
    rows, columns = np.flatnonzero(photo.sum(axis=1) > 40), np.flatnonzero(photo.sum(axis=0) > 40)
    lines = (np.abs(shown - (70, 70, 78)) < 3).all(axis=2) | (np.abs(shown - (214, 76, 10)) < 3).all(axis=2)
    around = lines[rows[0] - 140 : rows[-1] + 140, max(columns[0] - 140, 0) : columns[-1] + 140]
    assert around.sum() > 200, orientation


@pytest.mark.parametrize(("height", "width"), [(90, 130), (32, 33), (20, 200)])
def test_plain_crops_are_the_pixels_that_their_boxes_name(tmp_path: Path, height: int, width: int) -> None:
    crops = [[0, 0], [0.25, 1], [1, 0.5]]
    rule = {"resize": "none", "size": 32, "crop": crops, "small": "wrap", "mean": [0] * 3, "std": [1] * 3}
    manifest = Bundle.load(plain_bundle(tmp_path, view=rule)).manifest
    pixels = photograph(height, width)
    seen = Trace(pixels, 1, manifest, Detection(0.0), {})
    views = view([pixels], manifest.view)
    for box, crop in zip(crop_boxes(seen), views, strict=True):
        top, left, bottom, right = (round(edge) for edge in box)
        assert 0 <= top < bottom <= height
        assert 0 <= left < right <= width
        named = pixels[top:bottom, left:right].transpose(2, 0, 1) / np.float32(255)
        assert np.allclose(crop[:, : bottom - top, : right - left], named, atol=1e-6)


def test_crops_of_further_rules_have_boxes_of_their_own(tmp_path: Path) -> None:
    """The image is 4 times as wide as high: of the reduced one two crops show the left and the right end."""
    rule = {"size": 32, "small": "wrap", "mean": [0] * 3, "std": [1] * 3}
    stored = {"resize": "none", "crop": [[1, 1]], **rule}
    reduced = {"resize": "short_side", "crop": [[0, 0], [0, 1]], **rule}
    folder = plain_bundle(tmp_path, view=stored, parameters={"more_views": [reduced]})
    seen = Trace(photograph(64, 256), 1, Bundle.load(folder).manifest, Detection(0.0), {})
    assert crop_boxes(seen) == [(32, 224, 64, 256), (0, 0, 64, 64), (0, 192, 64, 256)]
    verdict, _ = explain("photo.png", encode(seen.pixels, "PNG"), Bundle.load(folder), SETTINGS)
    assert len(verdict.evidence["crop_logits"]) == 3


def test_bands_are_tinted_where_they_hold_the_half_spectrum() -> None:
    """Rows 8 to 15 and column 0 for red, row 0 and columns 20 to 32 for blue, row and column 0 for green."""
    crosses = np.array([[8, 15, 0, 0], [0, 0, 0, 0], [0, 0, 20, 32]]) / 64
    found = np.asarray(overlaid(np.zeros((64, 33), np.float32), crosses), int)
    times = found.shape[0] // 64
    found = found[times // 2 :: times, times // 2 :: times]
    rows = (np.arange(64) + 32) % 64  # frequency 0 stands in the middle
    red, green, blue = (found[rows, :, channel] > 100 for channel in range(3))
    assert set(np.flatnonzero(red[:, 5])) == set(range(8, 16))
    assert set(np.flatnonzero(green[:, 5])) == {0}
    assert set(np.flatnonzero(blue[40])) >= set(range(20, 33))
    assert not blue[40, 5]


def test_a_page_grows_with_what_is_on_it() -> None:
    panels = [
        Panel(f"panel {n}", Image.new("RGB", (300, 700), (n, 9, 200)), ["note " * 30]) for n in range(40)
    ]
    page = sheet("headline", COLOURS[Label.SYNTHETIC], ["words"], panels)
    colours = {colour for _, colour in page.getcolors(1 << 24) or []}
    assert {(n, 9, 200) for n in range(40)} <= colours


@pytest.mark.parametrize("words", ["", "one", "many words " * 40, "x" * 500, "short " + "y" * 300 + " end"])
def test_words_are_wrapped_and_none_is_lost(words: str) -> None:
    lines = wrapped(words, 15, 200)
    assert all(font(15).getlength(line) <= 200 for line in lines)
    assert "".join(lines).replace(" ", "") == words.replace(" ", "")


def test_a_refused_image_is_refused_with_its_reason(bundle: Bundle) -> None:
    for sample in evil().values():
        with pytest.raises(Refused) as refused:
            explain("evil", sample.data, bundle, SETTINGS)
        assert refused.value.reason in sample.reasons


def test_the_command_writes_a_picture_and_prints_the_line_of_scan(bundle: Bundle, tmp_path: Path) -> None:
    photo = tmp_path / "ünïcode name.jpg"
    photo.write_bytes(encode(photograph(100, 140)))
    for out in (tmp_path / "out.png", tmp_path / "out.webp"):
        printed = assay("explain", photo, "-o", out, "--bundle", bundle.path).stdout
        assert printed == assay("scan", photo, "--bundle", bundle.path, "--workers", 0).stdout
        with Image.open(out) as page:
            assert page.width == WIDTH


@pytest.mark.parametrize(
    ("image", "out", "says"),
    [
        ("nowhere.jpg", "out.png", "nowhere.jpg does not exist"),
        (".", "out.png", "is no file"),
        ("notes.txt", "out.png", r"notes\.txt gets no verdict \(unsupported_format\): .*text"),
        ("photo.jpg", "out.nonsense", r"out\.nonsense cannot be written"),
        ("photo.jpg", "no/folder/out.png", r"no/folder/out\.png cannot be written"),
    ],
)
def test_what_does_not_work_is_one_sentence(
    bundle_folder: Path, tmp_path: Path, image: str, out: str, says: str
) -> None:
    (tmp_path / "notes.txt").write_text("no image at all, only words")
    (tmp_path / "photo.jpg").write_bytes(encode(photograph()))
    with pytest.raises(SetupError, match=says):
        assay("explain", tmp_path / image, "-o", tmp_path / out, "--bundle", bundle_folder)
    assert not (tmp_path / out).exists()


def test_it_draws_without_torch_or_matplotlib(bundle_folder: Path, tmp_path: Path) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(encode(photograph()))
    code = (
        "import sys\n"
        "from typer.testing import CliRunner; from assay.engine.commands.app import app\n"
        "result = CliRunner().invoke(app, sys.argv[1:]); assert result.exit_code == 0, result.output\n"
        "assert not {'torch', 'matplotlib'} & set(sys.modules)"
    )
    command = [sys.executable, "-P", "-c", code, "explain", photo, "-o", tmp_path / "x.png"]
    subprocess.run([*command, "--bundle", bundle_folder], check=True, timeout=60)

"""The page of `assay scan --report`: whole, harmless, bounded, and turned as photographs are shown."""

import base64
import io
import re
import tracemalloc
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.bundles import plain_bundle
from support.command import assay
from support.images import encode, evil, good, photograph

from assay.engine.bundle import Bundle
from assay.engine.commands import scan as scan_command
from assay.engine.core import Core
from assay.engine.core import core as core_module
from assay.engine.doors.files import scan
from assay.engine.errors import SetupError
from assay.engine.outcome import Label, Reason, Rejection, Verdict
from assay.engine.report import html as html_report
from assay.engine.report.html import boxes, thumbnail
from assay.engine.report.html import html_report as report_on
from assay.engine.report.picture import ORIENTATION
from assay.engine.settings import Settings


class Page(HTMLParser):
    """Cards by their class, images, and whether what was opened was closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.cards: list[str] = []
        self.images: list[bytes] = []
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.add(tag)
        if tag == "article":
            self.cards.append(given["class"] or "")
        if tag == "img":
            self.images.append(base64.b64decode((given["src"] or "").split(",")[1]))
        if tag not in ("meta", "img", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


def verdict(evidence: dict[str, object] | None = None) -> Verdict:
    return Verdict("x", Label.SYNTHETIC, 0.9, {"plain": 2.5}, "bundle", "1.0", evidence or {})


def test_every_file_has_a_card(tmp_path: Path) -> None:
    folder, out = tmp_path / "photos", tmp_path / "report.html"
    folder.mkdir()
    names = [
        "a.jpg",
        "b & <script>alert(1)</script>.png",
        "c \"'.webp",
        b"d\xff.jpg".decode("utf-8", "surrogateescape"),
    ]
    for number, name in enumerate(names):
        file = folder / name.replace("/", "_")
        file.write_bytes(encode(np.full((40, 60, 3), 60 * number, np.uint8)))
    for number, sample in enumerate(list(evil().values())[:9]):
        (folder / f"evil {number}").write_bytes(sample.data)
    options = ("--report", out, "--bundle", plain_bundle(tmp_path / "bundle"), "--workers", 0)
    assert assay("scan", folder, *options).stdout == ""
    text = out.read_text("utf-8")
    page = Page(text)
    assert page.open == []
    assert len(page.cards) == 13
    assert page.cards.count("rejected") == 9
    assert len(page.images) == 4
    assert "script" not in page.tags
    assert "13 files" in page.words
    assert "b & <script>" in page.words
    assert "brightness 1.0.0" in page.words
    assert not re.findall(r'(?:src|href)="(?!data:)', text)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("name", "options"), [("photo.jpg", {"format": "JPEG", "quality": 95}), ("photo.png", {"format": "PNG"})]
)
def test_thumbnails_are_turned_and_boxes_with_them(
    tmp_path: Path, orientation: int, name: str, options: dict[str, Any]
) -> None:
    pixels = np.full((600, 900, 3), 30, np.uint8)
    pixels[100:300, 100:400] = (250, 250, 250)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    file = tmp_path / name
    file.write_bytes(encode(pixels, **options, exif=exif))  # type: ignore[arg-type]
    data = thumbnail(file, [[100, 100, 300, 400]])
    assert data is not None
    shown = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), int)
    assert max(shown.shape) == html_report.SIDE
    bright = shown.min(axis=2) > 200
    framed = (shown[..., 0] - shown[..., 2]) > 90
    rows, columns = np.flatnonzero(bright.any(axis=1)), np.flatnonzero(bright.any(axis=0))
    assert framed.any()
    for edges, lines in ((rows, framed.any(axis=1)), (columns, framed.any(axis=0))):
        where = np.flatnonzero(lines)
        assert abs(where[0] - edges[0]) <= 4
        assert abs(where[-1] - edges[-1]) <= 4
    upright = orientation < 5
    assert (shown.shape[1] > shown.shape[0]) == upright


def test_every_good_format_has_a_thumbnail_and_no_evil_one_breaks_the_page(tmp_path: Path) -> None:
    for name, one in good().items():
        file = tmp_path / "image"
        file.write_bytes(one.data)
        data = thumbnail(file)
        assert data is not None, name
        with Image.open(io.BytesIO(data)) as image:
            assert max(image.size) <= html_report.SIDE
    for sample in evil().values():
        (tmp_path / "image").write_bytes(sample.data)
        thumbnail(tmp_path / "image")
    assert thumbnail(tmp_path / "nowhere") is None


def test_boxes_are_found_wherever_they_stand() -> None:
    patches = {"patches": [{"box": [1, 2, 3, 4], "attention": 0.5}, {"box": [5, 6, 7, 8], "attention": 0.1}]}
    assert boxes(patches) == [[1, 2, 3, 4], [5, 6, 7, 8]]
    assert boxes({"face": {"box": [0, 0, 9, 9], "share": 1.0}, "pattern_rms": [0.1]}) == [[0, 0, 9, 9]]
    assert boxes({"face": {"box": None, "share": 0.0}}) == []


def test_memory_and_thumbnails_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, out = tmp_path / "photo.jpg", tmp_path / "report.html"
    file.write_bytes(encode(photograph(480, 640), quality=90))
    monkeypatch.setattr(html_report, "THUMBNAILS", 40)
    peaks = []
    for count in (40, 400):
        tracemalloc.start()
        with out.open("w") as stream, report_on(stream) as report:
            for number in range(count):
                report(file, verdict({"number": number}))
                report(file, Rejection("x", Reason.TRUNCATED, "It ends too early."))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    page = Page(out.read_text())
    assert len(page.cards) == 800
    assert len(page.images) == 40
    assert "Only the first 40 have pictures" in page.words
    assert "400 synthetic, 400 truncated" in page.words
    assert peaks[1] < peaks[0] + 300_000


def test_a_report_of_nothing_is_a_page(tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    options = ("--report", out, "--bundle", plain_bundle(tmp_path.parent / "bundle0"), "--workers", 0)
    assert assay("scan", tmp_path, *options).stdout == ""
    page = Page(out.read_text())
    assert page.open == []
    assert "nothing to score" in page.words


@pytest.mark.parametrize("other", [["--json"], ["--csv", "x.csv"]])
def test_one_form_at_a_time(tmp_path: Path, other: list[str]) -> None:
    with pytest.raises(SetupError, match="exclude each other"):
        assay("scan", tmp_path, "--report", tmp_path / "report.html", *other)
    with pytest.raises(SetupError, match="cannot be written"):
        assay("scan", tmp_path, "--report", tmp_path / "no" / "report.html")


def test_evidence_is_drawn_on_demand_and_what_is_left_out_is_said(
    bundle_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, out = tmp_path / "photos", tmp_path / "report.html"
    photos.mkdir()
    for number in range(5):
        (photos / f"{number}.png").write_bytes(encode(photograph(90, 130), "PNG"))
    (photos / "0 cut.png").write_bytes(encode(photograph(90, 130), "PNG")[:900])
    monkeypatch.setattr(scan_command, "EVIDENCE", 4)
    monkeypatch.setattr(html_report, "EVIDENCE", 4)
    options = ("--report", out, "--bundle", bundle_folder, "--workers", 0)
    assay("scan", photos, *options)
    plain = Page(out.read_text())
    assay("scan", photos, *options, "--evidence")
    text = out.read_text()
    page = Page(text)
    assert page.open == []
    assert page.cards == plain.cards
    assert "figure" not in plain.tags
    assert "verdicts have it drawn" not in plain.words
    assert (
        "3 verdicts have it drawn; 2 do not, for only the first 4 files are drawn, and no very large ones."
        in page.words
    )
    figures = text.count("<figure>")
    assert figures == len(page.images) - len(plain.images) >= 3
    assert figures % 3 == 0
    for one in page.images:
        with Image.open(io.BytesIO(one)) as image:
            assert image.format == "WEBP"
    assert '"pictures"' not in page.words
    assert not re.findall(r'(?:src|href)="(?!data:)', text)
    room = max(map(len, re.findall(r"<figure>.*?<pre>", text)))  # of one verdict, not of two
    monkeypatch.setattr(html_report, "EVIDENCE_BYTES", room)
    assay("scan", photos, *options, "--evidence")
    less = Page(out.read_text())
    assert "1 verdicts have it drawn; 2 do not" in less.words
    assert "; of 2 it is left out" in less.words
    assert len(less.images) == len(plain.images) + figures // 3


def test_hostile_words_of_evidence_stay_words(tmp_path: Path) -> None:
    drawn = {"title": "<script>", "notes": ["</figure>&"], "width": 1, "height": 1, "webp": "AAAA"}
    with (tmp_path / "x").open("w") as stream, report_on(stream) as report:
        report(tmp_path / "nowhere", verdict({"pictures": [drawn]}))
    page = Page((tmp_path / "x").read_text())
    assert page.open == []
    assert "script" not in page.tags
    assert "</figure>&" in page.words


def test_evidence_needs_a_page(bundle_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="--evidence needs --report"):
        assay("scan", tmp_path, "--evidence", "--bundle", bundle_folder)


def test_what_is_too_large_to_be_drawn_is_scored(bundle_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(encode(photograph(90, 130), "PNG"))
    core = Core([Bundle.load(bundle_folder)], Settings(workers=0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(core_module, "DRAWING", 1 << 50)
        [(_, outcome)] = scan(core, [tmp_path / "1.png"], drawn=1)
    core.stop()
    assert isinstance(outcome, Verdict)
    assert "pictures" not in outcome.evidence

"""`assay explain FOLDER`: a page for each verdict, a line for each file, and nothing hurts a neighbour."""

import html
import os
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.bundles import plain_bundle
from support.command import assay
from support.images import encode, evil, photograph

from assay.engine.bundle import Bundle
from assay.engine.errors import SetupError
from assay.engine.explain import Explainer, explain, folder
from assay.engine.explain.folder import explain_files, page_name
from assay.engine.explain.sheet import WIDTH
from assay.engine.outcome import Reason, Rejection, Verdict
from assay.engine.settings import Limits, Settings

SETTINGS = Settings(workers=0)


def links(out: Path) -> dict[str, str]:
    """The pages that the index links -> what it calls them."""
    found = re.findall(r'<a href="([^"]+)">([^<]*)</a>', (out / "index.html").read_text("utf-8"))
    return {page: html.unescape(name) for page, name in found}


def test_every_verdict_has_a_page_and_every_file_a_line(bundle_folder: Path, tmp_path: Path) -> None:
    photos, out = tmp_path / "photos", tmp_path / "photos" / "pages"
    (photos / "below").mkdir(parents=True)
    odd = b"d\xff.jpg".decode("utf-8", "surrogateescape")
    good = ["a b.jpg", "a_b.jpg", "below/a b.jpg", "<script>alert(1)<", "#1?.jpg", odd, "x" * 255]
    for number, name in enumerate(good):
        (photos / name).write_bytes(encode(np.full((40, 60, 3), 30 * number, np.uint8)))
    samples = list(evil().values())[:9]
    for number, sample in enumerate(samples):
        (photos / f"evil {number}").write_bytes(sample.data)
    printed = assay("explain", photos, "-o", out, "--bundle", bundle_folder).stdout
    found = links(out)
    assert set(found.values()) == {*good[:5], r"d\xff.jpg", good[6]}
    assert {"index.html", *found} == set(os.listdir(out))
    assert all(re.fullmatch(r"[\w.-]+", page, re.ASCII) for page in found)
    for page in found:
        with Image.open(out / page) as image:
            assert (image.format, image.width) == ("PNG", WIDTH)
    text = (out / "index.html").read_text("utf-8")
    assert text.count("<li ") == len(good) + len(samples) == len(printed.splitlines())
    assert text.count('<li class="rejected">') == len(samples)
    assert "<script" not in text
    assert f"{len(good) + len(samples)} files: " in text
    shutil.rmtree(out)
    assert printed == assay("scan", photos, "--bundle", bundle_folder, "--workers", 0).stdout


def test_a_page_of_a_folder_is_that_of_the_file(bundle_folder: Path, tmp_path: Path) -> None:
    bundle, photos, out = Bundle.load(bundle_folder), tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    for name, size in (("1.png", (300, 420)), ("2.png", (40, 50)), ("3.png", (300, 420))):
        (photos / name).write_bytes(encode(photograph(*size), "PNG"))
    assay("explain", photos, "-o", out, "--bundle", bundle_folder)
    for page, name in links(out).items():
        _, alone = explain(name, (photos / name).read_bytes(), bundle, SETTINGS)
        with Image.open(out / page) as image:
            assert image.tobytes() == alone.tobytes()


def test_what_fails_on_one_image_leaves_the_others(
    bundle_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    out.mkdir()
    for number in range(3):
        (photos / f"{number}.png").write_bytes(encode(photograph(40, 50), "PNG"))
    explainer = Explainer(Bundle.load(bundle_folder), SETTINGS)

    def failing(name: str, data: bytes) -> Any:
        if name == "1.png":
            raise MemoryError("no room")
        return explainer(name, data)

    paths = sorted(photos.iterdir())
    outcomes = [found for _, found in explain_files(paths, photos, out, failing, Limits())]
    assert [type(found) for found in outcomes] == [Verdict, Rejection, Verdict]
    assert isinstance(outcomes[1], Rejection)
    assert outcomes[1].reason is Reason.INTERNAL
    assert "MemoryError: no room" in (out / "index.html").read_text()
    monkeypatch.setattr(folder, "INDEX", "no/index.html")
    with pytest.raises(SetupError, match="cannot be written"):
        list(explain_files(paths, photos, out, explainer, Limits()))


def test_what_was_drawn_is_linked_before_the_next_is_read(bundle_folder: Path, tmp_path: Path) -> None:
    explainer, out = Explainer(Bundle.load(bundle_folder), SETTINGS), tmp_path / "out"
    out.mkdir()
    (tmp_path / "1.png").write_bytes(encode(photograph(40, 50), "PNG"))
    drawing = explain_files(iter([tmp_path / "1.png"] * 2), tmp_path, out, explainer, Limits())
    next(drawing)
    assert links(out) == {"00001-1.png.png": "1.png"}
    drawing.close()  # type: ignore[attr-defined]


def test_names_that_clash_are_told_apart() -> None:
    names = ["a b", "a_b", "A_B", "ä" * 200, "é" * 200, ".", "x" * 255]
    pages = [page_name(number, Path(name)) for number, name in enumerate(names * 20_000, 1)]
    assert len({page.lower() for page in pages}) == len(pages)
    assert max(map(len, pages)) < 100


def test_a_folder_that_holds_something_is_left_as_it_is(bundle_folder: Path, tmp_path: Path) -> None:
    top = tmp_path / "top"
    photos = top / "photos"
    photos.mkdir(parents=True)
    (photos / "1.png").write_bytes(encode(photograph(40, 50), "PNG"))
    (top / "file").touch()
    for out, says in (
        (photos, "is not empty"),
        (top / "file", "cannot be written"),
        (top / "no" / "out", "cannot be written"),
        (top / "out.png", "name a folder"),
    ):
        with pytest.raises(SetupError, match=says):
            assay("explain", photos, "-o", out, "--bundle", bundle_folder)
    assert sorted(each.name for each in top.rglob("*")) == ["1.png", "file", "photos"]


def test_an_empty_folder_has_an_index(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    bundle = plain_bundle(tmp_path / "bundle")
    assert assay("explain", tmp_path / "photos", "-o", tmp_path / "out", "--bundle", bundle).stdout == ""
    assert "nothing to score" in (tmp_path / "out" / "index.html").read_text()

"""The dashboard in headless Chromium: what a person sees and does, over a real engine and door."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import fusing
from support.browser import CHROMIUM, Page, browsing
from support.bundles import plain_bundle
from support.images import encode, photograph

from assay.engine.bundle import Bundle
from assay.engine.core import Core
from assay.engine.doors.http import HttpDoor, HttpSettings
from assay.engine.item import Item
from assay.engine.settings import Settings

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium: apt-get install chromium")

EVIL = "<img src=x onerror=alert(1)>.jpg"
TOKEN = "a-token-of-the-test-that-is-long"


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Core]:
    folders = [tmp_path_factory.mktemp(name) for name in ("plain", "fusing")]
    bundles = [
        Bundle.load(plain_bundle(folders[0], name="crops")),
        Bundle.load(fusing.brightness_bundle(folders[1])),
    ]
    core = Core(bundles, Settings(workers=0))
    yield core
    core.stop()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browsing(tmp_path_factory.mktemp("profile")) as page:
        yield page


def start(core: Core, **settings: object) -> HttpDoor:
    door = HttpDoor(HttpSettings(address="127.0.0.1:0", **settings), lambda: True, core)  # type: ignore[arg-type]
    door.start()
    return door


@pytest.fixture
def page(core: Core, browser: Page) -> Iterator[Page]:
    """The dashboard at its usual size; its scripts and its policy must have had nothing to complain of."""
    door = start(core)
    browser.resize(1240, 900)
    browser.prefer()
    browser.complaints.clear()
    browser.requested.clear()
    browser.open(f"http://localhost:{door.port}/dashboard/")
    browser.wait("document.querySelectorAll('#bundle option').length === 2")
    yield browser
    browser.run("1")  # what is still to be told
    own = f"http://localhost:{door.port}/"
    browser.open("about:blank")
    door.stop()
    assert browser.complaints == []
    assert all(url.startswith((own, "blob:", "about:")) for url in browser.requested), browser.requested


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    file = tmp_path / EVIL
    file.write_bytes(encode(photograph(300, 420)))
    return file


def test_a_chosen_image_gets_its_verdict_and_evidence(page: Page, photo: Path) -> None:
    page.choose("#file", photo)
    page.wait("document.querySelectorAll('.pictures img').length > 1")
    assert page.wait("[...document.querySelectorAll('img')].every((one) => one.complete && one.naturalWidth)")
    assert EVIL in page.text("#verdict")
    assert "Probability of synthetic" in page.text("#verdict")
    assert page.run("[...document.images].every((one) => one.alt)")
    assert page.run("document.querySelector('#verdict').getAttribute('aria-busy')") == "false"


def test_the_chosen_bundle_scores_and_evidence_may_be_left_out(page: Page, photo: Path, core: Core) -> None:
    [_, second] = core.bundles
    page.run(f"void (document.querySelector('#bundle').value = {json.dumps(second)})")
    page.run("document.querySelector('#explain').click()")
    page.choose("#file", photo)
    page.wait("document.querySelector('.label')")
    assert f"{second} " in page.text("#verdict")
    assert page.run("document.querySelectorAll('.pictures').length") == 0


def test_a_dropped_file_that_is_no_image_is_refused_in_words(page: Page) -> None:
    page.run(
        """(() => {
          const data = new DataTransfer();
          data.items.add(new File(["<b>no image</b>"], "<b>bold</b>.html", {type: "text/html"}));
          const how = {dataTransfer: data, bubbles: true, cancelable: true};
          document.body.dispatchEvent(new DragEvent("drop", how));
        })()"""
    )
    page.wait("document.querySelector('.label.rejected')")
    assert "No verdict: unsupported format" in page.text("#verdict")
    assert "<b>bold</b>.html" in page.text("#verdict")
    assert page.run("document.querySelectorAll('#verdict b').length") == 0


def test_a_pasted_image_is_scored(page: Page, photo: Path) -> None:
    data = list(photo.read_bytes())
    page.run(
        f"""(() => {{
          const data = new DataTransfer();
          data.items.add(new File([new Uint8Array({data})], "", {{type: "image/jpeg"}}));
          document.dispatchEvent(new ClipboardEvent("paste", {{clipboardData: data, bubbles: true}}));
        }})()"""
    )
    page.wait("document.querySelector('.pictures img')")
    assert "pasted image" in page.text("#verdict")


def test_charts_have_titles_words_and_a_table(page: Page) -> None:
    page.wait("document.querySelectorAll('.chart svg').length > 3")
    titles = page.run("[...document.querySelectorAll('.chart h3')].map((one) => one.textContent)")
    assert {"Images a second", "Shares of outcomes", "Probabilities of verdicts", "Queue"} <= set(titles)
    assert page.run(
        "[...document.querySelectorAll('.chart svg')].every((svg) => svg.ariaHidden === 'true'"
        " && svg.closest('.chart').querySelector('table'))"
    )
    page.run("document.querySelector('.chart summary').click()")
    page.wait("document.querySelector('.chart details').open")
    before = page.run("document.querySelectorAll('.chart tbody')[0].rows.length")
    page.wait(f"document.querySelectorAll('.chart tbody')[0].rows.length > {before}")
    assert page.run("document.querySelector('.chart details').open")  # what was opened stays open


def test_the_keyboard_reaches_every_control_and_each_has_a_name(page: Page) -> None:
    reached = []
    for _ in range(12):
        page.press("Tab", 9)
        reached.append(page.run("document.activeElement.id || document.activeElement.localName"))
    assert [
        name for name in dict.fromkeys(reached) if name in ("file", "bundle", "explain", "span", "pause")
    ] == [*("file", "bundle", "explain", "span", "pause")]
    assert page.run(
        "[...document.querySelectorAll('main input, main select')].every((one) => one.labels.length"
        " && one.labels[0].textContent.trim())"
    )
    page.run("document.querySelector('#pause').focus()")
    page.press(" ", 32, " ")
    page.wait("document.querySelector('#pause').getAttribute('aria-pressed') === 'true'")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_follows_the_theme_and_fits_a_narrow_window(page: Page, photo: Path, theme: str) -> None:
    page.prefer(prefers_color_scheme=theme, prefers_reduced_motion="reduce")
    page.resize(320, 640)
    page.choose("#file", photo)
    page.wait("document.querySelector('.pictures img')")
    page.wait("document.querySelectorAll('.chart').length > 3")
    assert page.run("document.documentElement.scrollWidth") == 320
    back = "rgb(255, 255, 255)" if theme == "light" else "rgb(20, 22, 26)"
    assert page.run("getComputedStyle(document.body).backgroundColor") == back
    assert page.run("getComputedStyle(document.querySelector('#drop')).transitionDuration") == "0s"


def test_a_token_is_asked_for_and_kept_in_memory_alone(
    core: Core, browser: Page, photo: Path, tmp_path: Path
) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text(f"me {TOKEN}\n")
    door = start(core, tokens_file=tokens)
    browser.resize(1240, 900)
    browser.open(f"http://localhost:{door.port}/dashboard/")
    for token, comes in (("wrong", "not known here"), (TOKEN, "")):
        browser.wait("document.activeElement.id === 'token'")
        browser.type(token)
        browser.press("Enter", 13, "\r")
        if comes:
            browser.wait(f"document.querySelector('#denied').textContent.includes('{comes}')")
            browser.run("document.querySelector('#token').focus()")
    browser.wait("document.querySelector('#sign-in').hidden && document.querySelectorAll('.chart').length")
    browser.choose("#file", photo)
    browser.wait("document.querySelector('.pictures img')")
    assert browser.run("localStorage.length + sessionStorage.length + document.cookie.length") == 0
    assert TOKEN not in browser.run("location.href + document.documentElement.outerHTML")
    browser.open(f"http://localhost:{door.port}/dashboard/")
    browser.wait("!document.querySelector('#sign-in').hidden")
    browser.open("about:blank")
    door.stop()


def test_the_latest_verdicts_are_a_table_with_images_where_they_are_shown(core: Core, browser: Page) -> None:
    door = start(core, recent=4)
    browser.resize(1240, 900)
    browser.complaints.clear()
    try:
        browser.open(f"http://localhost:{door.port}/dashboard/")
        core.submit([Item(EVIL, encode(photograph(300, 420)), "crops")])[0].result(60)
        assert browser.wait("document.querySelector('#recent img')?.naturalWidth === 420")
        assert EVIL in browser.text("#recent")
        assert browser.run("document.querySelectorAll('#recent tbody tr').length === 1")
        assert browser.complaints == []
    finally:
        browser.open("about:blank")
        door.stop()
        core.on_verdict.clear()

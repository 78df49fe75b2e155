"""The dashboard on the HTTP door: its files, who gets them, its telemetry, evidence drawn."""

import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.dashboard import ask, opened
from support.stub_core import StubCore

from assay.engine import telemetry
from assay.engine.doors.http import HttpDoor
from assay.engine.doors.http.dashboard import history
from assay.engine.doors.http.dashboard.files import POLICY, load_files
from assay.engine.item import Item
from assay.engine.outcome import Doubt, Label, Verdict

FILES = {name or "index.html": answer.body.decode() for name, answer in load_files().items()}
LOCAL = {"Host": "localhost"}
PAGE = "/dashboard/"


@pytest.fixture
def door(core: StubCore) -> Iterator[HttpDoor]:
    with opened(core) as door:
        yield door


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    file = tmp_path / "tokens"
    file.write_text("me a-token-of-the-test-that-is-long\n")
    return file


def test_every_file_is_had_with_headers_that_forbid_all_else(door: HttpDoor) -> None:
    for name, text in FILES.items():
        status, body, headers = ask(door, PAGE + name.replace("index.html", ""))
        assert (status, body.decode()) == (200, text)
        assert headers["Content-Security-Policy"] == POLICY
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["X-Frame-Options"] == "DENY"
    for way in ("/", "/dashboard"):
        status, _, headers = ask(door, way)
        assert (status, headers["Location"]) == (307, PAGE)


def test_the_policy_has_no_way_around_it() -> None:
    assert "unsafe" not in POLICY
    assert POLICY.startswith("default-src 'none'")
    assert set(re.findall(r"(?:script|style|connect)-src ([^;]*)", POLICY)) == {"'self'"}


def test_the_files_need_no_more_than_the_policy_grants() -> None:
    page = FILES["index.html"]
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", page)
    assert re.findall(r"<script[^>]*>(.*?)</script>", page, re.S) == [""]
    for name, text in FILES.items():
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text), name
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\(|new Function", text
        ), name
        assert not re.search(r"localStorage|sessionStorage|indexedDB|document\.cookie|@import|url\(", text), (
            name
        )


def test_every_file_is_used_and_every_used_file_is_there() -> None:
    used = set(re.findall(r'(?:href|src)="([^"]+)"', FILES["index.html"]))
    for name, text in FILES.items():
        if name.endswith(".js"):
            used |= set(re.findall(r'from "\./([^"]+)"', text))
    assert used | {"index.html"} == FILES.keys()


@pytest.mark.parametrize("path", ["../door.py", "%2e%2e/door.py", "nothing.js", "web/main.js", "index.html"])
def test_nothing_of_a_request_becomes_a_path(door: HttpDoor, path: str) -> None:
    assert ask(door, PAGE + path)[0] == 404


@pytest.mark.parametrize(
    ("address", "setting", "there"),
    [
        ("127.0.0.1:0", None, True),
        ("localhost:0", None, True),
        ("0.0.0.0:0", None, False),
        ("127.0.0.1:0", "off", False),
        ("0.0.0.0:0", "on", True),
    ],
)
def test_it_is_there_on_loopback_and_where_it_is_asked_for(
    core: StubCore, address: str, setting: str | None, there: bool
) -> None:
    with opened(core, address=address, dashboard=setting) as door:
        for path in (PAGE, "/v1/telemetry"):
            assert ask(door, path)[0] == (200 if there else 404)
        status, body, _ = ask(door, "/v1/score?explain=true", "POST", b"one")
        assert (status == 200) is there
        assert there or b"there are id, bundle" in body


def test_the_page_needs_no_token_and_what_it_shows_does(core: StubCore, tokens: Path) -> None:
    with opened(core, tokens_file=tokens) as door:
        assert ask(door, PAGE)[0] == ask(door, PAGE + "main.js")[0] == 200
        for method, path in (("GET", "/v1/telemetry"), ("POST", PAGE), ("POST", "/v1/score?explain=true")):
            assert ask(door, path, method, b"one" if method == "POST" else None)[0] == 401
        authorization = "Bearer a-token-of-the-test-that-is-long"
        assert ask(door, "/v1/telemetry", Authorization=authorization)[0] == 200
        assert ask(door, "/v1/telemetry", Authorization=authorization, Host="evil.example")[0] == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "10.0.0.1", "[::", "", "127.0.0.1.evil"]
)
def test_another_name_for_loopback_does_not_open_it(door: HttpDoor, host: str) -> None:
    for path in (PAGE, PAGE + "main.js", "/v1/telemetry"):
        assert ask(door, path, Host=host)[0] == 421
    assert ask(door, "/v1/score?explain=true", "POST", b"one", Host=host)[0] == 421


@pytest.mark.parametrize("host", ["localhost", "localhost:8002", "127.0.0.1", "127.9.9.9:1", "[::1]:8002"])
def test_names_of_loopback_open_it(door: HttpDoor, host: str) -> None:
    assert ask(door, "/v1/telemetry", Host=host)[0] == 200


@pytest.mark.parametrize(("site", "status"), [("cross-site", 403), ("same-site", 403), ("same-origin", 200)])
def test_the_pages_of_other_sites_get_nothing(door: HttpDoor, core: StubCore, site: str, status: int) -> None:
    assert ask(door, "/v1/telemetry", Sec_Fetch_Site=site, Sec_Fetch_Mode="no-cors")[0] == status
    taken = len(core.taken)
    found = ask(door, "/v1/score?explain=true", "POST", b"one", Sec_Fetch_Site=site, Sec_Fetch_Mode="cors")
    assert found[0] == status
    assert len(core.taken) - taken == (status == 200)
    assert ask(door, PAGE, Sec_Fetch_Site=site, Sec_Fetch_Mode="navigate")[0] == 200  # a link to it


def test_evidence_is_drawn_where_it_is_asked_for(door: HttpDoor, core: StubCore) -> None:
    for asked, drawn in (("", False), ("?explain=false", False), ("?explain=true", True)):
        assert ask(door, "/v1/score" + asked, "POST", b"one")[0] == 200
        assert core.taken[-1].drawn is drawn
    status, body, _ = ask(door, "/v1/score?explain=perhaps", "POST", b"one")
    assert (status, b"explain is true or false" in body) == (400, True)


def test_evidence_is_drawn_of_one_image_at_a_time(door: HttpDoor, core: StubCore) -> None:
    core.gate.clear()
    first: list[int] = []
    asking = threading.Thread(
        target=lambda: first.append(ask(door, "/v1/score?explain=true", "POST", b"one")[0])
    )
    asking.start()
    while not core.taken:
        threading.Event().wait(0.001)
    status, body, headers = ask(door, "/v1/score?explain=true", "POST", b"two")
    assert (status, json.loads(body)["rejected"], headers["Retry-After"]) == (503, "overloaded", "1")
    assert len(core.taken) == 1
    core.gate.set()
    asking.join()
    assert first == [200]
    assert ask(door, "/v1/score?explain=true", "POST", b"two")[0] == 200
    assert ask(door, "/v1/score?explain=true", "POST", b"bad")[0] == 422
    assert ask(door, "/v1/score?explain=true", "POST", b"two")[0] == 200


def test_telemetry_says_what_was_counted(door: HttpDoor) -> None:
    def samples(after: int = 0) -> list[dict[str, Any]]:
        status, body, headers = ask(door, f"/v1/telemetry?after={after}")
        assert (status, headers["Cache-Control"]) == (200, "no-store")
        record = json.loads(body)
        assert record["bundles"] == ["first", "second"]
        assert len(record["edges"]["probability"]) + 1 == len(telemetry.PROBABILITIES.labels("x")._buckets)
        return list(record["samples"])

    [first] = samples()
    doubts = (Doubt.SMALL, Doubt.FLAT)
    telemetry.count(Verdict("", Label.UNCERTAIN, 0.42, {}, "first", "1", doubts=doubts), "first")
    kept = history.History()
    kept.take()
    [now] = json.loads(kept.as_json(0, ["first"]))["samples"]
    assert now["outcomes"]["uncertain"] == first["outcomes"].get("uncertain", 0) + 1
    assert {"small", "flat"} <= now["doubts"].keys()
    earlier = first["probability"] or [0] * len(now["probability"])
    place = telemetry.PROBABILITY_EDGES.index(0.5)
    assert [late - early for late, early in zip(now["probability"], earlier, strict=True)] == [
        float(each == place) for each in range(len(earlier))
    ]
    assert samples(first["number"] + 10**9)  # a page that knows a server that was here before


@pytest.mark.parametrize("after", ["x", "-", "1e3", "%00", "9" * 5000])
def test_a_wrong_number_is_no_fault(door: HttpDoor, after: str) -> None:
    assert ask(door, f"/v1/telemetry?after={after}")[0] in (200, 400)
    assert ask(door, "/livez")[0] == 200


def test_the_history_is_bounded() -> None:
    kept = history.History()
    for _ in range(history.KEPT + 5):
        kept.take()
    samples = json.loads(kept.as_json(0, []))["samples"]
    assert [each["number"] for each in samples] == list(range(6, history.KEPT + 6))
    assert len(json.loads(kept.as_json(history.KEPT, []))["samples"]) == 5


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("theme", [0, 1])
def test_both_themes_have_the_contrast_of_wcag_aa(theme: int) -> None:
    blocks = [
        dict(re.findall(r"--(\w+): (#\w{6});", block)) for block in FILES["style.css"].split(":root {")[1:]
    ]
    light, colours = blocks[0], blocks[theme]
    assert light.keys() == colours.keys()
    for back in ("paper", "raised"):
        for name in colours.keys() - {"paper", "raised", "line"}:
            least = 3.0 if name in ("edge", "focus") else 4.5
            high, low = sorted((luminance(colours[name]), luminance(colours[back])), reverse=True)
            assert (high + 0.05) / (low + 0.05) >= least, (name, back)


def test_items_are_not_drawn_by_default() -> None:
    assert not Item("", b"").drawn

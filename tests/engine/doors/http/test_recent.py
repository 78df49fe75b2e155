"""The latest verdicts on the dashboard: off by default, bounded, and text as text."""

import json
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.dashboard import ask, opened
from support.stub_core import StubCore

from assay.engine.admission import Header
from assay.engine.doors.http.dashboard import recent
from assay.engine.doors.http.dashboard.recent import LARGEST, LONGEST, SHOWN, Recent
from assay.engine.item import Item
from assay.engine.outcome import Doubt, Label, Verdict
from assay.engine.ticket import Ticket


def see(kept: Recent, name: str, data: bytes = b"\xff\xd8image", kind: str = "jpeg") -> None:
    ticket = Ticket(Item(name, data), "b", Header(kind, 8, 8), 1, 0.0, Future())
    kept.see(ticket, Verdict(name, Label.UNCERTAIN, 0.5, {}, "b", "1.0", {}, {}, (Doubt.SMALL,)))


def shown(kept: Recent) -> list[dict[str, Any]]:
    verdicts: list[dict[str, Any]] = json.loads(kept.as_json().body)["verdicts"]
    return verdicts


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(recent.time, "monotonic", lambda: now[0])
    return now


def test_it_is_off_unless_it_was_asked_for(core: StubCore) -> None:
    with opened(core) as door:
        assert core.on_verdict == []
        assert json.loads(ask(door, "/v1/telemetry")[1])["recent"] is False
        for path in ("/v1/recent", "/v1/recent/1"):
            status, body, _ = ask(door, path)
            assert status == 404
            assert b"http.recent is 0" in body


def test_the_latest_are_shown_with_their_files(core: StubCore, clock: list[float]) -> None:
    with opened(core, recent=2) as door:
        (watcher,) = core.on_verdict
        kept: Recent = watcher.__self__  # type: ignore[attr-defined]
        for name in ("one", "<b>two</b>", "three"):
            see(kept, name, name.encode())
            clock[0] += 1
        assert json.loads(ask(door, "/v1/telemetry")[1])["recent"] is True
        status, body, headers = ask(door, "/v1/recent")
        assert status == 200
        assert headers["Cache-Control"] == "no-store"
        found = json.loads(body)["verdicts"]
        assert [each["id"] for each in found] == ["three", "<b>two</b>"]
        assert found[0]["doubts"] == ["small"]
        assert found[0]["label"] == "uncertain"
        status, body, headers = ask(door, f"/v1/recent/{found[1]['number']}")
        assert (status, body) == (200, b"<b>two</b>")
        assert headers["Content-Type"] == "image/jpeg"
        assert headers["Content-Security-Policy"] == "sandbox; default-src 'none'"
        assert headers["X-Content-Type-Options"] == "nosniff"
        for gone in ("1", "x", "", "2/..", "9" * 30):
            assert ask(door, f"/v1/recent/{gone}")[0] == 404


def test_it_takes_the_token_and_no_other_site(core: StubCore, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("me a-token-of-the-test-that-is-long\n")
    with opened(core, recent=2, tokens_file=tokens) as door:
        for path in ("/v1/recent", "/v1/recent/1"):
            assert ask(door, path)[0] == 401
        own = {"Authorization": "Bearer a-token-of-the-test-that-is-long"}
        assert ask(door, "/v1/recent", **own)[0] == 200
        assert ask(door, "/v1/recent", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="cors", **own)[0] == 403


def test_at_most_two_a_second_are_kept(clock: list[float]) -> None:
    kept = Recent(100)
    for _ in range(40):
        see(kept, "a")
        clock[0] += 0.125
    assert len(shown(kept)) == 10


@given(
    name=st.text(max_size=400),
    size=st.sampled_from([0, 1, LARGEST, LARGEST + 1]),
    kind=st.sampled_from([*SHOWN, "tiff"]),
)
def test_what_is_large_or_not_for_browsers_has_no_picture(name: str, size: int, kind: str) -> None:
    kept = Recent(1)
    see(kept, name, bytes(size), kind)
    (found,) = shown(kept)
    assert found["id"] == name[:LONGEST]
    assert found["pictured"] == (0 < size <= LARGEST and kind in SHOWN)
    assert (kept.image(str(found["number"])).status == 200) == found["pictured"]

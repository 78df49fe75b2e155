"""The page and the text of a result: complete, printable, self-contained; and the schema of its JSON."""

import json
import re
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.browser import CHROMIUM, browsing

from assay.engine.load.axis import linear, logarithmic, nines
from assay.engine.load.page import page
from assay.engine.load.result import (
    Latency,
    Machine,
    Moment,
    Outcomes,
    Result,
    Round,
    Source,
    Way,
    WayName,
)
from assay.engine.load.text import text

SCHEMA = json.loads((files("assay.engine") / "load" / "result.schema.json").read_text("utf-8"))
NASTY = "</td><script>alert('x')</script> \u202e & \"quoted\""


def measured(**changed: object) -> Round:
    return Round(
        **{
            "loop": "open",
            "rate": 80.0,
            "warm_up": 1.0,
            "seconds": 10.0,
            "sent": 800,
            "images_per_second": 79.9,
            "outcomes": Outcomes(verdicts=799, rejections={"overloaded": 1}, errors={}, unanswered=0),
            "cached": 0,
            "latency": Latency(
                images=799,
                mean=0.02,
                p50=0.0125,
                p95=0.05,
                p99=0.5,
                max=2.5,
                curve=[(0.0, 0.001), (0.99, 0.5)],
            ),
            "stages": {"decode": 0.001, "queue": 0.0123, "classify": 0.005},
            "cpu": {"front": 0.0009, "workers": 0.0081, "client": 0.0003},
            "client_lateness": 0.0001,
            "client_cores": 0.2,
            "moments": [Moment(second=1.0, images=80, longest=0.2), Moment(second=2.0, images=0)],
            **changed,
        }  # type: ignore[arg-type]
    )


def result(*rounds: Round, **changed: object) -> Result:
    way = Way(
        way=WayName.UNARY,
        place=NASTY,
        started=False,
        bundle=NASTY,
        rounds=rounds,
        peak_memory={"front": 100 << 20},
    )
    machine = Machine(cpu=NASTY, cores=2, memory=1 << 30, system="Linux", versions={"assay": "0.2.0"})
    source = Source(source=NASTY, images=3, mean_bytes=42_000.0)
    fields = {"when": "2026-11-28T10:00:00+00:00", "machine": machine, "images": source, "ways": [way]}
    return Result(**{**fields, **changed})  # type: ignore[arg-type]


def two(*rounds: Round) -> Result:
    first = result(*rounds)
    [way] = first.ways
    second = way.model_copy(update={"way": WayName.KAFKA})
    return first.model_copy(update={"ways": [way, second]})


CLOSED = measured(loop="closed", rate=None, outstanding=64, joules=0.25, client_lateness=None)
FAILED = measured(rate=900.0, latency=None, problem=NASTY, stages={}, cpu={}, cached=3, moments=[])
RESULTS = {
    "whole": result(CLOSED, measured(), measured(rate=100.0), FAILED),
    "two ways": two(CLOSED, measured(), measured(rate=100.0)),
    "two ways, closed": two(CLOSED),
    "closed alone": result(CLOSED),
    "nothing answered": result(FAILED, ended=NASTY),
    "nothing at all": result(ways=[], ended="stopped by Ctrl-C"),
}
each = pytest.mark.parametrize("name", RESULTS)


class Checked(HTMLParser):
    """Fails where a page could run or load anything, or does not close what it opens."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        assert tag not in ("script", "link", "img", "iframe", "object", "use", "a")
        assert not {name for name, _ in attributes} & {"src", "href", "xlink:href", "style", "onload"}
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attributes)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@each
def test_a_page_loads_and_runs_nothing(name: str) -> None:
    written = page(RESULTS[name])
    assert "default-src 'none'" in written
    assert "://" not in written
    assert "url(" not in written
    checked = Checked()
    checked.feed(written)
    checked.close()
    assert not checked.open
    assert "nan" not in re.findall(r'[xy]\d?="([^"]*)"', written)


@each
def test_json_has_its_schema_and_reads_back(name: str) -> None:
    written = RESULTS[name].model_dump_json()
    jsonschema.validate(json.loads(written), SCHEMA)
    assert Result.model_validate_json(written).model_dump_json() == written
    assert page(Result.model_validate_json(written)) == page(RESULTS[name])


def test_the_published_schema_is_that_of_the_model() -> None:
    assert Result.model_json_schema(mode="validation") == SCHEMA


def test_figures_of_a_page_are_those_of_the_result() -> None:
    written = page(RESULTS["whole"])
    for title in ("Latency over rate", "Longest latency over time", "Work of a worker", "Processor time"):
        assert title in written
    assert "<b>12.5</b>" not in written
    assert "<b>500</b>ms p99 at 80 images/s" in written
    assert "joules of the GPU" in written
    assert written.count("<circle") == 2 * 4 + 4 + 2


def test_ways_are_shown_beside_each_other() -> None:
    assert "The ways beside each other" in page(RESULTS["two ways"])
    assert "Closed loops" in page(RESULTS["two ways, closed"])
    assert "The ways beside each other" not in page(RESULTS["two ways, closed"])
    assert "Closed loops" not in page(RESULTS["whole"])


def test_text_says_what_was_measured_and_what_was_not() -> None:
    written = text(RESULTS["whole"])
    [row] = [line for line in written.splitlines() if line.startswith("| open, 80/s | 79.9")]
    cells = [cell.strip() for cell in row.split("|")[1:-1]]
    assert cells[1:6] == ["79.9", "12.5", "50.0", "500", ""]
    assert cells[6] == "front 0.90, workers 8.10, client 0.30"
    assert cells[7] == "799 of 800: 1 overloaded"
    assert "queue | decode | classify | joules an image" in written
    assert "3 verdicts came from the server's cache" in written
    assert "Not complete: stopped by Ctrl-C." in text(RESULTS["nothing at all"])


@pytest.mark.skipif(not CHROMIUM, reason="needs Chromium")
def test_a_browser_has_nothing_to_complain_of(tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    file.write_text(page(RESULTS["whole"]), "utf-8")
    with browsing(tmp_path / "profile") as shown:
        shown.open(file.as_uri())
        assert not shown.complaints
        assert shown.requested == [file.as_uri()]
        assert shown.text("h1") == "Assay under load"
        shown.resize(380, 800)
        assert shown.run("document.documentElement.scrollWidth <= 380")


positive = st.lists(st.floats(1e-4, 1e5), max_size=8)


@given(positive)
def test_values_lie_on_their_axes_and_ticks_are_few(values: list[float]) -> None:
    for axis in (linear("x", values), logarithmic("x", values)):
        assert all(-1e-9 <= axis.place(value) <= 1 + 1e-9 for value in values)
        assert 2 <= len(axis.ticks) <= 14
        places = [axis.place(value) for value, _ in axis.ticks]
        assert places == sorted(places)
        assert places[0] == pytest.approx(0)
        assert places[-1] == pytest.approx(1)


@given(st.floats(0, 0.99999))
def test_nines_are_equally_far(most: float) -> None:
    axis = nines("share", most)
    assert axis.place(0.0) == 0
    assert axis.place(most) <= 1 + 1e-9
    if most > 0.999:
        assert axis.place(0.99) == pytest.approx(2 * axis.place(0.9))

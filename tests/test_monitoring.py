"""The dashboard and the alert rules ask for what a server gives: names and labels, held against a scrape."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.parser import text_string_to_metric_families
from support.bundles import plain_bundle
from support.images import good
from support.server import Server

from assay.engine.client import Client
from assay.engine.outcome import Label, Reason
from assay.engine.telemetry import metrics, nvml

ROOT = Path(__file__).parent.parent
BOARD = json.loads((ROOT / "deploy" / "grafana" / "assay.json").read_text("utf-8"))
RULES = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yml").read_text("utf-8"))["groups"][0][
    "rules"
]
PROMETHEUS = {"instance", "job", "le"}
"""Labels that Prometheus adds, and that of a histogram."""
SHOWN = [target["expr"] for panel in BOARD["panels"] for target in panel["targets"]]
EXPRESSIONS = [rule["expr"] for rule in RULES] + SHOWN
MAIN = "from assay.engine.commands.app import main; main()"
Known = dict[str, set[str]]

SELECTOR = re.compile(r"\b(assay_\w+)(?:\{([^}]*)\})?")
MATCHER = re.compile(r'\s*(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"\s*(?:,|$)')
GROUPING = re.compile(r"\b(?:by|on|without|ignoring)\s*\(([^)]*)\)")


def samples() -> Known:
    """The names that this process's metrics have in a scrape, with their labels."""
    known: Known = {}
    for metric in vars(metrics).values():
        for family in metric.describe() if isinstance(metric, MetricWrapperBase) else ():
            labels = {*metric._labelnames}
            if family.type == "histogram":
                known |= {family.name + end: labels for end in ("_bucket", "_sum", "_count")}
            else:
                known[family.name + ("_total" if family.type == "counter" else "")] = labels
    return known


KNOWN = samples()
GPUS = {name: {"gpu"} for name in nvml.GAUGES}


def test_a_live_server_gives_these_names_and_labels(tmp_path: Path) -> None:
    bundle = plain_bundle(tmp_path / "bundle")
    options = ["--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--workers", "1", "--bundle", str(bundle)]
    with Server("-P", "-c", MAIN, "serve", *options) as server:
        with Client(f"127.0.0.1:{server.grpc}") as client:
            client.score(good()["jpeg 4:2:0"].data)
            client.score(b"")
        _, text = server.get("/metrics")
    given: Known = {}
    for family in text_string_to_metric_families(text):
        if not family.name.startswith("assay_"):
            continue
        assert family.documentation
        for sample in family.samples:
            given.setdefault(sample.name, set()).update(sample.labels.keys() - PROMETHEUS)
    given = {name: labels for name, labels in given.items() if not name.endswith("_created")}
    kafka = {name for name in KNOWN if "kafka" in name}
    shadow = {name for name in KNOWN if "shadow" in name}
    never = {"assay_uncertain_total"}  # of the one verdict
    assert KNOWN.keys() - kafka - shadow - never <= given.keys()
    changes = {line for line in text.splitlines() if line.startswith("assay_bundle_changes_total")}
    assert changes == {f'assay_bundle_changes_total{{result="{name}"}} 0.0' for name in ("done", "failed")}
    for name, labels in given.items():
        if name in KNOWN:
            assert labels == KNOWN[name], name


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_asks_for_what_there_is(expression: str) -> None:
    assert expression.count("(") == expression.count(")")
    found = SELECTOR.findall(expression)
    assert found
    labels: set[str] = set()
    known = KNOWN | GPUS
    for name, matchers in found:
        assert name in known, name
        labels |= known[name]
        parsed = MATCHER.findall(matchers)
        assert MATCHER.sub("", matchers) == ""
        for label, _, value in parsed:
            assert label in known[name] | PROMETHEUS, label
            if label == "outcome":
                assert set(value.split("|")) <= {*Label, *Reason}
            if label == "priority":
                assert value in ("interactive", "backlog")
    for names in GROUPING.findall(expression):
        assert {name.strip() for name in names.split(",")} <= labels | PROMETHEUS


def test_every_metric_is_on_a_panel() -> None:
    shown = {re.sub("_(bucket|sum|count)$", "", name) for name, _ in SELECTOR.findall(" ".join(SHOWN))}
    assert {re.sub("_(bucket|sum|count)$", "", name) for name in KNOWN} <= shown


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_says_what_is_wrong_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert set(rule["annotations"]) == {"summary", "action"}
    assert rule["annotations"]["action"].endswith(".")
    for page in re.findall(r"docs/\w+\.md", rule["annotations"]["action"]):
        assert (ROOT / page).exists()
    grouped = [name.strip() for names in GROUPING.findall(rule["expr"]) for name in names.split(",")]
    for label in re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]):
        assert label in grouped


def test_panels_lie_beside_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in BOARD["panels"]:
        at = panel["gridPos"]
        own = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not taken & own
        assert at["x"] + at["w"] <= 24
        taken |= own
    ids = [panel["id"] for panel in BOARD["panels"]]
    assert len(set(ids)) == len(ids)


def documented() -> Iterator[tuple[str, str]]:
    for page in sorted((ROOT / "docs").glob("*.md")):
        for name in re.findall(r"\bassay_[a-z_]+\b", page.read_text("utf-8")):
            if not name.startswith("assay_gpu_"):  # tests/engine/telemetry/test_nvml.py
                yield page.name, name


def test_every_metric_of_the_pages_exists() -> None:
    bare = {re.sub("_(bucket|sum|count)$", "", name) for name in KNOWN}
    missing = [(page, name) for page, name in documented() if name not in KNOWN and name not in bare]
    assert not missing


def test_every_metric_is_on_the_page_and_in_base_units() -> None:
    page = (ROOT / "docs" / "monitoring.md").read_text("utf-8")
    for metric in REGISTRY.collect():
        if not metric.name.startswith("assay_"):
            continue
        name = metric.name + ("_total" if metric.type == "counter" else "")
        assert name in page, name
        assert not re.search(r"_(ms|millis|us|micros|minutes|hours|kb|mb|mib|percent)(_|$)", name)

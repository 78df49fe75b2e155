"""Every bundle that ships loads, has a card, and separates the demo's photographs from synthetic ones."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from assay.engine import bundle as bundles
from assay.engine.bundle import Bundle
from assay.engine.core import Core
from assay.engine.item import Item
from assay.engine.outcome import Verdict
from assay.engine.settings import Settings

IMAGES = Path(__file__).parents[2] / "bench" / "demo" / "images"


@pytest.fixture(scope="module", params=[path.name for path in bundles.shipped()])
def bundle(request: pytest.FixtureRequest) -> Bundle:
    return bundles.find(request.param)


@pytest.fixture(scope="module")
def verdicts(bundle: Bundle) -> Iterator[dict[str, Verdict]]:
    """By file, of pairs of a photograph and what a network made of it, none of them trained on."""
    core = Core([bundle], Settings(workers=0, precision="fp32"))
    files = sorted(IMAGES.glob("*-whole*.jpg"))
    outcomes = [future.result() for future in core.submit([Item(f.name, f.read_bytes()) for f in files])]
    assert all(isinstance(outcome, Verdict) for outcome in outcomes)
    yield {outcome.id: outcome for outcome in outcomes if isinstance(outcome, Verdict)}
    core.stop()


def test_the_default_is_among_them() -> None:
    assert bundles.DEFAULT in {path.name for path in bundles.shipped()}


def test_graphs_do_not_tell_where_they_were_exported(bundle: Bundle) -> None:
    for file in bundle.path.glob("*.onnx"):
        data = file.read_bytes()
        assert b".py" not in data, file.name
        assert b"stack_trace" not in data, file.name


def test_manifest_and_card_are_of_one_bundle(bundle: Bundle) -> None:
    manifest = bundle.manifest
    card = (bundle.path / "CARD.md").read_text("utf-8")
    assert bundle.ships
    assert bundle.path.name == manifest.name
    assert card.startswith(f"# {manifest.name} {manifest.version}\n")
    assert manifest.licence in card
    assert all(generator in card for generator in manifest.trained_on.get("generators", ()))
    assert f"{manifest.thresholds.synthetic:.2f}" in card
    assert manifest.metrics["all"]["photos"] > 0


def test_verdicts_are_of_the_bundle(bundle: Bundle, verdicts: dict[str, Verdict]) -> None:
    manifest = bundle.manifest
    assert len(verdicts) > 30
    for verdict in verdicts.values():
        logit = verdict.scores[manifest.kind]
        assert verdict.probability == pytest.approx(manifest.calibration.probability(logit))
        measures = verdict.evidence.get("measures", {})
        assert bool(measures) == (manifest.domain is not None)
        assert (verdict.label, verdict.doubts) == manifest.label(verdict.probability, measures)
        assert (verdict.bundle, verdict.version) == (manifest.name, manifest.version)


def test_photographs_score_below_what_networks_made_of_them(verdicts: dict[str, Verdict]) -> None:
    """The share of pairs of one of each that are in order: a half where weights were random."""
    photos = [verdict.probability for name, verdict in verdicts.items() if name.startswith("real-")]
    fakes = [verdict.probability for name, verdict in verdicts.items() if name.startswith("fake-")]
    assert len(photos) == len(fakes) > 10
    ordered = sum(photo < fake for photo in photos for fake in fakes)
    assert ordered / (len(photos) * len(fakes)) > 0.85

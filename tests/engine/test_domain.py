"""Doubts: a verdict on an image that the bundle does not know is uncertain, and says why."""

import csv
import io
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper
from support.bundles import brightness_graph, plain_bundle
from support.images import encode, photograph
from support.manifests import check_refused
from support.metadata import INFOTEXT, text_chunk, with_chunks

from assay.engine.bundle import Bundle
from assay.engine.domain import LEAST, MOST, WITHDRAW_SYNTHETIC, Domain, doubted, in_words
from assay.engine.engine import Engine
from assay.engine.errors import BundleError, EngineFault
from assay.engine.explain import explain
from assay.engine.outcome import Doubt, Label, Rejection, Verdict, from_dict
from assay.engine.report.html import html_report
from assay.engine.report.lines import csv_writer
from assay.engine.settings import Settings
from assay.engine.wire.convert import from_message, to_message
from assay.kernels import measure

VALIDATOR = jsonschema.Draft202012Validator(
    json.loads((files("assay.engine") / "outcome.schema.json").read_text("utf-8"))
)
DARK, GREY, BRIGHT = photograph(160, 200) // 6, photograph(160, 200), 255 - photograph(160, 200) // 6
"""Authentic, uncertain and synthetic to the test's bundle, whose logit is the brightness."""


def with_distance(gain: float = 1.0) -> onnx.ModelProto:
    """The brightness graph with a second output: `gain` times the mean of the first channel."""
    model = brightness_graph()
    picked = helper.make_tensor("index", TensorProto.INT64, [1], [0])
    scale = helper.make_tensor("gain", TensorProto.FLOAT, [1], [gain])
    model.graph.initializer.extend([picked, scale])
    model.graph.node.extend(
        [
            helper.make_node("Gather", ["mean", "index"], ["red"], axis=1, name="red"),
            helper.make_node("Reshape", ["red", "flat"], ["row"], name="row"),
            helper.make_node("Mul", ["row", "gain"], ["distance"], name="scaled"),
        ]
    )
    model.graph.output.append(helper.make_tensor_value_info("distance", TensorProto.FLOAT, ["N", 1]))
    return model


def bundle_with(folder: Path, domain: dict[str, Any], gain: float | None = None, **changed: Any) -> Bundle:
    graph = None if gain is None else with_distance(gain)
    written = plain_bundle(folder, graph=graph, min_side=16, domain=domain, **changed)
    if gain is not None:
        manifest = json.loads((written / "manifest.json").read_text())
        manifest["graphs"]["classify"]["outputs"]["distance"] = ["N", 1]
        (written / "manifest.json").write_text(json.dumps(manifest))
    return Bundle.load(written)


def scored(bundle: Bundle, data: bytes) -> Verdict:
    with Engine(bundle, settings=Settings(workers=0)) as engine:
        outcome = engine.score(data)
    assert isinstance(outcome, Verdict)
    VALIDATOR.validate(json.loads(json.dumps(outcome.to_dict())))
    return outcome


@given(
    st.dictionaries(st.sampled_from([*LEAST, *MOST]), st.integers(1, 100)),
    st.dictionaries(st.sampled_from([*LEAST, *MOST]), st.integers(1, 100)),
)
def test_a_doubt_is_a_measure_beyond_its_limit(limits: dict[str, int], measures: dict[str, int]) -> None:
    domain = Domain.model_construct(**limits)
    expected = {LEAST[name] for name in LEAST if measures.get(name, 1000) < limits.get(name, 0)}
    expected |= {MOST[name] for name in MOST if measures.get(name, 0) > limits.get(name, 1000)}
    assert domain.doubts(measures) == tuple(doubt for doubt in Doubt if doubt in expected)


@given(st.sampled_from(Label), st.lists(st.sampled_from(list(Doubt)[1:]), unique=True))
def test_doubts_are_there_exactly_where_a_verdict_is_uncertain(label: Label, found: list[Doubt]) -> None:
    given_label, doubts = doubted(label, found)
    assert bool(doubts) == (given_label is Label.UNCERTAIN)
    assert (Doubt.BETWEEN_THRESHOLDS in doubts) == (label is Label.UNCERTAIN)
    if label is Label.AUTHENTIC:
        assert (given_label is Label.AUTHENTIC) == (not found)
    if label is Label.SYNTHETIC:
        assert (given_label is Label.SYNTHETIC) == (not WITHDRAW_SYNTHETIC & set(found))
    assert set(doubts) - {Doubt.BETWEEN_THRESHOLDS} in ({*found}, set())


def test_without_a_domain_only_the_probability_decides(tmp_path: Path) -> None:
    bundle = Bundle.load(plain_bundle(tmp_path))
    dark, grey, bright = (scored(bundle, encode(pixels, "PNG")) for pixels in (DARK, GREY, BRIGHT))
    assert [dark.label, grey.label, bright.label] == [Label.AUTHENTIC, Label.UNCERTAIN, Label.SYNTHETIC]
    assert [dark.doubts, grey.doubts, bright.doubts] == [(), (Doubt.BETWEEN_THRESHOLDS,), ()]
    assert "measures" not in dark.evidence


FLAT = np.full((160, 200, 3), 20, np.uint8)
BEYOND: dict[Doubt, tuple[dict[str, Any], bytes]] = {
    Doubt.SMALL: ({"side": 161}, encode(DARK, "PNG")),
    Doubt.FLAT: ({"detail": 0.3}, encode(FLAT, "PNG")),
    Doubt.COMPRESSED: ({"quality": 40}, encode(DARK, quality=39)),
    Doubt.ENLARGED: ({"fineness": 3.0}, encode(DARK, "PNG")),
    Doubt.SCREENSHOT: ({"repeated": 0.5}, encode(FLAT, "PNG")),
    Doubt.UNFAMILIAR: ({"distance": -2.0}, encode(DARK, "PNG")),
}


@pytest.mark.parametrize("doubt", BEYOND, ids=str)
def test_authentic_is_withdrawn_from_what_the_bundle_does_not_know(tmp_path: Path, doubt: Doubt) -> None:
    domain, data = BEYOND[doubt]
    verdict = scored(bundle_with(tmp_path, domain, gain=2.0), data)
    assert (verdict.label, verdict.doubts) == (Label.UNCERTAIN, (doubt,))
    assert verdict.probability < 0.2
    [name] = domain
    assert name in verdict.evidence["measures"]
    assert from_dict(json.loads(json.dumps(verdict.to_dict()))) == verdict
    assert from_message(to_message(verdict)) == verdict


def test_at_its_limits_an_image_is_not_doubted(tmp_path: Path) -> None:
    data = encode(DARK, quality=80)
    free = scored(bundle_with(tmp_path / "free", {}, gain=2.0), data)
    assert free.label is Label.AUTHENTIC
    measures = free.evidence["measures"]
    assert set(measures) == set(Domain.model_fields)
    assert (measures["side"], measures["quality"]) == (160, 80)
    tight = scored(bundle_with(tmp_path / "tight", measures, gain=2.0), data)
    assert (tight.label, tight.doubts) == (Label.AUTHENTIC, ())


def test_measures_are_those_of_the_pixels_and_each_image_has_its_own(tmp_path: Path) -> None:
    bundle = bundle_with(tmp_path, {"side": 8})
    images = [photograph(60, 90), photograph(200, 120, seed=3), np.full((40, 40, 3), 5, np.uint8)]
    broken = encode(images[0], "PNG")[:-20]
    data = [encode(images[0], "PNG"), broken, *(encode(image, "PNG") for image in images[1:])]
    with Engine(bundle, settings=Settings(workers=0)) as engine:
        first, refused, *rest = engine.score(data)
    assert isinstance(refused, Rejection)
    for image, verdict in zip(images, [first, *rest], strict=True):
        assert isinstance(verdict, Verdict)
        found = verdict.evidence["measures"]
        [(detail, repeated, fineness)] = measure([image]).tolist()
        assert found["side"] == min(image.shape[:2])
        assert found["detail"] == pytest.approx(detail, abs=1e-4)
        assert found["repeated"] == pytest.approx(repeated, abs=1e-4)
        assert found["fineness"] == pytest.approx(fineness, abs=1e-4)
        assert "quality" not in found
        assert "distance" not in found


def test_the_distance_is_the_mean_over_the_views(tmp_path: Path) -> None:
    rule = {"resize": "none", "size": 32, "mean": [0.5] * 3, "std": [0.5] * 3}
    corners = {"crop": [[0, 0], [1, 1]], **rule}
    both = scored(bundle_with(tmp_path / "both", {}, 3.0, view=corners), encode(DARK, "PNG"))
    each = [
        scored(bundle_with(tmp_path / f"{at}", {}, 3.0, view={"crop": [at], **rule}), encode(DARK, "PNG"))
        for at in ([0, 0], [1, 1])
    ]
    distances = [verdict.evidence["measures"]["distance"] for verdict in each]
    assert distances[0] != distances[1]
    assert both.evidence["measures"]["distance"] == pytest.approx(np.mean(distances), abs=1e-3)


def test_a_distance_that_is_no_number_is_a_fault_of_the_bundle(tmp_path: Path) -> None:
    bundle = bundle_with(tmp_path, {"distance": 1.0}, gain=float("inf"))
    with pytest.raises(EngineFault, match="the distance is"):
        Engine(bundle, settings=Settings(workers=0))


@pytest.mark.parametrize(
    ("domain", "about"),
    [
        ({"sharpness": 1}, r"domain\.sharpness"),
        ({"detail": 1.5}, r"domain\.detail"),
        ({"quality": 0}, r"domain\.quality"),
        ({"distance": float("nan")}, r"domain\.distance"),
        ({"side": "many"}, r"domain\.side"),
    ],
)
def test_a_limit_that_is_none_is_refused(tmp_path: Path, domain: dict[str, Any], about: str) -> None:
    with pytest.raises(BundleError, match=about):
        bundle_with(tmp_path, domain)


def test_a_distance_needs_a_graph_that_tells_it(tmp_path: Path) -> None:
    def ask(manifest: dict[str, Any]) -> None:
        manifest["domain"]["distance"] = 3.0

    check_refused(bundle_with(tmp_path, {"side": 70}).path, ask, r"domain\.distance needs a graph")


def test_a_bundle_that_takes_what_is_too_small_to_measure_has_no_domain(tmp_path: Path) -> None:
    def lower(manifest: dict[str, Any]) -> None:
        manifest["min_side"] = 15

    check_refused(bundle_with(tmp_path, {"side": 70}).path, lower, "domain needs a min_side of at least 16")


def test_some_doubts_withdraw_synthetic_and_people_are_told(tmp_path: Path) -> None:
    bundle, data = bundle_with(tmp_path / "bundle", {"side": 161, "quality": 50}), encode(BRIGHT, quality=30)
    verdict = scored(bundle, data)
    assert verdict.label is Label.UNCERTAIN
    assert verdict.doubts == (Doubt.SMALL, Doubt.COMPRESSED)
    words = "uncertain because the image is small (side 160), the file was compressed too far (quality 30)"
    assert in_words(verdict) == words
    page, table = io.StringIO(), io.StringIO()
    file = tmp_path / "a.jpg"
    file.write_bytes(data)
    with html_report(page) as report:
        report(file, verdict)
    assert words in page.getvalue()
    csv_writer(table)(file, verdict)
    [row] = csv.DictReader(io.StringIO(table.getvalue()))
    assert row["doubts"] == "small compressed"
    shown, _ = explain("a.jpg", data, bundle, Settings())
    assert (shown.label, shown.doubts) == (verdict.label, verdict.doubts)
    assert shown.evidence["measures"] == verdict.evidence["measures"]


def test_a_label_that_provenance_set_has_no_doubts(tmp_path: Path) -> None:
    bundle = bundle_with(tmp_path, {"side": 161})
    data = with_chunks(text_chunk("parameters", INFOTEXT), pixels=DARK)
    with Engine(bundle, settings=Settings(workers=0, provenance="act")) as engine:
        verdict = engine.score(data)
    assert isinstance(verdict, Verdict)
    assert (verdict.label, verdict.doubts) == (Label.SYNTHETIC, ())
    assert verdict.evidence["provenance"]["label"]["was"] == "uncertain"
    assert in_words(verdict) == ""


def test_worker_processes_measure_as_the_caller_does(tmp_path: Path) -> None:
    """The quality crosses with the header, and not with the pixels."""
    bundle = bundle_with(tmp_path, {"quality": 50})
    data = [encode(DARK, quality=quality) for quality in (30, 90)]
    with Engine(bundle, settings=Settings(workers=1)) as engine:
        outcomes = engine.score(data)
    expected = [scored(bundle, one) for one in data]
    for outcome, wanted in zip(outcomes, expected, strict=True):
        assert isinstance(outcome, Verdict)
        assert (outcome.label, outcome.doubts, outcome.evidence) == (
            wanted.label,
            wanted.doubts,
            wanted.evidence,
        )
    assert [wanted.doubts for wanted in expected] == [(Doubt.COMPRESSED,), ()]

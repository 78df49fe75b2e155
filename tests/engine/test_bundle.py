import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.engine.bundle import Bundle, Calibration, Thresholds, find
from assay.engine.detectors import detector_of
from assay.engine.errors import BundleError
from assay.engine.outcome import Label


def change(folder: Path, **fields: object) -> None:
    file = folder / "manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))


def test_loads(bundle_folder: Path) -> None:
    bundle = Bundle.load(bundle_folder)
    assert (bundle.name, bundle.version, bundle.kind) == ("brightness", "1.0.0", "plain")


def test_a_changed_graph_is_refused(bundle_folder: Path) -> None:
    with (bundle_folder / "classify.onnx").open("ab") as graph:
        graph.write(b"\0")
    with pytest.raises(BundleError, match=r"classify\.onnx is not the file"):
        Bundle.load(bundle_folder)


def test_a_missing_graph_is_named(bundle_folder: Path) -> None:
    (bundle_folder / "classify.onnx").unlink()
    with pytest.raises(BundleError, match=r"classify\.onnx, which is not there"):
        Bundle.load(bundle_folder)


def test_a_newer_schema_asks_for_an_upgrade_whatever_else_it_holds(bundle_folder: Path) -> None:
    change(bundle_folder, schema=2, unheard_of=True)
    with pytest.raises(BundleError, match="schema 2 is newer"):
        Bundle.load(bundle_folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"schema": "1"}', '{"schema": 0}', "\udcff"])
def test_a_manifest_that_is_none(bundle_folder: Path, text: str) -> None:
    (bundle_folder / "manifest.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(BundleError, match=r"manifest\.json"):
        Bundle.load(bundle_folder)


@pytest.mark.parametrize(
    ("fields", "about"),
    [
        ({"unknown": 1}, "unknown"),
        ({"min_side": 0}, "min_side"),
        ({"thresholds": {"synthetic": 0.2, "authentic": 0.8}}, "thresholds"),
        ({"thresholds": {"synthetic": 0.5, "authentic": 0.5}}, "thresholds"),
        ({"calibration": {"method": "temperature", "temperature": 0}}, "temperature"),
        ({"name": "../up"}, "name"),
        ({"view": {"resize": "exact", "size": -1}}, "view"),
        ({"graphs": {"classify": {"file": "../x", "sha256": "", "inputs": {}, "outputs": {}}}}, "file"),
    ],
)
def test_a_wrong_field_is_named(bundle_folder: Path, fields: dict[str, object], about: str) -> None:
    change(bundle_folder, **fields)
    with pytest.raises(BundleError, match=about):
        Bundle.load(bundle_folder)


@pytest.mark.parametrize(
    ("fields", "about"),
    [
        ({"kind": "oracle"}, "kind 'oracle' is unknown"),
        ({"graphs": {}}, "needs graph classify"),
        ({"parameters": {"activation": "tanh"}}, r"parameters\.activation"),
    ],
)
def test_a_bundle_that_no_detector_can_run(
    bundle_folder: Path, fields: dict[str, object], about: str
) -> None:
    change(bundle_folder, **fields)
    with pytest.raises(BundleError, match=about):
        detector_of(Bundle.load(bundle_folder))


def test_neither_a_name_nor_a_folder() -> None:
    with pytest.raises(BundleError, match="no such folder"):
        find("nobody-made-this")


@given(st.floats(-1e6, 1e6), st.floats(0.01, 100), st.floats(-100, 100))
def test_calibration_is_a_monotone_probability(logit: float, temperature: float, shift: float) -> None:
    calibration = Calibration(temperature=temperature, shift=shift)
    probability = calibration.probability(logit)
    assert 0 <= probability <= 1
    assert calibration.probability(math.nextafter(logit, math.inf)) >= probability


@given(st.floats(0, 1))
def test_thresholds_include_their_ends(probability: float) -> None:
    thresholds = Thresholds(synthetic=0.8, authentic=0.2)
    expected = (
        Label.SYNTHETIC if probability >= 0.8 else Label.AUTHENTIC if probability <= 0.2 else Label.UNCERTAIN
    )
    assert thresholds.label(probability) is expected
    assert thresholds.label(0.8) is Label.SYNTHETIC
    assert thresholds.label(0.2) is Label.AUTHENTIC


POINTS = ((-2.0, 0.1), (0.0, 0.1), (1.0, 0.6), (3.0, 0.9))


@given(st.floats(-1e6, 1e6))
def test_an_isotonic_calibration_is_linear_between_its_points(logit: float) -> None:
    calibration = Calibration(method="isotonic", points=POINTS)
    expected = np.interp(logit, [point[0] for point in POINTS], [point[1] for point in POINTS])
    assert calibration.probability(logit) == pytest.approx(float(expected))
    assert calibration.probability(math.nextafter(logit, math.inf)) >= calibration.probability(logit)
    assert Calibration(method="isotonic", points=((0, 0.4),)).probability(logit) == 0.4


@pytest.mark.parametrize(
    "calibration",
    [
        {"method": "isotonic"},
        {"method": "isotonic", "points": []},
        {"method": "temperature", "points": POINTS},
        {"method": "isotonic", "points": POINTS[::-1]},
        {"method": "isotonic", "points": [[0, 0.5], [0, 0.6]]},
        {"method": "isotonic", "points": [[0, 0.5], [1, 0.4]]},
        {"method": "isotonic", "points": [[0, 0.5], [1, 1.1]]},
        {"method": "isotonic", "points": [[0, 0.5], ["NaN", 0.6]]},
        {"method": "isotonic", "points": [[0, 0.5, 1]]},
    ],
)
def test_a_calibration_that_does_not_rise_is_refused(
    bundle_folder: Path, calibration: dict[str, object]
) -> None:
    change(bundle_folder, calibration=calibration)
    with pytest.raises(BundleError, match="calibration"):
        Bundle.load(bundle_folder)


def test_what_is_none_is_not_written() -> None:
    assert "points" not in Calibration().model_dump(mode="json")
    assert Calibration(method="isotonic", points=POINTS).model_dump()["points"] == POINTS

"""Faces cut out by the engine, on exported graphs, as the trainers' cutter cuts them in torch."""

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from support.fusing import SIZES, resized
from support.lnp_networks import lively
from support.parity_suite import LIVELY, pillow
from support.sam import write_tiny_sam
from torch.nn import functional

from assay.engine.bundle import Bundle, Manifest
from assay.engine.detectors import KINDS, Graph, Stopwatch, detector_of
from assay.engine.detectors.detector import tapped
from assay.engine.detectors.lnp import face as faces
from assay.engine.detectors.lnp.face import CutSettings, chosen_mask, find_masks, fitted, padded
from assay.engine.engine import Engine
from assay.engine.errors import BundleError
from assay.engine.explain import explain
from assay.engine.explain.lnp import FACE, panels
from assay.engine.explain.seen import Call, Trace
from assay.engine.explain.sheet import COLOURS
from assay.engine.outcome import Label, Verdict
from assay.engine.settings import Settings
from assay.trainers.evaluate.score import torch_graph
from assay.trainers.export.bundle import graphs_of
from assay.trainers.export.parity import Side, compare
from assay.trainers.kinds.lnp.bundle import export, manifest_template, torch_graphs
from assay.trainers.kinds.lnp.face_cutter import FaceCutter
from assay.trainers.kinds.lnp.sam import with_faces

pytest.importorskip("transformers")

SIDE, VIEW = 32, 64
POINTS = ((0.25, 0.5), (0.75, 0.125))
PHOTOS = [resized(*size, seed) for seed, size in enumerate(SIZES) if min(size) > 20]
NAMED = {**LIVELY, "name": "faces"}


@pytest.fixture(scope="module")
def sam(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_sam(tmp_path_factory.mktemp("sam"))


@pytest.fixture(scope="module")
def cutter(sam: Path) -> FaceCutter:
    return FaceCutter(sam, CutSettings(points=POINTS))


@pytest.fixture(scope="module")
def manifest(cutter: FaceCutter) -> Manifest:
    found, _ = with_faces(manifest_template(SIDE, min_side=8).model_copy(update=NAMED), cutter)
    return found


def mean(pattern: Any, spectra: Any) -> Any:
    return ((pattern[:, :1].mean(axis=(2, 3)) + spectra[:, :1].mean(axis=(2, 3))).astype(np.float32),)


@pytest.fixture(scope="module")
def graphs(manifest: Manifest, cutter: FaceCutter) -> dict[str, Graph]:
    """SAM in torch; the pattern is the view less a half, the logit the mean of red and amplitude."""
    _, modules = with_faces(manifest_template(SIDE), cutter)
    found = {name: torch_graph(module.eval()) for name, module in modules.items()}
    return {**found, "denoise": lambda image: (image - np.float32(0.5),), "classify": mean}


@pytest.fixture(scope="module")
def bundle(cutter: FaceCutter, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    named = manifest_template(VIEW, min_side=8).model_copy(update=NAMED)
    return export(*lively(VIEW), tmp_path_factory.mktemp("faces"), named, cutter=cutter)


def agreement(one: Any, other: Any) -> float:
    return float((one == other).mean())


@pytest.mark.parametrize("choice", ["best", "largest", "smallest"])
def test_masks_are_those_of_the_cutter(
    manifest: Manifest, graphs: dict[str, Graph], sam: Path, choice: Any
) -> None:
    asked = CutSettings(points=POINTS, choice=choice)
    reference = FaceCutter(sam, asked)
    shares = []
    for image, found in zip(PHOTOS, find_masks(PHOTOS, graphs, manifest, asked), strict=True):
        wanted = reference.mask(image)
        assert found.shape == image.shape[:2]
        assert agreement(found, wanted) > 0.999
        shares.append(float(wanted.mean()))
    assert np.std(shares) > 0.02  # else this compares nothing
    assert any(0.05 < share < 0.95 for share in shares)


def test_points_decide(manifest: Manifest, graphs: dict[str, Graph]) -> None:
    asked = [CutSettings(points=points) for points in (POINTS, ((0.9, 0.9), (0.9, 0.1)))]
    [there], [elsewhere] = (find_masks(PHOTOS[:1], graphs, manifest, one) for one in asked)
    assert agreement(there, elsewhere) < 0.999


def test_the_view_is_that_of_sams_own_processor() -> None:
    from transformers import SamImageProcessorPil

    processor: Any = SamImageProcessorPil(
        size={"longest_edge": 96}, pad_size={"height": 96, "width": 96}, mask_size={"longest_edge": 24}
    )
    for image in PHOTOS:
        wanted = processor(images=[image], return_tensors="np")
        found, size = padded(image, 96)
        assert size == tuple(wanted["reshaped_input_sizes"][0])
        np.testing.assert_allclose(found, wanted["pixel_values"], atol=1e-5)


@settings(max_examples=60)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(0, 1000))
def test_masks_are_scaled_as_torch_scales_them(height: int, width: int, seed: int) -> None:
    logits = np.random.default_rng(seed).normal(0, 1, (3, 16, 16)).astype(np.float32)
    inner = fitted((height, width), 64)
    tensor = torch.from_numpy(logits).double()[None]
    tensor = functional.interpolate(tensor, (64, 64), mode="bilinear")[..., : inner[0], : inner[1]]
    wanted = functional.interpolate(tensor, (height, width), mode="bilinear")[0].numpy()
    overlap = np.array((0.2, 0.9, 0.4), np.float32)
    found = chosen_mask(logits, overlap, (height, width), 64, "best")
    sure = np.abs(wanted[1]) > 1e-4
    assert np.array_equal(found[sure], wanted[1][sure] > 0)
    areas = (wanted > 0).sum(axis=(1, 2))
    for choice, area in (("largest", areas.max()), ("smallest", areas.min())):
        mask = chosen_mask(logits, overlap, (height, width), 64, choice)  # type: ignore[arg-type]
        assert mask.sum() == pytest.approx(area, abs=3)


def test_strips_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    logits = np.random.default_rng(0).normal(0, 1, (3, 16, 16)).astype(np.float32)
    whole = chosen_mask(logits, logits[:, 0, 0], (70, 50), 64, "best")
    monkeypatch.setattr(faces, "STRIP", 120)
    assert np.array_equal(chosen_mask(logits, logits[:, 0, 0], (70, 50), 64, "best"), whole)


def test_evidence_is_the_box_of_the_mask_and_its_share() -> None:
    mask = np.zeros((40, 50), np.bool_)
    assert faces.evidence(mask) == {"box": None, "share": 0.0}
    mask[3:9, 20:49] = True
    mask[5, 30] = False
    assert faces.evidence(mask) == {"box": [3, 20, 9, 49], "share": round((6 * 29 - 1) / 2000, 4)}
    assert faces.evidence(~np.zeros((40, 50), np.bool_)) == {"box": [0, 0, 40, 50], "share": 1.0}


def test_only_the_face_reaches_the_denoiser(
    manifest: Manifest, graphs: dict[str, Graph], cutter: FaceCutter
) -> None:
    """The chain on whole photographs is the chain without SAM on photographs that the cutter cut."""
    watch, without = Stopwatch(), manifest_template(SIDE, min_side=8)
    found = KINDS["lnp"].detector(manifest)(PHOTOS, graphs, watch)
    assert list(watch.seconds) == ["cut", "view", "denoise", "spectra", "classify"]
    cuts = [cutter.cut(image) for image in PHOTOS]
    wanted = KINDS["lnp"].detector(without)(cuts, graphs, Stopwatch())
    masks = find_masks(PHOTOS, graphs, manifest, cutter.settings)
    for one, other, mask in zip(found, wanted, masks, strict=True):
        assert one.logit == pytest.approx(other.logit, abs=0.02)  # a mask may differ in a pixel
        assert one.evidence["face"] == faces.evidence(mask)
    whole = KINDS["lnp"].detector(without)(PHOTOS, graphs, Stopwatch())
    assert any(abs(one.logit - other.logit) > 0.1 for one, other in zip(found, whole, strict=True))
    assert "face" not in whole[0].evidence


@pytest.mark.full  # SAM takes torch half a minute to export
def test_exported_it_gives_the_same(
    bundle: Bundle, manifest: Manifest, cutter: FaceCutter, tmp_path: Path
) -> None:
    # smaller images wrap around in the view: most of their spectrum is 0, and its logarithm rounding
    large = [image for image in PHOTOS if min(image.shape[:2]) >= VIEW]
    files = [tmp_path / f"{number}.jpg" for number in range(len(large))]
    for file, image in zip(files, large, strict=True):
        Image.fromarray(image).save(file, quality=90)
    _, modules = with_faces(manifest_template(VIEW), cutter)
    theirs = torch_graphs(*lively(VIEW)) | {name: torch_graph(one.eval()) for name, one in modules.items()}
    ours = graphs_of(bundle)
    for image in PHOTOS:
        [found] = find_masks([image], ours, bundle.manifest, cutter.settings)
        assert agreement(found, cutter.mask(image)) > 0.999
    parity = compare(files, bundle.manifest, Side(theirs, pillow), Side(ours))
    assert parity.passes("fp32")
    assert parity.p95 <= 0.01


@pytest.mark.full
def test_the_engine_serves_and_draws_it(bundle: Bundle, tmp_path: Path) -> None:
    file = tmp_path / "photo.png"
    Image.fromarray(PHOTOS[0]).save(file)
    data = file.read_bytes()
    options = Settings(workers=0, precision="fp32")
    with Engine(bundle, settings=options) as engine:
        served = engine.score(data)
    assert isinstance(served, Verdict)
    assert "cut" in served.seconds
    json.dumps(served.to_dict())
    drawn, page = explain("photo.png", data, bundle, options)
    assert drawn.evidence == served.evidence
    assert page.height > 400


@pytest.mark.parametrize(("outside", "words"), [("black", "was black"), ("mean", "was of the face's mean")])
def test_the_page_shows_the_face_and_the_view_in_it(
    manifest: Manifest, graphs: dict[str, Graph], outside: str, words: str
) -> None:
    face = {**manifest.parameters["face"], "outside": outside}
    served = manifest.model_copy(update={"parameters": {**manifest.parameters, "face": face}})
    calls: dict[str, Call] = {}
    watched = tapped(graphs, graphs, lambda name, *call: calls.update({name: Call(*call)}))
    [detection] = KINDS["lnp"].detector(served)(PHOTOS[:1], watched, Stopwatch())
    assert 0 < detection.evidence["face"]["share"] < 1
    panel, *_ = panels(Trace(PHOTOS[0], 1, served, detection, calls))
    assert words in panel.notes[0]
    colours = {colour for _, colour in panel.image.getcolors(1 << 20) or []}
    assert FACE in colours
    assert COLOURS[Label.SYNTHETIC if detection.logit > 0 else Label.AUTHENTIC] in colours


def test_memory_counts_sam(manifest: Manifest) -> None:
    cells = int(manifest.graphs["sam_encode"].outputs["embedding"][-1])
    measure = KINDS["lnp"].intermediate_bytes
    assert measure(manifest) - measure(manifest_template(SIDE)) >= cells**4 * 4 + 3 * 64 * 64 * 4


def drop_graph(manifest: dict[str, Any]) -> None:
    del manifest["graphs"]["sam_decode"]


def drop_face(manifest: dict[str, Any]) -> None:
    del manifest["parameters"]["face"]


def more_points(manifest: dict[str, Any]) -> None:
    manifest["parameters"]["face"]["points"].append([0.5, 0.5])


def outside_point(manifest: dict[str, Any]) -> None:
    manifest["parameters"]["face"]["points"] = [[0.5, 1.5], [0.5, 0.5]]


def unknown_field(manifest: dict[str, Any]) -> None:
    manifest["parameters"]["face"]["colour"] = "green"


def other_embedding(manifest: dict[str, Any]) -> None:
    manifest["graphs"]["sam_decode"]["inputs"]["embedding"][1] += 1


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (drop_graph, "needs graph sam_decode"),
        (drop_face, "of no use without parameters.face"),
        (more_points, "'points'"),
        (outside_point, "fractions in 0..1"),
        (unknown_field, "face.colour"),
        (other_embedding, "inputs of 'sam_decode'"),
    ],
)
def test_a_bundle_that_cannot_cut_is_refused(
    manifest: Manifest, change: Callable[[dict[str, Any]], None], named: str
) -> None:
    record = manifest.model_dump(mode="json", by_alias=True)
    detector_of(Bundle(Path("as it was"), Manifest.model_validate(record)))
    change(record)
    with pytest.raises(BundleError, match=named):
        detector_of(Bundle(Path("changed"), Manifest.model_validate(record)))


def test_a_cutter_without_a_model_changes_no_bundle() -> None:
    manifest = manifest_template(SIDE)
    assert with_faces(manifest, FaceCutter(None)) == (manifest, {})


def test_every_setting_survives_the_manifest(sam: Path) -> None:
    for choice, outside in product(("best", "largest"), ("grey", "mean")):
        asked = CutSettings(points=POINTS, choice=choice, outside=outside)  # type: ignore[arg-type]
        found, _ = with_faces(manifest_template(SIDE), FaceCutter(sam, asked))
        record = json.loads(json.dumps(found.model_dump(mode="json")["parameters"]))
        assert KINDS["lnp"].parameters.model_validate(record).face == asked  # type: ignore[attr-defined]

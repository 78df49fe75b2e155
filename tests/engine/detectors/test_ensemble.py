"""`ensemble`: the layer on what its members say by themselves, whoever is asked."""

import functools
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from support.ensemble import ensemble_bundle, members_in
from support.images import encode, photograph
from support.manifests import check_refused

from assay.engine.bundle import Bundle
from assay.engine.detectors import (
    KINDS,
    Detection,
    Graph,
    Image,
    Stopwatch,
    detector_of,
    intermediate_bytes,
    make_graphs,
)
from assay.engine.detectors.ensemble import Stop
from assay.engine.engine import Engine
from assay.engine.errors import BundleError
from assay.engine.executors.openvino import OpenVinoGraph
from assay.engine.outcome import Reason, Rejection, Verdict
from assay.engine.settings import Settings
from assay.trainers.export.bundle import graphs_of
from assay.trainers.export.parity import Side, compare

WEIGHTS, BIAS = np.array([0.5, 0.25, 2.0]), -0.75
STOP = Stop(below=-1.0, above=1.5, weight=3.0, bias=0.25)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ensemble")


@pytest.fixture(scope="module")
def bundle(folder: Path) -> Bundle:
    return Bundle.load(ensemble_bundle(folder / "all"))


@pytest.fixture(scope="module")
def stopping(folder: Path) -> Bundle:
    return Bundle.load(ensemble_bundle(folder / "stopping", stop=STOP))


@pytest.fixture(scope="module")
def members(folder: Path) -> list[Bundle]:
    return members_in(folder / "alone")


def photographs() -> list[Image]:
    """From black over photographs to white, of all shapes."""
    made = [photograph(*size, seed) for seed, size in enumerate([(90, 130), (20, 200), (33, 32), (300, 40)])]
    return [np.full((50, 60, 3), shade, np.uint8) for shade in (0, 110, 140, 255)] + made


@functools.cache
def compiled(folder: Path) -> Mapping[str, Graph]:
    return graphs_of(Bundle.load(folder))


def detect(bundle: Bundle, images: list[Image]) -> list[Detection]:
    return detector_of(bundle)(images, compiled(bundle.path), Stopwatch())


def oracle(members: list[Bundle], images: list[Image]) -> NDArray[np.float64]:
    """(n, M) the logit of each member, loaded and asked by itself, of one image at a time, in float64."""
    return np.array([[detect(one, [image])[0].logit for one in members] for image in images], np.float64)


def test_the_logit_is_the_layer_on_the_members_own_logits(bundle: Bundle, members: list[Bundle]) -> None:
    images = photographs()
    logits = oracle(members, images)
    found = detect(bundle, images)
    assert [one.logit for one in found] == pytest.approx(logits @ WEIGHTS + BIAS, rel=1e-5, abs=1e-5)
    for one, row in zip(found, logits, strict=True):
        assert list(one.scores) == ["whole", "middle.part", "patches"]
        assert list(one.scores.values()) == pytest.approx(row, rel=1e-5, abs=1e-5)
        told = one.evidence["members"]
        assert [member["name"] for member in told] == list(one.scores)
        assert told[2]["evidence"]["patches"]
        assert "evidence" not in told[0]


def test_others_are_asked_only_where_the_first_is_not_sure(stopping: Bundle, members: list[Bundle]) -> None:
    images = photographs()
    logits = oracle(members, images)
    sure = (logits[:, 0] <= STOP.below) | (logits[:, 0] >= STOP.above)
    assert 0 < sure.sum() < len(images)
    graphs = compiled(stopping.path)
    asked: list[int] = []

    def spy(*arrays: Any) -> Any:
        asked.append(len(arrays[0]))
        return graphs["classify@middle.part"](*arrays)

    found = detector_of(stopping)(images, {**graphs, "classify@middle.part": spy}, Stopwatch())
    assert asked == [len(images) - sure.sum()]
    wanted = np.where(sure, STOP.weight * logits[:, 0] + STOP.bias, logits @ WEIGHTS + BIAS)
    assert [one.logit for one in found] == pytest.approx(wanted, rel=1e-5, abs=1e-5)
    assert [len(one.scores) for one in found] == np.where(sure, 1, 3).tolist()
    assert [one.chosen[0] for one in found] == np.where(sure, 1, 3).tolist()


@settings(max_examples=12, deadline=None)
@given(st.lists(st.integers(0, 7), min_size=1, max_size=8))
def test_an_image_has_the_score_that_it_has_alone(stopping: Bundle, order: list[int]) -> None:
    """In whatever company, of the sure and the unsure, in whatever order."""
    images = photographs()
    alone = [detect(stopping, [image])[0] for image in images]
    for one, number in zip(detect(stopping, [images[number] for number in order]), order, strict=True):
        assert one.logit == pytest.approx(alone[number].logit, rel=1e-5, abs=1e-5)
        assert one.scores.keys() == alone[number].scores.keys()


def test_where_all_are_sure_no_other_is_asked(stopping: Bundle) -> None:
    def never(*arrays: Any) -> Any:
        raise AssertionError("asked")

    graphs = compiled(stopping.path)
    quick = {name: graph if name.endswith("@whole") else never for name, graph in graphs.items()}
    dark = [np.zeros((50, 60, 3), np.uint8)] * 3
    assert [one.scores.keys() for one in detector_of(stopping)(dark, quick, Stopwatch())] == [{"whole"}] * 3


def test_it_is_served_like_any_bundle(stopping: Bundle) -> None:
    images = photographs()
    data = [encode(image, "PNG") for image in images]
    broken = [data[0][:-20], encode(images[1][:7], "PNG"), b"no image"]
    with Engine(stopping, settings=Settings(workers=0)) as engine:
        outcomes = engine.score([*data[:4], *broken, *data[4:]])
    verdicts = [one for one in outcomes if isinstance(one, Verdict)]
    assert [one.reason for one in outcomes if isinstance(one, Rejection)] == [
        Reason.TRUNCATED,
        Reason.TOO_SMALL,
        Reason.UNSUPPORTED_FORMAT,
    ]
    for verdict, detection in zip(verdicts, detect(stopping, images), strict=True):
        assert verdict.scores == pytest.approx({"ensemble": detection.logit, **detection.scores}, abs=1e-4)
        assert verdict.probability == pytest.approx(1 / (1 + np.exp(-detection.logit)), abs=1e-4)
        json.dumps(verdict.to_dict())
        assert verdict.seconds["whole"] > 0


def test_graphs_that_choose_indices_stay_in_fp32(bundle: Bundle) -> None:
    made: list[tuple[str, str]] = []

    def executor(file: Path, spec: Any, precision: str) -> OpenVinoGraph:
        made.append((file.name, precision))
        return OpenVinoGraph(file, spec, "fp32")

    graphs = make_graphs(bundle, lambda name: "bf16", executor)
    assert ("backbone@patches.onnx", "fp32") in made
    assert ("backbone@patches.onnx", "bf16") in made
    assert "backbone_view@patches" in graphs
    assert KINDS["ensemble"].choices(bundle.manifest).keys() == {"backbone_view@patches"}


def test_memory_is_that_of_the_largest_member(bundle: Bundle, members: list[Bundle]) -> None:
    assert intermediate_bytes(bundle) == max(map(intermediate_bytes, members))


def test_parity_is_measured_though_others_may_be_asked(stopping: Bundle, tmp_path: Path) -> None:
    """A candidate whose first member is less sure asks of other images than the reference does."""
    files = []
    for number, image in enumerate(photographs()):
        files.append(tmp_path / f"{number}.png")
        files[-1].write_bytes(encode(image, "PNG"))
    graphs = compiled(stopping.path)
    doubting = {**graphs, "classify@whole": lambda *given: (graphs["classify@whole"](*given)[0] * 0.2,)}
    same = compare(files, stopping.manifest, Side(graphs), Side(graphs))
    assert (same.largest, same.same_choices) == (0, 1)
    assert compare(files, stopping.manifest, Side(graphs), Side(doubting)).same_choices < 1


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda m: m["parameters"]["members"].pop(), "graph backbone@patches, fuse@patches is of no member"),
        (lambda m: m["graphs"].pop("fuse@patches"), "patches of kind 'fusing' needs graph fuse@patches"),
        (lambda m: m["parameters"].update(members=m["parameters"]["members"][:1]), "at least 2 items"),
        (lambda m: m["parameters"]["members"][0].update(kind="ensemble"), "whole is of kind 'ensemble'"),
        (lambda m: m["parameters"]["members"][0].update(kind="oracle"), "which no ensemble asks"),
        (lambda m: m["parameters"]["members"][1].update(name="whole"), "two members are called whole"),
        (lambda m: m["parameters"]["members"][1].update(name="ensemble"), "no member can be called ensemble"),
        (lambda m: m["parameters"]["members"][1].update(min_side=9), "takes images from 9 pixels"),
        (lambda m: m["parameters"]["members"][1].update(sha256="abc"), "members.1.sha256"),
        (lambda m: m["parameters"]["members"][1].update(weight=float("nan")), "members.1.weight"),
        (lambda m: m["parameters"]["members"][1].update(parameters={"gain": 2}), "part, parameters.gain"),
        (lambda m: m["parameters"]["members"][2]["parameters"].update(windows=[[9, 9]]), "member patches: "),
        (lambda m: m["view"].update(size=16), "view must be that of the first member, whole"),
        (lambda m: m["parameters"]["stop"].update(below=2.0), "below must be less than above"),
        (lambda m: m.update(domain={"side": 64, "distance": 1.0}, min_side=64), "output 'distance'"),
    ],
)
def test_what_does_not_fit_is_refused_before_a_graph_is_opened(
    stopping: Bundle, tmp_path: Path, change: Callable[[dict[str, Any]], None], named: str
) -> None:
    check_refused(Path(shutil.copytree(stopping.path, tmp_path / "changed")), change, named)


def test_a_member_that_was_exchanged_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(bundle.path, tmp_path / "copy"))
    shutil.copyfile(copy / "classify@whole.onnx", copy / "classify@middle.part.onnx")
    with pytest.raises(BundleError, match=r"classify@middle.part.onnx is not the file"):
        Bundle.load(copy)

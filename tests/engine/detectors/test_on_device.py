"""Every detector gives the same on arrays that behave as CuPy's."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import numpy as np
import onnx
import pytest
from support.apn import bands_bundle
from support.bundles import SIDE, brightness_graph, plain_bundle
from support.fusing import SIZES, brightness_bundle
from support.images import photograph
from support.lnp import mean_bundle

from assay.engine.bundle import Bundle
from assay.engine.detectors import KINDS, Stopwatch, make_graphs
from assay.engine.executors.openvino import OpenVinoGraph

pytest.importorskip("cupy")
SMALL_RESULTS = 4096
"""Bytes of an image that may come to the host: logits and evidence."""


def classes_bundle(folder: Path) -> Path:
    """Someone else's classifier of three classes, whose scores are not logits."""
    model = brightness_graph()
    weight = model.graph.initializer[0]
    three = np.stack([np.full((3, 1, 1), gain / 3, np.float32) for gain in (1.0, 2.0, -1.5)])
    weight.CopyFrom(onnx.numpy_helper.from_array(three, "weight"))
    model.graph.initializer[1].CopyFrom(onnx.numpy_helper.from_array(np.array([-1, 3], np.int64), "flat"))
    model.graph.output[0].CopyFrom(
        onnx.helper.make_tensor_value_info("logit", onnx.TensorProto.FLOAT, ["N", 3])
    )
    return plain_bundle(folder, graph=model, parameters={"synthetic_index": 1})


def crops_bundle(folder: Path) -> Path:
    rule = {"resize": "none", "size": SIDE, "crop": [[0, 0], [0.5, 0.5]], "small": "wrap"}
    return plain_bundle(folder, view={**rule, "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]})


@pytest.mark.parametrize(
    "make",
    [plain_bundle, classes_bundle, crops_bundle, brightness_bundle, bands_bundle, mean_bundle],
    ids=["plain", "plain, classes", "plain, crops", "fusing", "apn", "lnp"],
)
def test_a_detector_gives_the_same_on_the_device(
    make: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from support.device_arrays import DeviceArray, move_kernels, on_the_device

    bundle = Bundle.load(make(tmp_path / "bundle"))
    kind, manifest = KINDS[bundle.kind], bundle.manifest
    graphs = make_graphs(bundle, lambda name: "fp32", OpenVinoGraph)
    images = [photograph(height, width, seed) for seed, (height, width) in enumerate(SIZES)]
    expected = kind.detector(manifest)(images, graphs, Stopwatch())
    assert len({detection.logit for detection in expected}) > 1
    move_kernels(import_module(kind.detect.__module__), monkeypatch)
    moved = {name: on_the_device(graph) for name, graph in graphs.items()}
    monkeypatch.setattr(DeviceArray, "fetched", 0)
    found = kind.detector(manifest)([DeviceArray(image) for image in images], moved, Stopwatch())  # type: ignore[misc]
    assert found == expected
    pixels = min(image.nbytes for image in images)
    assert 0 < DeviceArray.fetched / len(images) <= min(SMALL_RESULTS, pixels / 2), "pixels came back"

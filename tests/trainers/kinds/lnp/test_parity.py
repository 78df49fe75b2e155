"""A noise-pattern detector in torch and as an exported bundle on OpenVINO, on photographs of many sizes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support import real_photos
from support.fusing import SIZES, Pixels, resized
from support.lnp_networks import inputs, lively

from assay.engine.bundle import Bundle, GraphSpec, Thresholds
from assay.engine.detectors import KINDS, Stopwatch
from assay.engine.executors.openvino import OpenVinoGraph
from assay.trainers.export.bundle import export_graph, graphs_of
from assay.trainers.export.parity import Side, compare
from assay.trainers.kinds.lnp.bundle import export, manifest_template, torch_graphs
from assay.trainers.kinds.lnp.denoiser.network import Denoiser, Pattern
from assay.trainers.kinds.lnp.network import LNP

SIZE = 64


def pillow(file: Path) -> Pixels:
    with Image.open(file) as image:
        return np.asarray(image.convert("RGB"))


@pytest.fixture(scope="module")
def networks() -> tuple[Pattern, LNP]:
    return lively(SIZE)


@pytest.fixture(scope="module")
def bundle(networks: tuple[Pattern, LNP], tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    update = {
        "name": "lively",
        "version": "1.0.0",
        "licence": "Apache-2.0",
        "thresholds": Thresholds(synthetic=0.8, authentic=0.2),
    }
    return export(
        *networks, tmp_path_factory.mktemp("lnp"), manifest_template(SIZE).model_copy(update=update)
    )


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("photographs")
    files = [folder / f"{number}.jpg" for number in range(len(SIZES))]
    for number, (file, size) in enumerate(zip(files, SIZES, strict=True)):
        Image.fromarray(resized(*size, number)).save(file, quality=90)
    return files


def test_fp32_is_torch(bundle: Bundle, files: list[Path], networks: tuple[Pattern, LNP]) -> None:
    reference = Side(torch_graphs(*networks), pillow)
    graphs = graphs_of(bundle)
    parity = compare(files, bundle.manifest, reference, Side(graphs))
    assert parity.images == len(files)
    assert parity.largest <= 0.003
    assert parity.changed_labels == 0
    assert parity.passes("fp32")

    def shifted(*arrays: Any) -> Any:
        (logit,) = graphs["classify"](*arrays)
        return (logit + 0.5,)

    assert not compare(files[:4], bundle.manifest, reference, Side({**graphs, "classify": shifted})).passes(
        "fp32"
    )


def test_real_photographs(bundle: Bundle, networks: tuple[Pattern, LNP]) -> None:
    reference = Side(torch_graphs(*networks), pillow)
    parity = compare(real_photos.few(8), bundle.manifest, reference, Side(graphs_of(bundle)))
    assert parity.images == 8
    assert parity.largest <= 0.003


@pytest.mark.full
@pytest.mark.timeout(1200)
def test_two_hundred_real_photographs(bundle: Bundle, networks: tuple[Pattern, LNP]) -> None:
    """As they are stored, shorter sides from 128 to 1280 pixels; each precision as it would be offered."""
    files = real_photos.many(200)
    reference = Side(torch_graphs(*networks), pillow)
    parity = compare(files, bundle.manifest, reference, Side(graphs_of(bundle)))
    assert parity.images == 200
    assert parity.passes("fp32")
    assert parity.p95 <= 0.003
    assert parity.changed_labels <= 0.005
    rough = compare(files, bundle.manifest, reference, Side(graphs_of(bundle, "bf16")))
    assert rough.largest > parity.largest  # bf16 was really used


def test_the_served_chain_is_the_forward_pass(
    bundle: Bundle, files: list[Path], networks: tuple[Pattern, LNP]
) -> None:
    images = [pillow(file) for file in files]
    denoiser, classifier = networks
    with torch.inference_mode():
        expected = classifier(*inputs(images, denoiser, SIZE))[:, 0].tolist()
    found = KINDS["lnp"].detector(bundle.manifest)(images, torch_graphs(*networks), Stopwatch())
    assert [detection.logit for detection in found] == pytest.approx(expected, abs=2e-3)
    assert np.std(expected) > 0.5


@pytest.mark.parametrize("form", ["raw", "published"])
def test_the_large_denoiser_exports_in_both_forms(form: Any, tmp_path: Path) -> None:
    torch.manual_seed(2)
    denoiser = Pattern(Denoiser(1, 1), form).eval()
    plane = ("N", 3, 32, 32)
    spec = GraphSpec(file="denoise.onnx", sha256="", inputs={"image": plane}, outputs={"pattern": plane})
    export_graph(denoiser.denoiser if form == "raw" else denoiser, spec, tmp_path / spec.file)
    image = torch.rand(3, 3, 32, 32)
    (found,) = OpenVinoGraph(tmp_path / spec.file, spec, "fp32")(image.numpy())
    with torch.inference_mode():
        wanted = denoiser(image).numpy()
    equal = np.isclose(found, wanted, atol=1e-4)
    assert equal.mean() > (0.999 if form == "published" else 0.9999)  # a level may round the other way

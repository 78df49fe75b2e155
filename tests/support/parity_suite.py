"""What an exported bundle promises, whatever its kind: the answers of its network in torch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support import real_photos
from support.fusing import SIZES, Pixels, resized

from assay.engine.bundle import Bundle, Thresholds
from assay.engine.core import Core
from assay.engine.detectors import KINDS, Detection, Graph, Stopwatch
from assay.engine.item import Item
from assay.engine.outcome import Verdict
from assay.engine.settings import Settings
from assay.trainers.export.bundle import graphs_of
from assay.trainers.export.parity import Parity, Side, compare

LIVELY: dict[str, Any] = {
    "name": "lively",
    "version": "1.0.0",
    "licence": "Apache-2.0",
    "thresholds": Thresholds(synthetic=0.8, authentic=0.2),
}
"""What a manifest's template leaves open."""


def pillow(file: Path) -> Pixels:
    with Image.open(file) as image:
        return np.asarray(image.convert("RGB"))


def photographs(folder: Path) -> list[Path]:
    """A JPEG file of each of SIZES with what two photographs show."""
    files = [folder / f"{number}.jpg" for number in range(len(SIZES))]
    for number, (file, size) in enumerate(zip(files, SIZES, strict=True)):
        Image.fromarray(resized(*size, number)).save(file, quality=90)
    return files


def check_sizes(bundle: Bundle, reference: Side, files: list[Path], largest: float = 0.001) -> None:
    parity = _compared(bundle, reference, files)
    assert parity.same_choices == 1
    assert parity.forced <= largest
    assert parity.largest <= largest
    assert parity.changed_labels == 0
    assert parity.passes("fp32")


def check_few(bundle: Bundle, reference: Side, largest: float = 0.001) -> None:
    parity = _compared(bundle, reference, real_photos.few(8))
    assert parity.images == 8
    assert parity.same_choices == 1
    assert parity.largest <= largest


def check_many(bundle: Bundle, reference: Side, p95: float = 0.001) -> Parity:
    """Two hundred distinct photographs as they are stored, shorter sides from 128 to 1280 pixels."""
    parity = _compared(bundle, reference, real_photos.many(200))
    assert parity.images == 200
    assert parity.same_choices >= 0.99
    assert parity.passes("fp32")
    assert parity.p95 <= p95
    assert parity.changed_labels <= 0.005
    return parity


def check_engine(
    bundle: Bundle, graphs: Mapping[str, Graph], files: list[Path]
) -> list[tuple[Verdict, Detection]]:
    """From bytes to outcome: batches, admission and calibration change nothing -> for each file what was
    served, and what the detector finds on the graphs of torch.
    """
    pairs = []
    core = Core([bundle], Settings(workers=0, precision="fp32"))
    try:
        items = [Item(file.name, file.read_bytes()) for file in files]
        outcomes = [future.result() for future in core.submit(items, wait=True)]
        manifest = core.bundles[bundle.manifest.name].manifest
    finally:
        core.stop()
    for file, outcome in zip(files, outcomes, strict=True):
        [expected] = KINDS[bundle.kind].detector(manifest)([pillow(file)], graphs, Stopwatch())
        assert isinstance(outcome, Verdict)
        assert outcome.scores[bundle.kind] == pytest.approx(expected.logit, abs=1e-3)
        pairs.append((outcome, expected))
    assert pairs
    return pairs


def _compared(bundle: Bundle, reference: Side, files: list[Path]) -> Parity:
    parity = compare(files, bundle.manifest, reference, Side(graphs_of(bundle)))
    assert parity.images == len(files)
    return parity

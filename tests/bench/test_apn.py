"""The peer of the purification network's benchmark gives the engine's answers, so both do the same work."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import real_photos
from support.apn_networks import lively
from support.fusing import resized

from assay.bench.published import apn as published_apn
from assay.engine.detectors import KINDS, Stopwatch
from assay.trainers.data.read import read_pixels
from assay.trainers.kinds.apn.bundle import manifest_template, torch_graphs


def test_the_procedure_is_the_engines(tmp_path: Path) -> None:
    network = lively(3, 64)
    small = tmp_path / "small.png"
    Image.fromarray(resized(50, 90)).save(small)
    files = [*real_photos.few(3), small]
    watch = Stopwatch()
    found = [published_apn.score(network, file, watch) for file in files]
    images = [read_pixels(file) for file in files]
    wanted = KINDS["apn"].detector(manifest_template(3, 64))(images, torch_graphs(network), Stopwatch())
    assert found == pytest.approx([one.logit for one in wanted], abs=2e-3)
    assert np.ptp(found) > 0.01
    assert set(watch.seconds) == {"decode", "view", "spectrum", "propose", "purify", "classify"}

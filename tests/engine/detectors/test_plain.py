"""`plain`: views by several rules are looked at one after the other, and each has its share of the mean."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.bundles import SIDE, plain_bundle
from support.images import photograph

from assay.engine.bundle import Bundle
from assay.engine.core import Core
from assay.engine.detectors import detector_of
from assay.engine.detectors.detector import Stopwatch
from assay.engine.detectors.plain import intermediate_bytes, rules
from assay.engine.errors import BundleError
from assay.engine.settings import Settings
from assay.kernels import view
from assay.trainers.export.bundle import graphs_of

SAME = {"size": SIDE, "mean": [0.5] * 3, "std": [0.5] * 3}
CROPS = {"resize": "none", "crop": [[0, 0], [1, 0.5], [0.5, 1]], "small": "wrap", **SAME}
REDUCED = {"resize": "short_side", "crop": [[0, 0], [1, 1]], **SAME}


def with_views(folder: Path, *more: dict[str, Any]) -> Bundle:
    return Bundle.load(plain_bundle(folder, view=CROPS, parameters={"more_views": more}))


def test_the_logit_is_the_mean_over_the_views_of_all_rules(tmp_path: Path) -> None:
    bundle = with_views(tmp_path, REDUCED)
    images = [photograph(90, 130), photograph(20, 200), photograph(33, 32), photograph(300, 40)]
    graphs = graphs_of(bundle)
    detections = detector_of(bundle)(images, graphs, Stopwatch())
    for image, detection in zip(images, detections, strict=True):
        cut = [view([image], rule) for rule in rules(bundle.manifest)]
        logits = np.concatenate([8 * views.mean(axis=(1, 2, 3)) for views in cut])
        assert detection.evidence["crop_logits"] == pytest.approx(logits, abs=1e-3)
        assert detection.logit == pytest.approx(logits.mean(), abs=1e-3)


def test_a_rule_more_is_memory_more(tmp_path: Path) -> None:
    one, two = with_views(tmp_path / "one"), with_views(tmp_path / "two", REDUCED)
    assert intermediate_bytes(two.manifest) * 3 == intermediate_bytes(one.manifest) * 5


@pytest.mark.parametrize(
    ("changed", "about"),
    [
        ({"size": SIDE + 1}, "more_views.1.size must be that of view, 32, not 33"),
        ({"channels": "bgr"}, "more_views.1.channels must be that of view, 'rgb', not 'bgr'"),
        ({"mean": [0.4] * 3}, "more_views.1.mean must be that of view"),
        ({"resize": "twice"}, "parameters.more_views.1"),
    ],
)
def test_a_rule_that_the_graph_cannot_see_is_refused(
    tmp_path: Path, changed: dict[str, Any], about: str
) -> None:
    bundle = with_views(tmp_path, REDUCED, {**REDUCED, **changed})
    with pytest.raises(BundleError, match=about):
        Core([bundle], Settings(workers=0))

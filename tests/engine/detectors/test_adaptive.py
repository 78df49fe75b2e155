"""`plain` with adaptive crops: further ones are looked at only where the first leave a verdict open."""

from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from support.bundles import SIDE, plain_bundle
from support.images import encode, photograph
from support.manifests import check_refused

from assay.engine.bundle import Bundle
from assay.engine.detectors import detector_of
from assay.engine.detectors.detector import Graph, Image, Stopwatch, tapped
from assay.engine.detectors.plain import all_crops, rules
from assay.engine.explain import PANELS, explain, plain
from assay.engine.explain.seen import Trace
from assay.engine.explain.sheet import Panel
from assay.engine.settings import Settings
from assay.kernels import view
from assay.trainers.export.bundle import graphs_of

SAME = {"size": SIDE, "resize": "none", "small": "wrap", "mean": [0.5] * 3, "std": [0.5] * 3}
LEFT = {"crop": [[0.5, 0]], **SAME}
REST = {"crop": [[0.5, 1], [0, 0.5]], **SAME}


def brightness(views: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
    """Each view by itself, so that the same view has the same logit to the last bit in any batch."""
    return (np.array([[8 * one.mean()] for one in views], np.float32),)


def adaptive(folder: Path, **parameters: Any) -> Bundle:
    """Looks at the left, and at the middle and the right where that leaves the verdict open."""
    parameters = {"crops": "adaptive", "margin": 0.5, "more_views": [REST], **parameters}
    return Bundle.load(plain_bundle(folder, view=LEFT, parameters=parameters))


def sides(left: int, right: int) -> Image:
    image = np.full((40, 120, 3), right, np.uint8)
    image[:, :40] = left
    return image


def counted(bundle: Bundle) -> tuple[dict[str, Graph], list[int]]:
    """The graphs of the bundle, and how many views each call brings."""
    calls: list[int] = []
    graphs = tapped(graphs_of(bundle), ["classify"], lambda name, views, out: calls.append(len(views[0])))
    return graphs, calls


def test_what_the_first_view_settles_is_not_looked_at_again(tmp_path: Path) -> None:
    bundle = adaptive(tmp_path)
    graphs, calls = counted(bundle)
    settled, left_open = detector_of(bundle)([sides(250, 0), sides(130, 250)], graphs, Stopwatch())
    assert calls == [2, 2], "one view of each, then two more of the second alone"
    assert settled.logit > 7
    assert settled.evidence == {}
    assert len(left_open.evidence["crop_logits"]) == 3
    assert left_open.logit == pytest.approx(np.mean(left_open.evidence["crop_logits"]), abs=1e-3)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return adaptive(tmp_path_factory.mktemp("adaptive"))


@given(
    st.lists(st.tuples(st.integers(0, 255), st.integers(0, 255)), min_size=1, max_size=9),
    st.floats(0, 6),
    st.randoms(use_true_random=False),
)
@settings(max_examples=40, deadline=None)
def test_each_image_is_judged_as_if_it_were_alone(
    made: Bundle, shades: list[tuple[int, int]], margin: float, order: Random
) -> None:
    """Reckoned anew for each image: the others of its batch, and their order, change no bit of it."""
    manifest = made.manifest.model_copy(update={"parameters": {**made.manifest.parameters, "margin": margin}})
    order.shuffle(shades)
    images = [sides(*pair) for pair in shades]
    found = detector_of(replace(made, manifest=manifest))(images, {"classify": brightness}, Stopwatch())
    first, rest = rules(manifest)
    high, low = (np.log(one / (1 - one)) for one in (0.8, 0.2))
    for image, detection in zip(images, found, strict=True):
        logits = brightness(view([image], first))[0].ravel().astype(float)
        if low - margin < logits[0] / 2 < high + margin:  # the temperature is 2
            logits = np.append(logits, brightness(view([image], rest))[0])
        assert detection.logit == logits.mean()


def test_with_a_margin_that_nothing_passes_all_crops_count(tmp_path: Path) -> None:
    every, far = adaptive(tmp_path / "all", crops="all"), adaptive(tmp_path / "far", margin=1e6)
    images = [sides(0, 255), sides(255, 255), photograph(90, 130), photograph(33, 200)]
    wanted = detector_of(every)(images, {"classify": brightness}, Stopwatch())
    assert detector_of(far)(images, {"classify": brightness}, Stopwatch()) == wanted
    whole = replace(far, manifest=all_crops(far.manifest))
    assert detector_of(whole)(images, {"classify": brightness}, Stopwatch()) == wanted
    assert all_crops(whole.manifest) == whole.manifest


def test_where_none_is_open_the_first_view_alone_counts(tmp_path: Path) -> None:
    alone, bundle = Bundle.load(plain_bundle(tmp_path / "one", view=LEFT)), adaptive(tmp_path, margin=0)
    images = [sides(0, 255), sides(255, 0), sides(10, 90)]
    wanted = detector_of(alone)(images, {"classify": brightness}, Stopwatch())
    graphs, calls = counted(bundle)
    assert detector_of(bundle)(images, {"classify": brightness}, Stopwatch()) == wanted
    detector_of(bundle)(images, graphs, Stopwatch())
    assert calls == [3]


def test_a_probability_of_0_or_1_settles(tmp_path: Path) -> None:
    """Calibration by points says 0 and 1, of which the log-odds have no end."""
    points = {"method": "isotonic", "points": [[-4, 0], [4, 1]]}
    folder = plain_bundle(
        tmp_path,
        view=LEFT,
        calibration=points,
        parameters={"crops": "adaptive", "margin": 1e300, "more_views": [REST]},
    )
    bundle = Bundle.load(folder)
    graphs, calls = counted(bundle)
    detector_of(bundle)([sides(0, 255), sides(255, 0), sides(130, 0)], graphs, Stopwatch())
    assert calls == [3, 2]


def test_a_distance_is_the_mean_over_the_views_that_were_looked_at(made: Bundle) -> None:
    manifest = made.manifest
    spec = manifest.graphs["classify"]
    spec = spec.model_copy(update={"outputs": {**spec.outputs, "distance": ("N", 1)}})
    bundle = replace(made, manifest=manifest.model_copy(update={"graphs": {"classify": spec}}))

    def both(views: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        (logits,) = brightness(views)
        return logits, logits / 8

    for detection in detector_of(bundle)([sides(250, 0), sides(130, 250)], {"classify": both}, Stopwatch()):
        assert detection.distance == pytest.approx(detection.logit / 8)


@pytest.mark.parametrize(
    ("changed", "about"),
    [
        ({"more_views": []}, 'parameters.crops "adaptive" needs parameters.more_views'),
        ({"margin": -0.1}, "parameters.margin"),
        ({"margin": "NaN"}, "parameters.margin"),
        ({"crops": "some"}, "parameters.crops"),
    ],
)
def test_a_rule_that_says_nothing_is_refused(tmp_path: Path, changed: dict[str, Any], about: str) -> None:
    adaptive(tmp_path)
    check_refused(tmp_path, lambda manifest: manifest["parameters"].update(changed), about)


@pytest.mark.parametrize(("left", "views"), [(250, 1), (130, 3)])
def test_the_page_of_an_explanation_shows_what_was_looked_at(
    made: Bundle, monkeypatch: pytest.MonkeyPatch, left: int, views: int
) -> None:
    """As many crops as were looked at, in two calls of the graph or in one."""
    drawn: list[Panel] = []

    def panels(seen: Trace) -> list[Panel]:
        drawn.extend(plain.panels(seen))
        return drawn

    monkeypatch.setitem(PANELS, "plain", panels)
    explain("sides.png", encode(sides(left, 250), "PNG"), made, Settings(workers=0))
    assert [panel.title for panel in drawn[1:]] == [f"Crop {number}" for number in range(1, views + 1)]

"""`assay train ensemble`: the layer against its oracle, and from the command to verdicts."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from scipy.optimize import minimize
from support.bundles import brightness_graph, plain_bundle
from support.command import exit_code
from support.ensemble import ensemble_bundle

from assay.engine.bundle import Bundle, Calibration, Thresholds, sha256_of
from assay.engine.detectors.ensemble import Parameters
from assay.engine.engine import Engine
from assay.engine.errors import SetupError
from assay.engine.outcome import Verdict
from assay.engine.settings import Settings
from assay.trainers.data.samples import Sample
from assay.trainers.ensemble.layer import PENALTY, Layer, compare, fit_layer, fit_stop
from assay.trainers.evaluate.score import Scored

LABELS = np.array([0] * 60 + [1] * 40)


def drawn(seed: int, *gains: float) -> NDArray[np.float64]:
    """(100, M) logits, each member's telling the classes apart by its gain in deviations."""
    random = np.random.default_rng(seed)
    noise = random.standard_normal((len(LABELS), len(gains)))
    return noise * 3 + 3 * np.array(gains) * (LABELS[:, None] - 0.5)


def scored(logits: NDArray[np.float64]) -> Scored:
    samples = [
        Sample(Path(f"{number}.png"), int(label), "val", f"{'fg'[label]}{number % 4}", "val")
        for number, label in enumerate(LABELS)
    ]
    return Scored(tuple(samples), logits[:, 0], np.full(len(LABELS), 64))


def test_the_layer_is_that_of_least_loss() -> None:
    logits = drawn(0, 2.0, 1.0, 0.0)
    layer = fit_layer(logits, LABELS)
    share = np.where(LABELS == 1, 0.5 / 40, 0.5 / 60)
    spread = logits.std(axis=0)

    def loss(parameters: NDArray[np.float64]) -> float:
        margins = np.where(LABELS == 1, -1, 1) * (logits @ parameters[:3] + parameters[3])
        return float(share @ np.logaddexp(0, margins) + PENALTY * np.sum((parameters[:3] * spread) ** 2))

    bounds = [(0, None)] * 3 + [(None, None)]
    wanted = minimize(
        loss, np.zeros(4), method="Powell", bounds=bounds, options={"xtol": 1e-9, "ftol": 1e-12}
    )
    assert loss(np.array([*layer.weights, layer.bias])) <= wanted.fun + 1e-7
    assert [*layer.weights, layer.bias] == pytest.approx(wanted.x, abs=2e-3)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.lists(st.floats(-2, 2), min_size=2, max_size=4), st.floats(1e-3, 1e3))
def test_no_member_counts_against_what_it_finds(seed: int, gains: list[float], scale: float) -> None:
    """Not even one that is worse than chance, and whatever the scale of its logits."""
    logits = drawn(seed, *gains)
    layer = fit_layer(logits * scale, LABELS)
    assert min(layer.weights) >= 0
    assert np.isfinite(layer(logits * scale)).all()
    assert layer(logits * scale) == pytest.approx(fit_layer(logits, LABELS)(logits), abs=5e-2)


def test_one_class_makes_no_layer() -> None:
    with pytest.raises(SetupError, match="one of them is missing"):
        fit_layer(drawn(0, 1.0, 1.0), np.zeros(len(LABELS), np.int64))


def test_two_that_err_apart_beat_each_alone_on_sources_held_out() -> None:
    logits = drawn(1, 1.2, 1.2)
    losses = compare(logits, scored(logits), ["one", "two"]).losses
    assert list(losses) == ["ensemble", "one", "two"]
    assert losses["ensemble"] < min(losses["one"], losses["two"])


@pytest.mark.parametrize("changed", [0.02, 0.1, 0.5])
def test_a_stop_changes_no_more_labels_than_it_may(changed: float) -> None:
    logits = drawn(2, 2.5, 2.0)
    layer, calibration = fit_layer(logits, LABELS), Calibration()
    limits = Thresholds(synthetic=0.8, authentic=0.2)
    stop = fit_stop(logits, scored(logits), layer, calibration, limits, changed)
    assert stop is not None
    sure = np.array([stop.sure(logit) for logit in logits[:, 0]])
    assert sure.any()
    alone = stop.weight * logits[:, 0] + stop.bias
    whole = [limits.label(calibration.probability(logit)) for logit in layer(logits)]
    quick = [limits.label(calibration.probability(logit)) for logit in np.where(sure, alone, layer(logits))]
    assert sum(one != two for one, two in zip(whole, quick, strict=True)) <= changed * len(LABELS)


def test_one_that_knows_nothing_is_nowhere_enough() -> None:
    logits = drawn(3, 0.0, 6.0)
    logits[:, 0] = np.arange(len(LABELS)) % 2  # the extremes of the first are of both classes
    limits = Thresholds(synthetic=0.5, authentic=0.4)
    assert fit_stop(logits, scored(logits), Layer((0.0, 1.0), 0.0), Calibration(), limits, 0.01) is None


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sources and two generators: synthetic images are brighter, and in their middle much brighter."""
    root = tmp_path_factory.mktemp("ensemble")
    random = np.random.default_rng(0)
    for group in ("a", "b"):
        for label, brighter in (("0_real", 0), ("1_fake", 25)):
            target = root / "data/val" / group / label
            target.mkdir(parents=True)
            for number in range(12):
                pixels = np.full((64, 64, 3), np.clip(random.normal(110 + brighter, 25), 0, 255), np.uint8)
                pixels[16:48, 16:48] = np.clip(random.normal(110 + 2 * brighter, 25), 0, 255)
                Image.fromarray(pixels).save(target / f"{number}.png")
    centre = {"resize": "none", "size": 32, "crop": "centre", "mean": [0.5] * 3, "std": [0.5] * 3}
    plain_bundle(root / "whole", "whole")
    plain_bundle(root / "middle", "middle", brightness_graph(4.0), view=centre)
    return root


def test_from_the_command_to_a_signed_bundle_that_is_served(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    made, key = folder / "made", folder / "key.pem"
    members = (folder / "whole", folder / "middle")
    options = ("--data", folder / "data", "--out", made, "--name", "both", "--stop", "0.2")
    assert exit_code("train", "ensemble", *members, *options) == 0
    shown = " ".join(capfd.readouterr().err.split())
    assert "cross-entropy on held-out sources: ensemble 0." in shown
    bundle = Bundle.load(made)
    parameters = Parameters.model_validate(bundle.manifest.parameters)
    assert [member.sha256 for member in parameters.members] == [
        sha256_of(member / "manifest.json") for member in members
    ]
    assert parameters.stop is not None
    card = (made / "CARD.md").read_text()
    assert card.startswith("# both 1.0.0\n")
    assert "24 photographs and 24 synthetic images" in card
    assert "decides alone where its logit is at most" in card
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private = Ed25519PrivateKey.generate()
    forms = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    key.write_bytes(private.private_bytes(*forms))
    public = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    (folder / "key.pub").write_bytes(private.public_key().public_bytes(*public))
    assert exit_code("sign", made, "--key", key) == 0
    alone = Path(shutil.copytree(made, folder / "elsewhere"))  # without its members
    assert exit_code("verify", alone, "--key", folder / "key.pub") == 0
    files = sorted((folder / "data").rglob("*.png"))
    with Engine(alone, settings=Settings(workers=0)) as engine:
        verdicts = engine.score([file.read_bytes() for file in files])
    asked = [len(verdict.scores) - 1 for verdict in verdicts if isinstance(verdict, Verdict)]
    assert len(asked) == len(files)
    assert set(asked) == {1, 2}
    assert json.loads((made / "manifest.json").read_text())["kind"] == "ensemble"


@pytest.mark.parametrize(
    ("members", "named"),
    [(["whole"], "two members or more"), (["whole", "whole"], "each of another name")],
)
def test_what_cannot_be_joined_is_refused_at_once(
    folder: Path, members: list[str], named: str, capfd: pytest.CaptureFixture[str]
) -> None:
    paths = [folder / member for member in members]
    assert exit_code("train", "ensemble", *paths, "--data", folder / "data", "--out", folder / "no") == 2
    assert named in " ".join(capfd.readouterr().err.split())
    assert not (folder / "no").exists()


def test_an_ensemble_is_no_member(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    inner = ensemble_bundle(folder / "inner")
    options = ("--data", folder / "data", "--out", folder / "no")
    assert exit_code("train", "ensemble", inner, folder / "whole", *options) == 2
    assert "is an ensemble itself" in " ".join(capfd.readouterr().err.split())

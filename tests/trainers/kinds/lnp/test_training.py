"""`assay train lnp` on a tiny tree: patterns that are kept, ways of cutting, resuming, cut faces, export."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.command import assay
from support.lnp_networks import lively
from support.photos import write_tree
from support.sam import write_tiny_sam
from support.tables import read_csv
from torch import nn

from assay.engine.bundle import Bundle
from assay.engine.errors import SetupError
from assay.trainers.data.dataset import BalancedSampler, Draw
from assay.trainers.data.samples import Sample, of_split, read_samples
from assay.trainers.evaluate.score import score
from assay.trainers.export.bundle import graphs_of
from assay.trainers.fit import checkpoint
from assay.trainers.kinds.lnp.bundle import torch_graphs
from assay.trainers.kinds.lnp.denoiser.network import Denoiser, Pattern, Student
from assay.trainers.kinds.lnp.face_cutter import FaceCutter
from assay.trainers.kinds.lnp.fit import completed, load_run, scored_by, turned
from assay.trainers.kinds.lnp.patterns import Patterns, fingerprint
from assay.trainers.kinds.lnp.source import load_denoiser
from assay.trainers.kinds.lnp.views import Views, Ways

SMALL = "--size 32 --batch 4 --workers 0 --recipe cnn_aug --schedule cosine --lr 0.001"
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    write_tree(root, {f"{split}/{label}": 4 for split in ("train", "val") for label in ("real", "fake")})
    (root / "train/real/broken.png").write_bytes(b"no image")
    return root


@pytest.fixture(scope="module")
def denoiser(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(3)
    file = tmp_path_factory.mktemp("denoiser") / "student.pt"
    checkpoint.save({"model": Student().state_dict()}, file)
    return file


@pytest.fixture(scope="module")
def run(data: Path, denoiser: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "whole"
    options = ("--denoiser", denoiser, "--epochs", 2, "--ways", 2)
    assay("train", "lnp", "--data", data, "--out", folder, *options, *SMALL.split())
    return folder


def same(one: Path, other: Path) -> bool:
    first, second = (checkpoint.load_state(folder / "last.pt") for folder in (one, other))
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def test_a_run_leaves_all_that_export_needs(run: Path) -> None:
    assert [row["epoch"] for row in read_csv(run / "log.csv")] == ["1", "2"]
    assert (run / "unreadable.txt").read_text().strip().endswith("broken.png")
    kept = list((run / "cache/patterns").rglob("*.npy"))
    assert 8 <= len(kept) <= 2 * 8 + 8  # two ways of the training images, and the centres of the others
    _, pattern, classifier = load_run(run)
    assert not pattern.training
    assert not classifier.training


def test_kept_patterns_train_the_same_network(
    run: Path, data: Path, denoiser: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compute(self: Patterns, views: Any) -> Any:
        raise AssertionError("a pattern was computed twice")

    monkeypatch.setattr(Patterns, "_compute", compute)
    options = ("--denoiser", denoiser, "--epochs", 2, "--ways", 2, "--cache", run / "cache")
    assay("train", "lnp", "--data", data, "--out", tmp_path / "again", *options, *SMALL.split())
    assert same(run, tmp_path / "again")


def test_a_resumed_run_ends_the_same(run: Path, data: Path, denoiser: Path, tmp_path: Path) -> None:
    out = tmp_path / "parts"
    options = (*SMALL.split(), "--turn", "--schedule", "plateau", "--ways", 2, "--cache", run / "cache")
    shared = ("train", "lnp", "--data", data, "--denoiser", denoiser, *options)
    assay(*shared, "--out", out, "--epochs", 1)
    assay(*shared, "--out", tmp_path / "whole", "--epochs", 2)
    (out / "run.json").write_text((out / "run.json").read_text().replace('"epochs": 1', '"epochs": 2'))
    assay("train", "lnp", "--data", data, "--out", out, "--workers", 0, "--resume")
    assert same(tmp_path / "whole", out)
    with pytest.raises(SetupError, match="holds a run already"):
        assay(*shared, "--out", out)


@pytest.mark.full
def test_a_bundle_scores_as_the_run(run: Path, data: Path, tmp_path: Path) -> None:
    """The weights are others: after two epochs all images would get one score."""
    learnt = tmp_path / "run"
    learnt.mkdir()
    (learnt / "run.json").write_bytes((run / "run.json").read_bytes())
    denoiser, network = lively(32)
    checkpoint.save({"model": denoiser.denoiser.state_dict()}, learnt / "denoiser.pt")
    checkpoint.save({"model": network.state_dict()}, learnt / "last.pt")
    assay("export", learnt, tmp_path / "bundle", "--name", "tiny", "--checkpoint", "last", "--min-side", 32)
    bundle = Bundle.load(tmp_path / "bundle")
    assert (bundle.kind, bundle.manifest.view.size, bundle.manifest.min_side) == ("lnp", 32, 32)
    assert bundle.manifest.trained_on["ways"] == 2
    assert not {"data", "cache", "sam"} & bundle.manifest.trained_on.keys()
    samples = of_split(read_samples(data), "val")
    _, pattern, classifier = load_run(learnt, best=False)
    served = score(samples, bundle.manifest, graphs_of(bundle))
    trained = score(samples, bundle.manifest, torch_graphs(pattern, classifier))
    assert np.abs(served.logits - trained.logits).max() < 0.02  # phases near pi may turn
    assert np.ptp(served.logits) > 5  # else this compares nothing
    assay("export", learnt, tmp_path / "five", "--name", "tiny", "--checkpoint", "last", "--crops", "five")
    assert Bundle.load(tmp_path / "five").manifest.view.crops == 5


def test_faces_are_cut_out_before_anything_else(
    run: Path, data: Path, denoiser: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("transformers")
    sam = write_tiny_sam(tmp_path / "sam")
    options = ("--sam", sam, "--outside", "grey", "--cache", tmp_path / "cache", "--denoiser", denoiser)
    shared = ("train", "lnp", "--data", data, "--epochs", 1, *options, *SMALL.split())
    assay(*shared, "--out", tmp_path / "cut")
    masks = list((tmp_path / "cache/masks").glob("*.png"))
    assert len(masks) == 16  # of each file that can be read, validation included
    whole = {file.name for file in (run / "cache/patterns").rglob("*.npy")}
    assert not whole & {file.name for file in (tmp_path / "cache/patterns").rglob("*.npy")}

    def compute(self: Any, pixels: Any) -> Any:
        raise AssertionError("SAM was asked twice")

    monkeypatch.setattr(FaceCutter, "_compute", compute)
    assay(*shared, "--out", tmp_path / "again")
    assert same(tmp_path / "cut", tmp_path / "again")
    samples = of_split(read_samples(data), "val")
    assert np.isfinite(scored_by(tmp_path / "cut", samples).logits).all()


def test_a_pair_goes_the_same_way_and_ways_are_few() -> None:
    samples = [Sample(Path(f"{n}.png"), n % 2, "train", "all", "", f"pair{n // 2}") for n in range(12)]
    seen: dict[int, set[tuple[int, ...]]] = {}
    for epoch in range(20):
        draws = list(Ways(BalancedSampler(samples, 1, epoch), samples, 3, seed=1))
        assert len(draws) == 12
        for real, image in zip(draws[::2], draws[1::2], strict=True):
            assert real.index == image.index - 1
            assert real.seed == image.seed
            seen.setdefault(image.index, set()).add(image.seed)
    assert {len(seeds) for seeds in seen.values()} == {3}
    assert len(set().union(*seen.values())) == 3 * 6  # other images are cut elsewhere


def test_ways_follow_from_the_seed() -> None:
    samples = [Sample(Path(f"{n}.png"), n % 2, "train", "all", "") for n in range(6)]

    def drawn(seed: int) -> list[Draw]:
        return list(Ways(BalancedSampler(samples, 0, 0), samples, 2, seed))

    assert drawn(1) == drawn(1) != drawn(2)


def test_patterns_are_kept_by_view_and_denoiser(tmp_path: Path) -> None:
    class Doubling(nn.Module):
        """Twice the view; counts what it was given."""

        def __init__(self) -> None:
            super().__init__()
            self.factor = nn.Parameter(torch.tensor(2.0))
            self.given = 0

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            self.given += len(images)
            return images * self.factor

    network = Doubling()
    patterns = Patterns(Pattern(network), tmp_path, CPU)
    views = np.random.default_rng(0).random((3, 3, 8, 8), np.float32)
    for _ in range(2):
        (found,) = patterns(views)
        assert np.array_equal(found, 2 * views)
    assert network.given == 3
    (found,) = patterns(np.concatenate([views[:1], 1 - views[1:]]))  # one kept, two new, in this order
    assert np.array_equal(found, 2 * np.concatenate([views[:1], 1 - views[1:]]))
    assert network.given == 5

    for file in tmp_path.rglob("*.npy"):
        file.write_bytes(file.read_bytes()[:100])  # half a file is no pattern
    assert np.array_equal(patterns(views)[0], 2 * views)
    assert network.given == 8

    other = Doubling()
    nn.init.constant_(other.factor, 3.0)
    assert np.array_equal(Patterns(Pattern(other), tmp_path, CPU)(views)[0], 3 * views)
    names = {fingerprint(Pattern(one, form)) for one in (network, other) for form in ("raw", "published")}  # type: ignore[arg-type]
    assert len(names) == 4


def test_mixed_precision_leaves_patterns_alone(tmp_path: Path) -> None:
    torch.manual_seed(0)
    student = Pattern(Student())
    views = torch.rand(2, 3, 16, 16)
    with torch.inference_mode():
        exact = student(views)
    batch = Views(views, torch.tensor([False, False]), torch.zeros(2))
    with torch.autocast("cpu", torch.bfloat16):
        found = completed(batch, Patterns(student, tmp_path, CPU))
    assert torch.equal(found, exact)
    half = Views(torch.stack([exact[0], views[1]]), torch.tensor([True, False]), torch.zeros(2))
    assert torch.equal(completed(half, Patterns(student, tmp_path, CPU)), exact)


def test_turning_shows_a_pattern_in_eight_ways() -> None:
    torch.manual_seed(0)
    pattern = torch.arange(2 * 9).view(2, 1, 3, 3)
    seen = {tuple(turned(pattern).flatten().tolist()) for _ in range(200)}
    assert len(seen) == 8
    for values in seen:
        first, second = torch.tensor(values).view(2, 9)
        assert torch.equal(first + 9, second)  # both images alike
        assert sorted(first.tolist()) == list(range(9))


def test_denoisers_are_told_by_their_weights(tmp_path: Path, denoiser: Path) -> None:
    assert isinstance(load_denoiser(denoiser), Student)
    (tmp_path / "run").mkdir()
    checkpoint.save({"model": Student().state_dict()}, tmp_path / "run/best.pt")
    assert isinstance(load_denoiser(tmp_path / "run"), Student)
    large = Denoiser(2, 3)
    checkpoint.save({"state_dict": large.state_dict()}, tmp_path / "sidd_rgb.pth")
    found = load_denoiser(tmp_path / "sidd_rgb.pth")
    assert isinstance(found, Denoiser)
    assert all(torch.equal(value, found.state_dict()[name]) for name, value in large.state_dict().items())
    checkpoint.save({"model": {"weight": torch.zeros(1)}}, tmp_path / "other.pt")
    with pytest.raises(SetupError, match="no denoiser"):
        load_denoiser(tmp_path / "other.pt")


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ((), "--denoiser"),
        (("--denoiser", "x.pt", "--point", "0.5"), "not Y,X"),
        (("--denoiser", "x.pt", "--point", "0.5,1.5"), "outside the image"),
        (("--denoiser", "x.pt"), "x.pt does not exist"),
        (("--denoiser", "x.pt", "--accumulate", "3"), "shared out evenly"),
    ],
)
def test_what_cannot_be_trained_is_said(
    options: tuple[str, ...], fault: str, data: Path, tmp_path: Path
) -> None:
    with pytest.raises(SetupError, match=fault):
        assay("train", "lnp", "--data", data, "--out", tmp_path, *SMALL.split(), *options)

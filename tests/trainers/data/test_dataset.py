"""Batches are balanced, follow from seed and epoch alone, and survive unreadable files."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare
from support.photos import scene, write_tree

from assay.engine.errors import SetupError
from assay.kernels import ViewRule, view
from assay.trainers.data.augment import Blur, Compress, recipe
from assay.trainers.data.dataset import BalancedSampler, Batch, _span, loader, random_view
from assay.trainers.data.samples import Sample, read_samples

RULE = ViewRule(resize="none", size=32, crop="centre", small="wrap", mean=(0.5,) * 3, std=(0.25,) * 3)


def samples(reals: int, **synthetic: int) -> list[Sample]:
    groups = {"camera": (reals, 0), **{name: (count, 1) for name, count in synthetic.items()}}
    return [
        Sample(Path(f"{group}{number}"), label, "train", group, "")
        for group, (count, label) in groups.items()
        for number in range(count)
    ]


def test_halves_and_turns() -> None:
    """Half photographs, half synthetic, and of these as many from a rare generator as from a common one."""
    data = samples(10, gan=60, diffusion=6)
    draws = list(BalancedSampler(data, seed=1, epoch=0))
    assert len(draws) == len(data)
    groups = Counter(data[draw.index].group for draw in draws)
    assert groups == {"camera": 38, "gan": 19, "diffusion": 19}
    rare = Counter(draw.index for draw in draws if data[draw.index].group == "diffusion")
    assert max(rare.values()) - min(rare.values()) <= 1
    assert len({draw.seed for draw in draws}) == len(draws)


def test_sources_by_the_root_of_their_size() -> None:
    """900, 100 and 4 images are drawn as 30 to 10 to 2, of both classes; a rare source's images alike."""
    sizes = {"large": 900, "middle": 100, "small": 4}
    data = [
        Sample(Path(f"{group}{label}{number}"), label, "train", f"{group}{label}", "")
        for group, count in sizes.items()
        for label in (0, 1)
        for number in range(count)
    ]
    draws = [
        draw for epoch in range(3) for draw in BalancedSampler(data, seed=2, epoch=epoch, balance="sources")
    ]
    for label in (0, 1):
        groups = Counter(data[draw.index].group for draw in draws if data[draw.index].label == label)
        assert sum(groups.values()) == len(draws) // 2
        shares = [groups[f"{group}{label}"] / sum(groups.values()) for group in sizes]
        assert shares == pytest.approx([30 / 42, 10 / 42, 2 / 42], abs=0.03)
    rare = Counter(draw.index for draw in draws if data[draw.index].group == "small1")
    assert len(rare) == 4
    assert max(rare.values()) - min(rare.values()) <= 3
    again = BalancedSampler(data, seed=2, epoch=0, balance="sources")
    assert list(again) == draws[: len(again)]


def test_pairs_stay_together() -> None:
    """A synthetic image comes with its photograph and the same seed; an unpaired one with some photograph."""
    data = [
        *(Sample(Path(f"{number}r"), 0, "train", "camera", "", f"p{number}") for number in range(9)),
        *(Sample(Path(f"{number}f"), 1, "train", "gan", "", f"p{number}") for number in range(9)),
        Sample(Path("noise"), 1, "train", "dcgan", "", "unpaired"),
    ]
    draws = list(BalancedSampler(data, seed=0, epoch=0))
    partners: dict[str, set[str]] = {}
    for one, other in zip(draws[::2], draws[1::2], strict=True):
        photo, image = data[one.index], data[other.index]
        assert (photo.label, image.label) == (0, 1)
        partners.setdefault(image.pair, set()).add(photo.pair)
        assert (one.seed == other.seed) == (image.pair != "unpaired")
    assert len(partners.pop("unpaired")) > 1
    assert all(photos == {image} for image, photos in partners.items())


def test_processes_share_an_epoch() -> None:
    """What two processes get is what one would, couple by couple, and each gets balanced batches."""
    data = [
        Sample(Path(f"{number}{label}"), label, "train", "gan" if label else "camera", "", f"p{number}")
        for number in range(11)
        for label in (0, 1)
    ]
    one, other = (list(BalancedSampler(data, 4, 2, number, world=2)) for number in (0, 1))
    together = list(BalancedSampler(data, 4, 2))
    assert [
        draw for couple in zip(one[::2], one[1::2], other[::2], other[1::2], strict=True) for draw in couple
    ] == (together[: 4 * (len(one) // 2)])
    assert len(one) == len(other) == 10
    assert [data[draw.index].label for draw in one] == [0, 1] * 5


def test_one_class_alone_is_an_error() -> None:
    with pytest.raises(SetupError, match="one of them is missing"):
        loader(samples(9), random_view((), RULE), batch=2, seed=0, epoch=0, workers=0)


def test_every_batch_is_balanced() -> None:
    data = samples(7, gan=50)
    draws = list(BalancedSampler(data, seed=1, epoch=0))
    for start in range(0, len(draws) - 8, 8):
        assert sum(data[draw.index].label for draw in draws[start : start + 8]) == 4


def test_epochs_and_seeds_differ() -> None:
    data = samples(20, gan=20)
    orders = [
        [draw.index for draw in BalancedSampler(data, seed, epoch)]
        for seed, epoch in [(0, 0), (0, 1), (1, 0)]
    ]
    assert orders[0] == [draw.index for draw in BalancedSampler(data, 0, 0)]
    assert orders[0] != orders[1] != orders[2] != orders[0]


def test_batches_do_not_depend_on_workers(tmp_path: Path) -> None:
    data = read_samples(write_tree(tmp_path, {"train/a/real": 5, "train/a/fake": 5}))
    prepare = random_view(recipe("shipped", 32), RULE)

    def epoch(workers: int) -> list[Batch]:
        return list(loader(data, prepare, batch=4, seed=3, epoch=2, workers=workers))

    for alone, shared in zip(epoch(0), epoch(2), strict=True):
        assert torch.equal(alone.images, shared.images)
        assert torch.equal(alone.labels, shared.labels)


def test_unreadable_files_are_left_out_and_named(tmp_path: Path) -> None:
    write_tree(tmp_path, {"train/a/real": 3, "train/a/fake": 4})
    (tmp_path / "train/a/real/empty.png").touch()
    truncated = tmp_path / "train/a/fake/0.png"
    truncated.write_bytes(truncated.read_bytes()[:-200])
    data = read_samples(tmp_path)
    batches = list(loader(data, random_view((), RULE), batch=2, seed=0, epoch=0, workers=0))
    bad = {path for batch in batches for path in batch.unreadable}
    assert bad == {truncated, tmp_path / "train/a/real/empty.png"}
    assert sum(len(batch.labels) + len(batch.unreadable) for batch in batches) == len(data)
    assert all(len(batch.images) == len(batch.labels) for batch in batches)


@pytest.mark.parametrize("shape", [(32, 32), (40, 90), (20, 50), (300, 500)])
def test_a_random_view_is_a_served_view(shape: tuple[int, int]) -> None:
    """Without augmentation a training view is, value for value, some view that the kernel cuts."""
    pixels = scene(np.random.default_rng(0), *shape)
    got = random_view((), RULE)(pixels, np.random.default_rng(5))
    height, width = RULE.room(*shape)
    places = [(y, x) for y in range(height - 31) for x in range(width - 31)]
    every = view([pixels], RULE, np.array([places], np.int32))
    assert got.dtype == np.float32
    assert any(np.array_equal(got, one) for one in every)


def test_random_views_reach_every_edge() -> None:
    """The first and the last row and column of an image are trained on, also where only a part is taken."""
    marked = np.zeros((100, 100, 3), np.uint8)
    marked[0, 50] = marked[-1, 50] = marked[50, 0] = marked[50, -1] = 255
    rule = ViewRule(resize="none", size=32, crop="centre", small="wrap", mean=(0, 0, 0), std=(1, 1, 1))
    prepare = random_view((), rule)
    tops = lefts = bottoms = rights = 0
    for seed in range(1500):
        cut = prepare(marked, np.random.default_rng(seed))[0]
        tops += bool(cut[0].any())
        bottoms += bool(cut[-1].any())
        lefts += bool(cut[:, 0].any())
        rights += bool(cut[:, -1].any())
    assert min(tops, bottoms, lefts, rights) > 0


def test_a_view_is_cut_by_either_rule_and_of_the_whole_image() -> None:
    """The image's halves differ: what is reduced shows both, a cut of stored pixels only one."""
    pixels = np.zeros((400, 400, 3), np.uint8)
    pixels[:, 200:] = 255
    reduced = ViewRule(resize="short_side", size=32, crop="centre", mean=(0.5,) * 3, std=(0.25,) * 3)
    prepare = random_view((), RULE, reduced, whole=True)
    shown = [np.unique(prepare(pixels, np.random.default_rng(seed))).size > 1 for seed in range(200)]
    assert 80 <= sum(shown) <= 135  # half are reduced; a stored view lies on the edge in 31 of 369
    part = random_view((), reduced)
    assert not all(np.unique(part(pixels, np.random.default_rng(seed))).size > 1 for seed in range(20))


@pytest.mark.parametrize("side", [64, 127, 128, 129, 200, 333, 1024])
@pytest.mark.parametrize("whole", [True, False], ids=["whole", "part"])
def test_every_place_is_as_likely_as_any_other(side: int, whole: bool) -> None:
    """Left edges of crops, which pixels that count columns give away, by the chi-square test."""
    size = 32
    rule = ViewRule(resize="none", size=size, crop="centre", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    columns = np.arange(side)
    low, high = np.broadcast_to(columns % 256, (side, side)), np.broadcast_to(columns // 256, (side, side))
    pixels = np.stack([low, high, low.T], axis=-1).astype(np.uint8)
    prepare = random_view((), rule, whole=whole)
    rng = np.random.default_rng(7)
    lefts = []
    for _ in range(4000):
        shown = np.rint(prepare(pixels, rng)[:, 0, 0] * 255).astype(int)
        lefts.append(shown[0] + 256 * shown[1])
    places = side - size + 1
    bins = min(places, 16)
    edges = np.ceil(np.arange(bins + 1) * places / bins)
    counts, _ = np.histogram(lefts, edges)
    expected = np.diff(edges) / places * len(lefts)
    assert chisquare(counts, expected).pvalue > 1e-3


@given(length=st.integers(1, 400), size=st.integers(1, 64))
def test_parts_share_out_the_places_of_a_view(length: int, size: int) -> None:
    """By every number that could be drawn: each place lies in the part that is drawn for it, and in no other
    as often; no part is larger than three views."""

    class Drawn:
        def __init__(self, number: int) -> None:
            self.number = number

        def integers(self, high: int) -> int:
            return self.number

    places = length - size + 1
    if places < 1:
        return
    spans = [_span(length, size, Drawn(number)) for number in range(places)]  # type: ignore[arg-type]
    chance = np.zeros(places)
    for span in spans:
        start, stop, _ = span.indices(length)
        own = stop - start - size + 1
        chance[start : start + own] += 1 / own
        assert span == slice(None) or 2 * size <= stop - start <= 3 * size + 2
    assert chance == pytest.approx(np.ones(places))


def test_one_draw_alters_by_all_steps_or_by_none() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    step = recipe("cnn_aug_once", 32)[0]
    altered = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        found = step(noise, rng)
        if found is not noise:
            altered += 1
            drawn = np.random.default_rng(seed)
            drawn.random()
            assert np.array_equal(found, Compress(1.0)(Blur(1.0)(noise, drawn), drawn))
    assert 20 <= altered <= 60

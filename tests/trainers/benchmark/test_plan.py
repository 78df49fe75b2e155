"""The plan: photographs stay on their side of the split, families in their roles, views inside."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.trainers.benchmark.families import FACE_FAMILIES, FAMILIES, SLOW
from assay.trainers.benchmark.plan import FULL, LIGHT, Job, face_job, jobs, splits
from assay.trainers.benchmark.sources import Photo

PHOTOS = st.builds(
    Photo,
    id=st.text("abcdefgh/", min_size=1, max_size=12),
    source=st.just("s"),
    path=st.just(Path("unused")),
    size=st.tuples(st.integers(128, 6000), st.integers(128, 6000)),
)
ROLES = {family.name: family.role for family in FAMILIES}


def plan(photo: Photo, seen: bool, seed: int = 0, **changes: int) -> list[Job]:
    return list(jobs(photo, seen, seed, FAMILIES, replace(FULL, **changes)))


@given(PHOTOS, st.booleans(), st.integers(0, 5))
def test_views_lie_in_the_photograph(photo: Photo, seen: bool, seed: int) -> None:
    width, height = photo.size
    for job in plan(photo, seen, seed):
        view = job.view
        assert 0 <= view.left < view.right <= width
        assert 0 <= view.top < view.bottom <= height
        assert view.scale >= 1
        if view.kind == "crop":
            assert view.width == view.height
            assert 64 <= view.width <= 512
            assert view.left % 16 == view.top % 16 == 0  # on the grid of the photograph's compression
            assert view.right - view.left == view.bottom - view.top
        else:
            assert (view.left, view.top, view.right, view.bottom) == (0, 0, width, height)
            assert view.width * view.height <= 1.01 * 1_600_000
        if view.width * view.height > 400_000:
            assert job.publication.quality is not None


@given(PHOTOS, st.integers(0, 5))
def test_a_photograph_is_on_one_side(photo: Photo, seed: int) -> None:
    seen, unseen = splits(photo, True, seed), splits(photo, False, seed)
    assert len(seen) == 1
    assert set(seen) <= {"train", "val", "test-1"}
    assert unseen == ("test-2", "test-3")
    assert {job.split for job in plan(photo, True, seed)} == set(seen)


@given(PHOTOS, st.booleans())
def test_families_keep_their_roles(photo: Photo, seen: bool) -> None:
    for job in plan(photo, seen):
        roles = {ROLES[name] for name in job.families}
        assert job.families
        if job.split == "train":
            assert roles == {"train"}
        elif job.split in ("val", "test-2"):
            assert roles <= {"train", "val"}
        else:
            assert roles == {"unseen"}
            if job.view.kind == "crop":
                slow = {family.name for family in FAMILIES if family.seconds >= SLOW}
                quick = {name for name, role in ROLES.items() if role == "unseen"} - slow
                assert set(job.families) in (quick, quick | slow)


@given(PHOTOS, st.booleans())
def test_a_plan_depends_on_the_seed_and_the_photograph_alone(photo: Photo, seen: bool) -> None:
    first = plan(photo, seen)
    assert first == plan(photo, seen)
    elsewhere = plan(replace(photo, path=Path("elsewhere")), seen)
    assert first == [replace(job, photo=photo) for job in elsewhere]
    assert len({job.pair for job in first}) == len(first)
    more = plan(photo, seen, train=20, held_out=20, large=7)
    assert set(first) <= set(more)


@pytest.mark.parametrize(("size", "least"), [((425, 900), 0), ((426, 640), 426), ((6000, 4000), 426)])
def test_large_views_are_of_large_photographs_and_have_two_synthetic_images(
    size: tuple[int, int], least: int
) -> None:
    for seen in (True, False):
        photo = Photo("office/a", "office", Path(), size)
        there = set(plan(photo, seen)) - set(plan(photo, seen, large=0))
        splits_there = [job.split for job in there]
        expected = {split: 3 if split == "train" else 1 for split in splits(photo, seen, 0)}
        assert {split: splits_there.count(split) for split in expected if least} == (
            expected if least else {}
        )
        for job in there:
            assert least <= min(job.view.width, job.view.height) <= 720
            assert job.view.kind == "whole"
            assert len(job.families) == 2


def test_splits_have_the_stated_shares() -> None:
    photos = [Photo(f"office/{number}", "office", Path(), (400, 400)) for number in range(3000)]
    first = [splits(photo, True, 0)[0] for photo in photos]
    for split, share in (("train", 0.72), ("val", 0.14), ("test-1", 0.14)):
        assert abs(first.count(split) / 3000 - share) < 0.05  # at least 6 standard errors
    other = [splits(photo, True, 1)[0] for photo in photos]
    assert np.mean([a == b for a, b in zip(first, other, strict=True)]) < 0.65


def test_there_are_enough_families() -> None:
    roles = list(ROLES.values())
    assert roles.count("train") >= 3
    assert roles.count("unseen") >= 2
    assert len(ROLES) == len(FAMILIES)


def test_the_light_plan_has_no_slow_family() -> None:
    photo = Photo("a", "s", Path(), (2000, 2000))
    names = {name for job in jobs(photo, False, 0, FAMILIES, LIGHT) for name in job.families}
    assert "realesrgan_x4plus" not in names
    assert "realcugan_se_x2" in names


@pytest.mark.parametrize(
    ("split", "family"),
    [
        ("train", "dcgan_celeba_64"),
        ("val", "dcgan_celeba_64"),
        ("test-1", "dcgan_digiface_64"),
    ],
)
def test_faces_are_64_pixels_and_keep_their_roles(split: str, family: str) -> None:
    photo = Photo("a", "s", Path(), (301, 200))
    job = face_job(photo, split, 0, FACE_FAMILIES)  # type: ignore[arg-type]
    assert job.families == (family,)
    assert (job.view.width, job.view.height) == (64, 64)
    assert (job.view.left, job.view.right, job.view.top, job.view.bottom) == (50, 250, 0, 200)
    assert job.publication.resize == 1

"""Sources: what is a photograph, distinct ones only, damaged ones counted."""

import re
from pathlib import Path

import numpy as np
from PIL import Image
from support.packages import SEEN, UNSEEN, archives, sources, write_photos
from support.photos import scene

from assay.trainers.benchmark.packages import Store
from assay.trainers.benchmark.sources import DEMO, SOURCES, collect, fingerprint


def test_duplicates_small_and_damaged_files(tmp_path: Path) -> None:
    seen, unseen = tmp_path / "seen", tmp_path / "unseen"
    write_photos(seen, 4, 120, seed=1)
    write_photos(unseen, 2, 120, seed=2)
    with Image.open(seen / "0.jpg") as image:
        image.save(unseen / "again.jpg", quality=60)  # another source, another compression
        image.resize((60, 40)).save(seen / "small.jpg")
    (seen / "cut.jpg").write_bytes((seen / "1.jpg").read_bytes()[:-2000])
    (seen / "text.jpg").write_text("no image")
    (seen / "notes.txt").write_text("no photograph")
    store = Store(tmp_path / "store", archives({SEEN: seen, UNSEEN: unseen}))

    photos, unreadable = collect(store, sources())

    assert unreadable == 2
    ids = [f"seen/seen-photos/{number}" for number in range(4)]
    ids += [f"unseen/unseen-photos/{number}" for number in range(2)]
    assert [photo.id for photo in photos] == ids
    assert {photo.size for photo in photos} == {(180, 120)}


def test_the_fingerprint_survives_compression_and_reduction(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    prints = []
    for number in range(6):
        image = Image.fromarray(scene(random, 240, 320))
        image.save(tmp_path / "a.png")
        image.resize((160, 120), Image.Resampling.LANCZOS).save(tmp_path / "b.jpg", quality=50)
        (first, size), (second, _) = fingerprint(tmp_path / "a.png"), fingerprint(tmp_path / "b.jpg")
        assert size == (320, 240)
        assert (first ^ second).bit_count() <= 5, number
        prints.append(first)
    distances = [(a ^ b).bit_count() for a in prints for b in prints if a != b]
    assert min(distances) > 5


def test_the_demos_photographs_are_in_no_source() -> None:
    excluded = {source.name: re.compile(source.exclude) for source in SOURCES}
    source_of = {"opencv": "classic", "lomiri": "lomiri", "palapeli": "palapeli"}
    for package, names in DEMO.items():
        for name in names:
            assert excluded[source_of[package]].search(f"package/folder/{name}.jpg"), name
    assert not excluded["classic"].search("opencv-doc/examples/data/baboon.jpg")


def test_test_sources_share_no_name_with_training() -> None:
    assert len({source.name for source in SOURCES}) == len(SOURCES)
    assert {source.name for source in SOURCES if not source.seen} == {"landscape", "lomiri", "classic"}

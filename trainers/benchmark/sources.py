"""Sources of real photographs: which files of which packages are camera photographs, and what to call them.

The lists say what is a photograph and what is not (screenshots, renders, drawings, maps were left out after
looking at each). Photographs of persons and stock photographs may be fetched, not redistributed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from assay.trainers.benchmark.packages import Package, Store, debian, npm

_SUFFIXES = {".jpg", ".jpeg", ".png", ".ppm", ".pgm", ".webp"}
_DUPLICATE_BITS = 5
"""Photographs whose 64-bit difference hashes differ in no more bits than this are one photograph."""


@dataclass(frozen=True)
class Photo:
    """One photograph: its id (`source/package/name`, the unit of every split), file, (width, height)."""

    id: str
    source: str
    path: Path
    size: tuple[int, int]


@dataclass(frozen=True)
class Source:
    """Photographs of one kind: packages, and regular expressions over `package/path/in/package`.

    `seen`: the photographs are divided over train, val and test-1; otherwise all are kept for the tests on
    unseen sources. `least` is the smallest shorter side in pixels. `portraits` stand beside generated faces.
    `name_of` is what a file is called among those of its package.
    """

    name: str
    packages: tuple[Package, ...]
    include: str
    exclude: str = r"(?!)"
    seen: bool = True
    least: int = 256
    portraits: bool = False
    name_of: Callable[[Path], str] = lambda path: path.stem

    def files(self, store: Store) -> Iterator[tuple[str, Path]]:
        """The id and path of every matching file of the packages, in a fixed order."""
        include, exclude = re.compile(self.include), re.compile(self.exclude)
        for package in self.packages:
            root = store.path(package)
            for path in sorted(root.rglob("*")):
                name = f"{package.name}/{path.relative_to(root).as_posix()}"
                if path.suffix.lower() not in _SUFFIXES or path.is_symlink():
                    continue
                if include.search(name) and not exclude.search(name):
                    short = package.name.lstrip("@").replace("/", "-")
                    yield f"{self.name}/{short}/{self.name_of(path)}", path


_THEMES = tuple(
    npm(name, version)
    for name, version in {
        "material-kit": "2.0.4",
        "material-kit-react": "1.10.0",
        "now-ui-kit": "1.3.0",
        "now-ui-kit-react": "1.5.0",
        "paper-kit-2": "2.1.0",
        "paper-kit-react": "1.3.0",
        "argon-design-system-react": "1.1.0",
        "startbootstrap-creative": "7.0.7",
        "startbootstrap-agency": "7.0.12",
        "startbootstrap-clean-blog": "6.0.9",
        "startbootstrap-grayscale": "7.0.6",
        "startbootstrap-landing-page": "6.0.6",
        "startbootstrap-one-page-wonder": "6.0.6",
        "startbootstrap-business-casual": "7.0.9",
    }.items()
)

_TABLER_UI = npm("tabler-ui", "0.0.34")
_TABLER_PREVIEW = npm("@tabler/preview", "1.2.0")

DEMO = {
    "opencv": ("fruits", "butterfly", "building", "home", "scenetext02", "scenetext04", "plant"),
    "lomiri": ("seeding_by_Clements_Engelhardt",),
    "palapeli": ("cincinnati-bridge", "citrus-fruits", "european-honey-bee"),
}
"""Photographs that the demo shows, by package: they stay out of the benchmark."""


def _any(names: Iterable[str]) -> str:
    return "|".join(rf"/{re.escape(name)}\." for name in names)


SOURCES: tuple[Source, ...] = (
    Source("office", (_TABLER_PREVIEW,), r"/static/(photos|marketing/photo)"),
    Source(
        "themes",
        _THEMES,
        r"(?i)\.jpe?g$",
        # Screenshots of the themes themselves, logos, renders; and dist/, which repeats src/.
        r"(?i)/dist/|/img/(landing|profile)\.jpg|logo-square|(profile|landing)-page|blurred-image"
        r"|agency/.*/portfolio/|bg-showcase-2|argon.*/(landing|profile)|Documentation/.*/cover",
    ),
    Source("mate", (debian("mate-backgrounds"),), r"/nature/"),
    Source(
        "plasma",
        (debian("plasma-workspace-wallpapers"),),
        r"/(FallenLeaf|Path|summer_1am|EveningGlow|Grey|Kite|ColorfulCups|OneStandsOut|ColdRipple|BytheWater)"
        r"/contents/images/.*\.jpg",
        name_of=lambda path: path.parents[2].name,
    ),
    Source("palapeli", (debian("palapeli-data"),), r"/collection/.*\.jpg", _any(DEMO["palapeli"])),
    Source(
        "faces",
        (_TABLER_PREVIEW, _TABLER_UI),
        r"preview/.*/static/avatars/.*\.jpg|tabler-ui/package/src/demo/faces/.*\.jpg",
        least=128,
        portraits=True,
        name_of=lambda path: f"{path.parent.name}-{path.stem}",
    ),
    Source("landscape", (_TABLER_UI,), r"/src/demo/photos/.*-1500\.jpg", seen=False),
    Source(
        "lomiri",
        (debian("lomiri-wallpapers-16.04"), debian("lomiri-wallpapers-20.04")),
        r"\.jpg$",
        r"analogpattern|umang|Fossa|Infinite-Sea|Painting-Colors|" + _any(DEMO["lomiri"]),
        seen=False,
    ),
    Source(
        "classic",
        (debian("opencv-doc"),),
        r"/examples/(data/(baboon|leuvenA|squirrel_cls|board|orange|apple|chicky_512|stuff|licenseplate_motion"
        r"|rubberwhale1|messi5|ela_original|graf1|right|aero1|sudoku)|text/scenetext0[1356])\.(jpg|png)",
        _any(DEMO["opencv"]),
        seen=False,
    ),
)


def collect(store: Store, sources: Sequence[Source] = SOURCES) -> tuple[list[Photo], int]:
    """The distinct photographs of `sources`, and how many files could not be read.

    Of near-identical files (a theme and its twin for another framework) the first is kept, whatever source
    the other is in, so that no photograph stands under two ids and on two sides of a split.
    """
    photos: list[Photo] = []
    hashes: list[int] = []
    ids: set[str] = set()
    unreadable = 0
    for source in sources:
        for name, path in source.files(store):
            try:
                bits, size = fingerprint(path)
            except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
                unreadable += 1
                continue
            if min(size) < source.least or name in ids:
                continue
            if any((bits ^ other).bit_count() <= _DUPLICATE_BITS for other in hashes):
                continue
            photos.append(Photo(name, source.name, path, size))
            hashes.append(bits)
            ids.add(name)
    return photos, unreadable


def fingerprint(path: Path) -> tuple[int, tuple[int, int]]:
    """A 64-bit difference hash (signs of the horizontal steps of a 9x8 reduction) and the (width, height).

    The whole file is decoded for it, so that a damaged one raises what Pillow raises.
    """
    with Image.open(path) as image:
        size = image.size
        image.draft("L", (256, 256))
        small = image.convert("L").resize((9, 8), Image.Resampling.BOX)
    grey: NDArray[np.int16] = np.asarray(small, dtype=np.int16)
    bits = (grey[:, 1:] > grey[:, :-1]).ravel()
    return int.from_bytes(np.packbits(bits).tobytes(), "big"), size

"""A data set written once more with all files alike, so that only pixels can tell the classes apart."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from assay.engine.errors import SetupError
from assay.engine.outcome import Refused
from assay.trainers.data import manifest
from assay.trainers.data.augment import Pixels
from assay.trainers.data.read import read_pixels
from assay.trainers.data.samples import Sample


@dataclass(frozen=True)
class ReencodeSettings:
    """How every file is written: as JPEG of one `quality` with 4:2:0 chroma.

    size: unless 0, only the central square of this many pixels a side is kept; it is not resized, which would
    wipe out what generators leave.
    longest: unless 0, what is longer than this many pixels on a side is reduced to it, as sites that share
    images do; what is smaller stays as it is.
    """

    quality: int
    size: int = 0
    longest: int = 0

    def cut(self, pixels: Pixels) -> Pixels | None:
        """The part that is kept, or None where the image is smaller than that."""
        height, width = pixels.shape[:2]
        if min(height, width) < self.size:
            return None
        if not self.size:
            return pixels
        top, left = (height - self.size) // 2, (width - self.size) // 2
        return pixels[top : top + self.size, left : left + self.size]

    def scaled(self, width: int, height: int) -> tuple[int, int]:
        """Width and height after the reduction to `longest`."""
        factor = min(1.0, (self.longest or max(width, height)) / max(width, height))
        return max(1, round(width * factor)), max(1, round(height * factor))

    def encode(self, pixels: Pixels) -> bytes:
        """The file that is written of what `cut` has kept."""
        image = Image.fromarray(pixels)
        if (size := self.scaled(*image.size)) != image.size:
            image = image.resize(size, Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=self.quality, subsampling="4:2:0")
        return buffer.getvalue()


@dataclass(frozen=True)
class Written:
    """How many files were written, and which were left out because they are corrupt or too small."""

    files: int
    corrupt: tuple[Path, ...]
    small: tuple[Path, ...]


def reencode(
    samples: Sequence[Sample],
    root: Path,
    out: Path,
    settings: ReencodeSettings,
    advance: Callable[[], None] = lambda: None,
) -> Written:
    """Writes `samples`, read from below `root`, to the same folders below `out`; a manifest goes along.

    Raises SetupError where `out` holds something already or lies inside `root`.
    """
    if out.exists() and any(out.iterdir()):
        raise SetupError(f"{out} is not empty: name a new folder for the files that are written alike")
    if out.resolve().is_relative_to(root.resolve()):
        raise SetupError(f"{out} lies inside {root}: the files written there would be read as its own")
    sizes: dict[str, tuple[int, int]] = {}
    names: dict[str, str] = {}
    corrupt: list[Path] = []
    small: list[Path] = []
    for sample in samples:
        relative = sample.path.relative_to(root)
        target = out / relative.with_suffix(".jpg")
        if target.exists():  # another file of the folder has this name, but for the suffix
            target = out / relative.with_name(f"{relative.name}.jpg")
        try:
            pixels = settings.cut(read_pixels(sample.path))
        except (OSError, Refused):
            corrupt.append(sample.path)
        else:
            if pixels is None:
                small.append(sample.path)
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(settings.encode(pixels))
                names[relative.as_posix()] = target.relative_to(out).as_posix()
                sizes[relative.as_posix()] = settings.scaled(pixels.shape[1], pixels.shape[0])
        advance()
    if (root / manifest.FILE_NAME).is_file() and names:
        records = [record for record in manifest.read(root) if record.path in names]
        manifest.write(
            [_changed(one, names[one.path], sizes[one.path], settings.quality) for one in records], out
        )
    return Written(len(names), tuple(corrupt), tuple(small))


def _changed(record: manifest.Record, path: str, size: tuple[int, int], quality: int) -> manifest.Record:
    return replace(record, path=path, width=size[0], height=size[1], quality=quality)

"""What separates photographs from synthetic images without looking at pixels: format, size, JPEG quality.

A network that is trained where one of them separates the classes learns the file, not the image. GenImage's
photographs are JPEGs of many sizes, its synthetic images mostly uncompressed and of one size a generator
("Fake or JPEG?", 2024); DiffusionForensics has JPEG photographs and PNG synthetic images.
"""

import io
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from assay.engine.outcome import Refused
from assay.trainers.data.read import read_pixels
from assay.trainers.data.samples import Sample

SEPARATES = 0.75
"""Share of right answers, of which a coin gives 0.5, from which a single feature is warned of."""
FEATURES = ("format", "width", "height", "quality")

Value = str | int | None


@dataclass(frozen=True, slots=True)
class File:
    """What a readable file shows from outside; `quality` is None where it is no JPEG."""

    sample: Sample
    format: str
    width: int
    height: int
    quality: int | None


@dataclass(frozen=True, slots=True)
class Rule:
    """The best way to tell the classes of some files by one feature.

    accuracy: mean of the share of photographs and the share of synthetic images that it gets right, 0.5 to 1.
    text: when the rule says synthetic, such as `format is PNG`; empty where the feature separates nothing.
    """

    feature: str
    accuracy: float
    text: str

    @property
    def separates(self) -> bool:
        return self.accuracy >= SEPARATES


@dataclass(frozen=True)
class Audit:
    """Readable files, files that the engine refuses, and for each generator the best rule of each feature.

    rules: by `all` and by generator, against the photographs of the generator's pools.
    """

    files: tuple[File, ...]
    corrupt: tuple[Path, ...]
    rules: Mapping[str, Sequence[Rule]]


def audit(samples: Sequence[Sample], advance: Callable[[], None] = lambda: None) -> Audit:
    """Reads and decodes every file; `advance` is called after each."""
    files: list[File] = []
    corrupt: list[Path] = []
    for sample in samples:
        try:
            read_pixels(sample.path)
            files.append(look_at(sample))
        except (OSError, Refused):
            corrupt.append(sample.path)
        advance()
    groups = {"all": files}
    for name in sorted({file.sample.group for file in files if file.sample.label}):
        synthetic = [file for file in files if file.sample.label and file.sample.group == name]
        pools = {file.sample.pool for file in synthetic}
        photos = [file for file in files if not file.sample.label]
        groups[name] = synthetic + ([file for file in photos if file.sample.pool in pools] or photos)
    return Audit(tuple(files), tuple(corrupt), {name: rules_of(group) for name, group in groups.items()})


def rules_of(files: Sequence[File]) -> list[Rule]:
    """The best rule of each feature on these files."""
    return [best_rule(files, feature) for feature in FEATURES]


def strongest(rules: Sequence[Rule]) -> Rule:
    """The most accurate of them, of equal ones the first."""
    return max(rules, key=lambda rule: rule.accuracy)


def told(rule: Rule) -> str:
    """One sentence on what files give away without their pixels, from the `strongest` of their rules."""
    if not rule.text:
        return "No single rule on format, size or JPEG quality separates the classes of these files."
    return (
        f"Without a look at a pixel, calling an image synthetic if {rule.text} has a balanced accuracy of "
        f"{rule.accuracy:.1%} on exactly these files."
    )


def look_at(sample: Sample) -> File:
    """The outside of a file. Raises OSError where it is no image."""
    with Image.open(sample.path) as image:
        tables = getattr(image, "quantization", None)
        quality = jpeg_quality(tables[0]) if image.format == "JPEG" and tables else None
        return File(sample, str(image.format), *image.size, quality)


def jpeg_quality(luma: Sequence[int]) -> int:
    """The libjpeg quality whose luminance table (64 steps) is nearest to this one, 1 to 100."""
    return 1 + int(np.abs(_tables() - np.asarray(luma)).sum(axis=1).argmin())


@lru_cache(maxsize=1)
def _tables() -> "np.ndarray[tuple[int, int], np.dtype[np.int64]]":
    """(100, 64) libjpeg's luminance tables of qualities 1 to 100, as Pillow writes them."""
    tables = []
    for quality in range(1, 101):
        buffer = io.BytesIO()
        Image.new("L", (8, 8)).save(buffer, "JPEG", quality=quality)
        with Image.open(buffer) as image:
            tables.append(image.quantization[0])  # type: ignore[attr-defined]
    return np.array(tables, np.int64)


def best_rule(files: Sequence[File], feature: str) -> Rule:
    """The rule of one value (`width is 512`) or one border (`width is at most 300`) that is right most often.

    Rules that list many values are not tried: on sizes that hardly repeat they would always be right.
    """
    values: tuple[Counter[Value], Counter[Value]] = (Counter(), Counter())
    for file in files:
        values[file.sample.label][getattr(file, feature)] += 1
    photos, synthetic = (sum(counter.values()) for counter in values)
    best = Rule(feature, 0.5, "")
    if not (photos and synthetic):
        return best

    def consider(text: str, not_text: str, chosen: Sequence[Value]) -> None:
        nonlocal best
        share = [sum(counter[value] for value in chosen) for counter in values]
        accuracy = (share[1] / synthetic + 1 - share[0] / photos) / 2
        if max(accuracy, 1 - accuracy) > best.accuracy:
            best = Rule(feature, max(accuracy, 1 - accuracy), text if accuracy > 0.5 else not_text)

    present = values[0].keys() | values[1].keys()
    for value in sorted(present, key=str):
        name = "none" if value is None else value
        consider(f"{feature} is {name}", f"{feature} is not {name}", [value])
    numbers = sorted(value for value in present if isinstance(value, int))
    for place, border in enumerate(numbers[:-1], start=1):
        consider(f"{feature} is at most {border}", f"{feature} is not at most {border}", numbers[:place])
    return best

"""What is done to all images alike before a detector sees them, so that storage cannot tell the classes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from assay.trainers.audit.audit import File, look_at
from assay.trainers.audit.reencode import ReencodeSettings
from assay.trainers.data.augment import Pixels
from assay.trainers.data.read import pixels_of
from assay.trainers.data.samples import Sample
from assay.trainers.evaluate.score import Alter


@dataclass(frozen=True)
class Treatment:
    """A name, a sentence that says what is done, and how; `settings` is None where nothing is."""

    name: str
    rule: str
    settings: ReencodeSettings | None = None

    @property
    def alter(self) -> Alter | None:
        """Encodes decoded pixels and decodes them as the engine would; None where nothing is done."""
        settings = self.settings
        if settings is None:
            return None

        def alter(pixels: Pixels) -> Pixels:
            return pixels_of(settings.encode(pixels))

        return alter

    def outside(self, samples: Sequence[Sample]) -> list[File]:
        """What the treated files show from outside; those that are no image are left out."""
        found = []
        for sample in samples:
            try:
                file = look_at(sample)
            except (OSError, SyntaxError):
                continue
            if self.settings is not None:
                width, height = self.settings.scaled(file.width, file.height)
                file = replace(file, format="JPEG", width=width, height=height, quality=self.settings.quality)
            found.append(file)
        return found


AS_STORED = Treatment("as stored", "The files as they are.")
_RULE = ReencodeSettings(quality=80, longest=1024)
ALIKE = Treatment(
    "alike",
    f"Both classes reduced to at most {_RULE.longest} pixels on the longer side and re-encoded as JPEG of "
    f"quality {_RULE.quality}.",
    _RULE,
)

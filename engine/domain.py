"""What a bundle knows: limits of simple measures of an image, beyond which its verdict is doubted.

Each limit is a field of the manifest's `domain` and has a measure of the same name, which stands in the
evidence. `docs/uncertain.md` says what they mean and how `assay calibrate` chooses them.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property

from pydantic import Field, FiniteFloat

from assay.engine.outcome import Doubt, Label, Verdict
from assay.engine.record import Record

Measures = Mapping[str, float]
"""Of one image, by the names of the fields of `Domain`; one that the image does not have is missing."""

LEAST = {"side": Doubt.SMALL, "detail": Doubt.FLAT, "quality": Doubt.COMPRESSED, "fineness": Doubt.ENLARGED}
MOST = {"repeated": Doubt.SCREENSHOT, "distance": Doubt.UNFAMILIAR}
WITHDRAW_SYNTHETIC = frozenset({Doubt.SMALL, Doubt.FLAT, Doubt.ENLARGED, Doubt.SCREENSHOT})
"""Under these, photographs or drawings are called synthetic, too (`docs/uncertain.md` has the figures)."""


class Domain(Record):
    """The limits of a bundle; what has none is not doubted."""

    side: int | None = Field(None, gt=0)
    """Least shorter side, in pixels."""
    detail: FiniteFloat | None = Field(None, ge=0, le=1)
    """Least share of blocks of 8 x 8 pixels that are not even (`assay.kernels.measure`)."""
    quality: int | None = Field(None, ge=1, le=100)
    """Least quality of a JPEG, by its quantisation table, as libjpeg counts it."""
    fineness: FiniteFloat | None = Field(None, ge=0)
    """Least fineness of texture (`assay.kernels.measure`)."""
    repeated: FiniteFloat | None = Field(None, ge=0, le=1)
    """Largest share of pixels that are exactly like their neighbours (`assay.kernels.measure`)."""
    distance: FiniteFloat | None = None
    """Largest value of the graph's output `distance`, the mean over the views."""

    def doubts(self, measures: Measures) -> tuple[Doubt, ...]:
        """What lies beyond its limit, in the order of `Doubt`."""
        found = []
        for doubt, name, limit, least in self._limits:
            value = measures.get(name)
            if value is not None and (value < limit if least else value > limit):
                found.append(doubt)
        return tuple(found)

    @cached_property
    def _limits(self) -> tuple[tuple[Doubt, str, float, bool], ...]:
        """Doubt, measure, limit, whether that is the least: of each limit, in the order of `Doubt`."""
        names = {doubt: name for name, doubt in (LEAST | MOST).items()}
        limits = self.model_dump()
        return tuple(
            (doubt, names[doubt], limits[names[doubt]], names[doubt] in LEAST)
            for doubt in Doubt
            if names.get(doubt) in limits
        )


def doubted(label: Label, doubts: Sequence[Doubt]) -> tuple[Label, tuple[Doubt, ...]]:
    """The label that thresholds gave, and what speaks against it -> the label of the verdict, and its doubts.

    `authentic` is withdrawn by any doubt, `synthetic` by those that are `WITHDRAW_SYNTHETIC`.
    """
    if label is Label.UNCERTAIN:
        return label, (Doubt.BETWEEN_THRESHOLDS, *doubts)
    if doubts and (label is Label.AUTHENTIC or WITHDRAW_SYNTHETIC.intersection(doubts)):
        return Label.UNCERTAIN, tuple(doubts)
    return label, ()


def in_words(verdict: Verdict) -> str:
    """The line for people about why a verdict is uncertain; empty where it is not."""
    measures = verdict.evidence.get("measures", {})
    measured = {doubt: name for name, doubt in (LEAST | MOST).items() if name in measures}
    reasons = [
        _WORDS[doubt] + (f" ({measured[doubt]} {measures[measured[doubt]]})" if doubt in measured else "")
        for doubt in verdict.doubts
    ]
    return f"uncertain because {', '.join(reasons)}" if reasons else ""


_WORDS = {
    Doubt.BETWEEN_THRESHOLDS: "the probability decides nothing",
    Doubt.SMALL: "the image is small",
    Doubt.FLAT: "the image is nearly empty",
    Doubt.COMPRESSED: "the file was compressed too far",
    Doubt.ENLARGED: "the image was enlarged or is blurred",
    Doubt.SCREENSHOT: "many pixels are exactly alike, as in a screenshot or a drawing",
    Doubt.UNFAMILIAR: "the image is unlike those that the detector was trained on",
}

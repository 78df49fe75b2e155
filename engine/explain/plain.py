"""`plain`: where the crops lie, and the logit of each."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from assay.engine.detectors.plain import rules
from assay.engine.explain.seen import PHOTO, Trace, enlarged
from assay.engine.explain.sheet import COLOURS, Panel, tag
from assay.engine.outcome import Label
from assay.kernels import ViewRule

CROP = 208


def panels(seen: Trace) -> list[Panel]:
    logits = seen.detection.evidence.get("crop_logits", [seen.detection.logit])
    crops = seen.views(seen.calls["classify"].inputs[0])
    return [
        Panel("Where the classifier looked", with_crops(seen, logits, PHOTO)),
        *(
            Panel(f"Crop {number}", enlarged(crop, CROP), [f"logit {logit:+.3f}"], line=number == 1)
            for number, (crop, logit) in enumerate(zip(crops, logits, strict=True), 1)
        ),
    ]


def with_crops(seen: Trace, logits: Sequence[float], side: int) -> Image.Image:
    """The photograph, `side` pixels at most, with the crops by number in the colours of their logits."""
    shift = seen.manifest.calibration.shift
    colours = [COLOURS[Label.SYNTHETIC if logit > shift else Label.AUTHENTIC] for logit in logits]
    photo = seen.photo(side)
    draw = ImageDraw.Draw(photo.image)
    boxes = [photo.box(*box) for box in crop_boxes(seen)[: len(logits)]]  # adaptive crops may be fewer
    for box, colour in zip(boxes, colours, strict=True):
        draw.rectangle(box, outline=colour, width=3)
    for number, (box, colour) in enumerate(zip(boxes, colours, strict=True), 1):
        tag(draw, (box[0] + 3, box[1] + 3), f"{number}", colour)
    return photo.image


def crop_boxes(seen: Trace) -> list[tuple[float, float, float, float]]:
    """Top, left, bottom, right of each crop in stored pixels; what wraps around the image is left out."""
    manifest = seen.manifest
    chosen = rules(manifest) if manifest.kind == "plain" else (manifest.view,)
    return [box for rule in chosen for box in _boxes(seen, rule)]


def _boxes(seen: Trace, rule: ViewRule) -> list[tuple[float, float, float, float]]:
    stored = np.array(seen.pixels.shape[:2])
    scaled = np.array(rule.scaled(*seen.pixels.shape[:2]))
    free = np.array(rule.room(*seen.pixels.shape[:2])) - rule.size
    found = []
    for fraction in rule.fractions:
        corner = np.floor(np.array(fraction) * free) % scaled
        ends = np.minimum(corner + rule.size, scaled)
        found.append((*(corner * stored / scaled).tolist(), *(ends * stored / scaled).tolist()))
    return found

"""`fusing`: the patches on the photograph, with the attention that each got, and what chose them."""

from typing import Any

from PIL import Image, ImageDraw

from assay.engine.explain.seen import Trace, enlarged, stretched
from assay.engine.explain.sheet import TAG, Panel, tag
from assay.engine.report.picture import turned

PATCH = 170
_STRONG, _WEAK = (214, 76, 10), (70, 70, 78)


def panels(seen: Trace) -> list[Panel]:
    patches = seen.detection.evidence["patches"]
    weights = [patch["attention"] for patch in patches]
    rest = 1 - sum(weights)
    strongest = max(*weights, 1e-9)
    photo = seen.photo()
    order = sorted(range(len(patches)), key=lambda number: weights[number])  # the strongest on top
    boxes = [photo.box(*patch["box"]) for patch in patches]
    shares = [weight / strongest for weight in weights]
    colours = [
        tuple(round(low + share * (high - low)) for low, high in zip(_WEAK, _STRONG, strict=True))
        for share in shares
    ]
    draw = ImageDraw.Draw(photo.image)
    for number in order:
        draw.rectangle(boxes[number], outline=colours[number], width=2 + round(3 * shares[number]))
    taken: list[tuple[int, int]] = []
    for number in order:
        left, top = round(boxes[number][0]), round(boxes[number][1])
        while any(abs(left - x) <= TAG and abs(top - y) <= TAG for x, y in taken):  # patches may overlap
            top += 1
        taken.append((left, top))
        tag(draw, (left, top), f"{number + 1}", colours[number])
    activation = turned(stretched(seen.calls["backbone_view"].outputs[0][0], 0, 100), seen.orientation)
    crops = seen.views(seen.calls["backbone"].inputs[0])
    return [
        Panel(
            "Patches, the redder the more attention they got",
            photo.image,
            [f"The whole image got {rest:.3f} of it."],
        ),
        Panel(
            "Activation that chose them",
            activation.resize((PATCH, PATCH), Image.Resampling.NEAREST),
            ["of the view's cells, the strongest white"],
        ),
        *(
            Panel(
                f"Patch {number + 1}",
                enlarged(crops[number], PATCH),
                [_words(patches[number])],
                line=number == order[-1],
            )
            for number in reversed(order)
        ),
    ]


def _words(patch: dict[str, Any]) -> str:
    top, left, bottom, right = patch["box"]
    return f"{patch['attention']:.3f}; {right - left} x {bottom - top} px"

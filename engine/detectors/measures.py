"""What the limits of a bundle's domain are held against: of pixels, file and network."""

from collections.abc import Sequence

from assay.engine.detectors.detector import Detection, Image
from assay.engine.domain import Measures
from assay.kernels import measure
from assay.kernels.arrays import on_host

DIGITS = 4
"""Decimals of a measure, in evidence and against a limit."""


def measures_of(
    images: Sequence[Image], detections: Sequence[Detection], qualities: Sequence[int]
) -> list[Measures]:
    """The measures of decoded images, by the names of the fields of `Domain`.

    qualities: of each image that of its file, 0 where that is no JPEG. On a GPU this waits for the device.
    """
    if not images:
        return []
    found: list[Measures] = []
    values = on_host(measure(images)).astype(float).round(DIGITS).tolist()
    for image, detection, quality, (detail, repeated, fineness) in zip(
        images, detections, qualities, values, strict=True
    ):
        own: dict[str, float] = {
            "side": min(image.shape[:2]),
            "detail": detail,
            "fineness": fineness,
            "repeated": repeated,
        }
        if quality:
            own["quality"] = quality
        if detection.distance is not None:
            own["distance"] = round(detection.distance, DIGITS)
        found.append(own)
    return found

"""An image as people look at it: turned as its EXIF says, and small.

Pixels are scored at stored orientation and boxes are in stored coordinates; only what is shown is turned.
"""

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Point = tuple[float, float]

ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Picture:
    """An image turned and scaled for showing, and where a place of the stored image lies in it.

    stored: (height, width) of the stored image in pixels; orientation: as EXIF numbers them, 1 to 8.
    """

    image: Image.Image
    stored: tuple[int, int]
    orientation: int

    def point(self, y: float, x: float) -> Point:
        """(y, x) in stored pixels -> (x, y) in pixels of `image`, the order in which Pillow draws."""
        down, right = y / self.stored[0], x / self.stored[1]
        if self.orientation in (5, 6, 7, 8):
            down, right = right, down
        if self.orientation in (2, 3, 6, 7):
            right = 1 - right
        if self.orientation in (3, 4, 7, 8):
            down = 1 - down
        return right * self.image.width, down * self.image.height

    def box(self, top: float, left: float, bottom: float, right: float) -> tuple[float, float, float, float]:
        """A box in stored pixels -> left, top, right, bottom in pixels of `image`."""
        (x0, y0), (x1, y1) = self.point(top, left), self.point(bottom, right)
        return min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)


def picture(pixels: NDArray[np.uint8], orientation: int, side: int) -> Picture:
    """(H, W, 3) uint8 RGB as stored -> a picture whose longer side has at most `side` pixels.

    Of a much smaller image each pixel becomes a square of several.
    """
    height, width = pixels.shape[:2]
    larger = max(1, side // max(height, width))
    squares = pixels.repeat(larger, axis=0).repeat(larger, axis=1) if larger > 1 else pixels
    return Picture(
        small_and_turned(Image.fromarray(squares), orientation, side), (height, width), orientation
    )


def small_and_turned(image: Image.Image, orientation: int, side: int) -> Image.Image:
    """A copy of an image as it is stored, its longer side at most `side` pixels, turned for showing."""
    scale = min(1, side / max(image.size))
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return turned(image.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0), orientation)


def turned(image: Image.Image, orientation: int) -> Image.Image:
    """An image as it is stored -> as it is to be shown."""
    return image.transpose(_TURNS[orientation]) if orientation in _TURNS else image


def orientation_of(data: bytes) -> int:
    """How EXIF says that an encoded image is to be turned, 1 (not at all) where it says nothing lawful."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            stated = image.getexif().get(ORIENTATION, 1)
    except Exception:  # broken metadata make Pillow raise nearly anything, and pixels do not depend on them
        return 1
    return stated if stated in _TURNS else 1

"""A page of pictures: a verdict on top, panels with titles and notes below, drawn with Pillow alone."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from assay.engine.outcome import Label

Colour = tuple[int, ...]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

COLOURS: dict[Label, Colour] = {
    Label.SYNTHETIC: (196, 78, 16),
    Label.AUTHENTIC: (24, 102, 178),
    Label.UNCERTAIN: (98, 98, 98),
}
"""Told apart by colour-blind eyes too."""
INK, FAINT, PAPER = (26, 26, 26), (104, 104, 104), (255, 255, 255)
WIDTH, MARGIN, GAP = 1180, 28, 20
_TITLE, _TEXT = 17, 15
TAG = 24
"""Height of a tag in pixels."""
_LEAST = 150
"""Pixels that a panel's words may take in width, however small its image is."""


@dataclass(frozen=True)
class Panel:
    """A picture with a title above and notes below; `line` begins a new line of panels."""

    title: str
    image: Image.Image
    notes: Sequence[str] = ()
    line: bool = False


def font(size: int) -> Font:
    """The typeface that comes with Pillow."""
    return ImageFont.load_default(size)


def sheet(headline: str, colour: Colour, words: Iterable[str], panels: Iterable[Panel]) -> Image.Image:
    """The page: a headline in `colour`, lines of words, panels from left to right, line by line."""
    page = _Page()
    page.text(headline, 30, colour)
    for line in words:
        page.text(line, _TEXT, FAINT)
    for panel in panels:
        page.place(panel)
    return page.finish()


class _Page:
    """Grows downwards as it is written on."""

    def __init__(self) -> None:
        self._image = Image.new("RGB", (WIDTH, 4000), PAPER)
        self._draw = ImageDraw.Draw(self._image)
        self._x, self._y, self._bottom = MARGIN, MARGIN, MARGIN

    def text(self, words: str, size: int, colour: Colour) -> None:
        for line in wrapped(words, size, WIDTH - 2 * MARGIN):
            self._draw.text((MARGIN, self._y), line, colour, font(size))
            self._y += round(size * 1.4)
        self._bottom = self._y

    def place(self, panel: Panel) -> None:
        width = max(panel.image.width, _LEAST)
        title = wrapped(panel.title, _TITLE, width)
        notes = [line for note in panel.notes for line in wrapped(note, _TEXT, width)]
        if panel.line or self._x + width > WIDTH - MARGIN:
            self._x, self._y = MARGIN, self._bottom
        y = self._y + GAP
        y = self._words(title, y, _TITLE, INK) + 4
        height = y + panel.image.height + round(_TEXT * 1.4) * len(notes) + GAP
        self._make_room(height)
        self._image.paste(panel.image, (self._x, y))
        self._words(notes, y + panel.image.height + 6, _TEXT, FAINT)
        self._x += width + GAP
        self._bottom = max(self._bottom, height)

    def _words(self, lines: Sequence[str], y: int, size: int, colour: Colour) -> int:
        for line in lines:
            self._draw.text((self._x, y), line, colour, font(size))
            y += round(size * 1.3)
        return y

    def _make_room(self, height: int) -> None:
        if height > self._image.height:
            taller = Image.new("RGB", (WIDTH, 2 * height), PAPER)
            taller.paste(self._image)
            self._image, self._draw = taller, ImageDraw.Draw(taller)

    def finish(self) -> Image.Image:
        return self._image.crop((0, 0, WIDTH, self._bottom + MARGIN))


def wrapped(words: str, size: int, width: int) -> list[str]:
    """`words` in lines that are at most `width` pixels wide; a word that is wider is cut into pieces."""
    typeface = font(size)
    lines = [""]
    for word in words.split():
        for piece in _pieces(word, typeface, width):
            longer = f"{lines[-1]} {piece}".lstrip()
            if typeface.getlength(longer) <= width:
                lines[-1] = longer
            else:
                lines.append(piece)
    return [line for line in lines if line]


def _pieces(word: str, typeface: Font, width: int) -> Iterator[str]:
    """A word in pieces that are at most `width` pixels wide, or one letter long."""
    while typeface.getlength(word) > width and len(word) > 1:
        fits = [n for n in range(1, len(word)) if typeface.getlength(word[:n]) <= width]
        most = fits[-1] if fits else 1
        yield word[:most]
        word = word[most:]
    yield word


def tag(draw: ImageDraw.ImageDraw, at: tuple[float, float], words: str, colour: Colour) -> None:
    """White words on a field of `colour`, its top left corner at `at` (x, y)."""
    typeface = font(_TEXT)
    draw.rectangle((*at, at[0] + typeface.getlength(words) + 8, at[1] + TAG), colour)
    draw.text((at[0] + 4, at[1] + 2), words, PAPER, typeface)

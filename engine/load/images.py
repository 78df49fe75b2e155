"""The images that a load is made of: those of a folder, or made ones. Each that is sent is another file."""

import io
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from assay.engine.doors.files import find_files, read_file
from assay.engine.errors import SetupError
from assay.engine.outcome import Refused
from assay.engine.printable import printable
from assay.engine.settings import MIB, Limits

HELD = 256 * MIB
"""Bytes of images that are held in memory; of a larger folder the first files count."""
JPEG, PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
PNG_HEADER = 33
"""Bytes of a PNG's signature and its first chunk."""


@dataclass(frozen=True)
class Images:
    """Encoded images, sent over and over. `source` says in words where they are from."""

    files: Sequence[bytes]
    source: str

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, number: int) -> bytes:
        """The file of image `number`; where its format has comments it is unlike that of any other number,
        so that no cache knows it."""
        return marked(self.files[number % len(self.files)], number)

    @property
    def mean_bytes(self) -> float:
        return sum(map(len, self.files)) / len(self.files)


def from_paths(paths: Sequence[Path]) -> Images:
    """The files among and below `paths`, whatever they are; those that cannot be read are left out.

    Raises SetupError where a path does not exist, or none of the files can be read.
    """
    files: list[bytes] = []
    held = left_out = 0
    for path in find_files(paths):
        try:
            data = read_file(path, Limits())
        except Refused:
            left_out += 1
            continue
        if files and held + len(data) > HELD:
            break
        files.append(data)
        held += len(data)
    named = ", ".join(map(printable, paths))
    if not files:
        raise SetupError(f"there is no file to send in {named}")
    unread = f", without {left_out} that cannot be sent" if left_out else ""
    return Images(files, f"{len(files)} files of {named}{unread}")


def from_size(width: int, height: int, count: int) -> Images:
    """Up to `count` made JPEGs of this size in pixels, fewer where they are large."""
    random = np.random.default_rng(0)
    files: list[bytes] = []
    held = 0
    while len(files) < count and held < HELD:
        files.append(_one(random, width, height))
        held += len(files[-1])
    return Images(files, f"{len(files)} made JPEGs of {width}x{height}")


def made(count: int, width: int = 512, height: int = 384) -> list[bytes]:
    """`count` JPEGs: light that varies smoothly over several scales, with sensor noise."""
    random = np.random.default_rng(0)
    return [_one(random, width, height) for _ in range(count)]


def _one(random: np.random.Generator, width: int, height: int) -> bytes:
    light = random.normal(0, 5, (height, width, 3))
    for side in (4, 16, 64):
        patches = random.normal(128 / 3, 25, (side, side, 3)).astype(np.float32)
        planes = [
            Image.fromarray(patches[..., plane]).resize((width, height), Image.Resampling.BICUBIC)
            for plane in range(3)
        ]
        light += np.stack([np.asarray(plane) for plane in planes], axis=2)
    file = io.BytesIO()
    Image.fromarray(np.clip(light, 0, 255).astype(np.uint8)).save(file, "JPEG", quality=85)
    return file.getvalue()


def marked(data: bytes, number: int) -> bytes:
    """A JPEG or PNG with `number` in a comment, the same image in all else; of other formats `data`."""
    note = b"assay bench %d" % number
    if data.startswith(JPEG):
        return b"".join((data[:2], b"\xff\xfe", struct.pack(">H", 2 + len(note)), note, data[2:]))
    if data.startswith(PNG) and len(data) > PNG_HEADER:
        chunk = b"tEXtComment\0" + note
        size, check = struct.pack(">I", len(chunk) - 4), struct.pack(">I", zlib.crc32(chunk))
        return b"".join((data[:PNG_HEADER], size, chunk, check, data[PNG_HEADER:]))
    return data

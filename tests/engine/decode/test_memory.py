"""What admission says decoding takes is what it takes: peak memory in a process of its own."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.images import encode

from assay.bench import memory
from assay.engine.admission import Header

PEAK = """
import sys
from assay.engine.admission import admit
from assay.engine.decode import make_decoder
from assay.engine.settings import Limits

def memory(key):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(key))

data = open(sys.argv[1], "rb").read()
header = admit(data, Limits(max_bytes=1 << 30), 1)
decoder = make_decoder("turbo")
open("/proc/self/clear_refs", "w").write("5")  # forget the highest mark so far
before = memory("VmRSS")
pixels = decoder.decode([(data, header)])[0]
assert pixels.shape == (header.height, header.width, 3)
print(memory("VmHWM") - before - len(data), header.peak_bytes)
"""
FILES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "jpeg": ("JPEG", "RGB", {}),
    "jpeg progressive": ("JPEG", "RGB", {"progressive": True, "subsampling": 0}),
    "jpeg cmyk": ("JPEG", "CMYK", {}),
    "png": ("PNG", "RGBA", {"compress_level": 1}),
    "webp": ("WEBP", "RGBA", {"method": 0}),
    "webp lossless": ("WEBP", "RGB", {"lossless": True, "method": 0, "quality": 0}),
    "gif": ("GIF", "P", {}),
    "bmp": ("BMP", "RGB", {}),
    "tiff": ("TIFF", "RGB", {"compression": "tiff_lzw"}),
    "avif": ("AVIF", "RGBA", {"speed": 10, "subsampling": "4:4:4"}),
}


@pytest.mark.full
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's memory accounting")
@pytest.mark.parametrize("name", FILES)
def test_decoding_takes_no_more_than_the_header_says(tmp_path: Path, name: str) -> None:
    format, mode, options = FILES[name]
    random = np.random.default_rng(0)
    light = Image.fromarray(random.integers(0, 256, (60, 80, 3), dtype=np.uint8)).resize((4000, 3000))
    path = tmp_path / "image"
    path.write_bytes(encode(light.convert(mode), format, **options))
    answer = subprocess.run(
        [sys.executable, "-c", PEAK, str(path)], check=True, capture_output=True, text=True, timeout=120
    )
    taken, promised = map(int, answer.stdout.split())
    assert taken < 1.05 * promised + (4 << 20)


TELLING = ("png, 70 texts that unpack to 10 MB", "jpeg, 15 MB of colour profile", "tiff, tiles of 16x16")
MARGIN = 16 << 20
"""What the allocator keeps, and pieces of constant size."""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's memory accounting")
@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=() if kind in TELLING else pytest.mark.full) for kind in memory.KINDS]
)
def test_odd_files_take_no_more_than_was_reserved(kind: str) -> None:
    size, header, taken = memory.peak(kind)
    if isinstance(header, Header):
        assert taken < size + header.peak_bytes + MARGIN
    else:
        assert header == "undecodable"
        assert taken < MARGIN

"""CPU microseconds of decoding per good image, by decoder and share of corrupt images.

    python -m assay.bench.decode [FOLDER] [--images 200] [--batch 32] [--rounds 5]

Images are the JPEGs of FOLDER, or made: 512x384, quality 85. Of the corrupt ones every other is cut in the
middle, which DALI raises on, and every other has 4 kB of zeros in it, which it decodes without a word. All
combinations run in every round, in turn; medians are shown, and ratios to libjpeg-turbo without corruption.
CPU time is that of the whole process.
"""

import statistics
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from assay.bench.provenance import provenance
from assay.engine.admission import admit
from assay.engine.decode import Decoder, Encoded, make_decoder
from assay.engine.load.images import made
from assay.engine.outcome import Refused
from assay.engine.report.markdown import table
from assay.engine.settings import Limits

SHARES = (0.0, 0.01, 0.1)


def corrupted(files: list[bytes], share: float) -> list[bytes]:
    """`files` with a share of them damaged, spread evenly."""
    found = list(files)
    for number, place in enumerate(np.linspace(0, len(files) - 1, round(share * len(files))).astype(int)):
        data, middle = files[place], len(files[place]) // 2
        found[place] = data[:middle] if number % 2 else data[:middle] + bytes(4096) + data[middle + 4096 :]
    return found


def microseconds(decoder: Decoder, batches: list[list[Encoded]]) -> tuple[float, int]:
    """CPU time for each image that was decoded, and how many were refused."""
    good = refused = 0
    start = time.process_time()
    for batch in batches:
        bad = sum(isinstance(result, Refused) for result in decoder.decode(batch))
        refused += bad
        good += len(batch) - bad
    return (time.process_time() - start) / good * 1e6, refused


def main(
    folder: Annotated[Path | None, typer.Argument(help="Folder of JPEGs; made ones without.")] = None,
    images: int = 200,
    batch: int = 32,
    rounds: int = 5,
) -> None:
    """Print a table in Markdown."""
    files = [path.read_bytes() for path in sorted(folder.glob("*.jp*g"))[:images]] if folder else made(images)
    decoders = {"turbo": make_decoder("turbo"), "dali": make_decoder("dali")}
    inputs = {share: batched(corrupted(files, share), batch) for share in SHARES}
    times: dict[tuple[str, float], list[float]] = {(name, share): [] for name in decoders for share in SHARES}
    refused: dict[tuple[str, float], int] = {}
    for number in range(rounds + 1):
        for (name, share), taken in times.items():
            spent, refused[name, share] = microseconds(decoders[name], inputs[share])
            if number:  # the first round warms up
                taken.append(spent)
    base = statistics.median(times["turbo", 0.0])
    print(f"Decoding {len(files)} JPEGs in batches of {batch}, median of {rounds} rounds.\n")
    print(provenance("simplejpeg", "pillow", "nvidia-dali-cuda130"), end="\n\n")
    rows: list[list[object]] = [["decoder", "corrupt", "refused", "CPU us per good image", "ratio"]]
    for (name, share), taken in times.items():
        median = statistics.median(taken)
        rows.append([name, f"{share:.0%}", refused[name, share], f"{median:.0f}", f"{median / base:.2f}"])
    print(table(rows))


def batched(files: list[bytes], size: int) -> list[list[Encoded]]:
    encoded: list[Encoded] = [(data, admit(data, Limits(), 1)) for data in files]
    return [encoded[start : start + size] for start in range(0, len(encoded), size)]


if __name__ == "__main__":
    typer.run(main)

"""`assay scan` against a plain loop of the same decoder, views and executor.

    python -m assay.bench.scan [--bundle B] [--images 2000] [--pairs 5]

The peer is what one would write by hand: one process a core, each running its share of the images to
completion in batches of 4, on bytes that are already in memory. `scan` reads files, admits them, hands them
through the front to its workers and makes outcomes of them. Both are timed once their models are loaded;
pairs are interleaved, and the ratios are medians of each pair's own.
"""

import multiprocessing
import os
import statistics
import tempfile
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from pathlib import Path
from time import perf_counter
from typing import Annotated

import typer

from assay.bench.provenance import provenance, served_as
from assay.engine.admission import admit
from assay.engine.bundle import DEFAULT, Bundle, find
from assay.engine.core import Core
from assay.engine.decode import make_decoder
from assay.engine.detectors import Stopwatch
from assay.engine.doors.files import find_files, scan
from assay.engine.load.images import made
from assay.engine.load.usage import cpu_seconds
from assay.engine.outcome import Refused
from assay.engine.settings import Settings
from assay.engine.worker.scorer import Chain

BATCH = 4
DISTINCT = 200


@dataclass(frozen=True)
class Run:
    """Images a second, and CPU seconds an image over all processes."""

    rate: float
    cpu: float


def by_scan(bundle: Bundle, folder: Path, count: int) -> Run:
    """Scan `folder` as the command does, from the first file found to the last outcome."""
    core = Core([bundle], Settings())
    pids = [os.getpid(), *core.pids()]
    before = sum(map(cpu_seconds, pids))
    start = perf_counter()
    outcomes = sum(1 for _ in scan(core, find_files([folder])))
    seconds = perf_counter() - start
    used = sum(map(cpu_seconds, pids)) - before
    core.stop()
    assert outcomes == count
    return Run(count / seconds, used / count)


def by_loop(bundle: Bundle, files: list[bytes], count: int) -> Run:
    """Run `count` images through a process a core, without an engine."""
    context = multiprocessing.get_context("spawn")
    processes = Settings().workers
    barrier = context.Barrier(processes + 1)
    workers = [
        context.Process(target=_loop, args=(bundle.path, files, count // processes, barrier))
        for _ in range(processes)
    ]
    for worker in workers:
        worker.start()
    barrier.wait()
    before = sum(cpu_seconds(worker.pid or 0) for worker in workers)
    start = perf_counter()
    barrier.wait()
    barrier.wait()
    seconds = perf_counter() - start
    used = sum(cpu_seconds(worker.pid or 0) for worker in workers) - before
    barrier.wait()
    for worker in workers:
        worker.join()
    return Run(count / seconds, used / count)


def _loop(path: Path, files: list[bytes], count: int, barrier: Barrier) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    bundle = Bundle.load(path)
    settings = Settings()
    chain, decoder = Chain(bundle, settings), make_decoder(settings.decoder)

    def run(count: int) -> None:
        for start in range(0, count, BATCH):
            batch = [files[number % len(files)] for number in range(start, min(start + BATCH, count))]
            decoded = decoder.decode([(data, admit(data, settings.limits, 1)) for data in batch])
            images = [image for image in decoded if not isinstance(image, Refused)]
            assert len(chain.detect(images, Stopwatch())) == len(batch)

    run(2 * BATCH)
    barrier.wait()  # all are loaded and warm
    barrier.wait()  # the clock runs
    run(count)
    barrier.wait()  # the clock has stopped
    barrier.wait()  # CPU times were read


def main(
    bundle: Annotated[str, typer.Option(help="A shipped bundle or a bundle's folder.")] = DEFAULT,
    images: Annotated[int, typer.Option(help="Images a run.")] = 2000,
    pairs: Annotated[int, typer.Option(help="Interleaved pairs.")] = 5,
) -> None:
    """Print a table in Markdown."""
    served = find(bundle)
    files = made(min(DISTINCT, images))
    runs: list[tuple[Run, Run]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(images):
            (folder / f"{number:06}.jpg").write_bytes(files[number % len(files)])
        for number in range(pairs):
            if number % 2 == 0:
                ours, peer = by_scan(served, folder, images), by_loop(served, files, images)
            else:
                peer, ours = by_loop(served, files, images), by_scan(served, folder, images)
            runs.append((ours, peer))
    print(f"`assay scan` of {images} JPEGs, 512x384, {served_as(served)}; {pairs} pairs.\n")
    print(provenance("assay", "openvino", "simplejpeg", "numpy"), end="\n\n")
    print("| | images/s | CPU ms per image |\n|---|---|---|")
    for label, which in (("assay scan", 0), ("plain loop", 1)):
        rate = statistics.median(pair[which].rate for pair in runs)
        cpu = statistics.median(pair[which].cpu for pair in runs)
        print(f"| {label} | {rate:.1f} | {1000 * cpu:.2f} |")
    rate = statistics.median(ours.rate / peer.rate for ours, peer in runs)
    cpu = statistics.median(ours.cpu / peer.cpu for ours, peer in runs)
    print(f"| ratio | {rate:.3f} | {cpu:.3f} |")


if __name__ == "__main__":
    typer.run(main)

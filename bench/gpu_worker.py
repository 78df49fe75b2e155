"""Python's microseconds an image in a GPU's worker, with a device that answers at once.

    python -m assay.bench.gpu_worker [--batch 64] [--batches 200] [--rounds 5]

The worker is a process of its own and real: messages, batches, pipelined decoding, verdicts, measures,
provenance. Null are libjpeg's strict check, decoder, kernels and graphs (`null_device.py`). What is left is
the most that one worker can answer, whatever its GPU does. Medians of rounds; the front is not counted.
"""

import io
import json
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Annotated, Any

import typer
from PIL import Image

from assay.bench.null_device import calls, null_device
from assay.bench.provenance import provenance
from assay.engine.admission import admit
from assay.engine.bundle import DEFAULT, Bundle, find
from assay.engine.item import Item
from assay.engine.load.images import made
from assay.engine.outcome import Verdict
from assay.engine.provenance import Checker, claims
from assay.engine.report.markdown import table
from assay.engine.settings import Limits, Settings
from assay.engine.ticket import Ticket
from assay.engine.worker.patience import processor_time
from assay.engine.worker.process import WorkerProcess, slots
from assay.engine.worker.scorer import Job, Scorer


def tickets(files: Sequence[bytes], bundle: Bundle) -> list[Ticket]:
    return [
        Ticket(Item("", data), bundle.name, admit(data, Limits(), 1), len(data), 0.0, Future())
        for data in files
    ]


class NullWorker(WorkerProcess):
    """A worker process with the null device."""

    program = "assay.bench.null_device"


def with_camera(data: bytes) -> bytes:
    """A JPEG with EXIF that names camera and program."""
    exif = Image.Exif()
    exif.update({0x010F: "Canon", 0x0110: "Canon EOS R5", 0x0131: "Firmware 1.5"})
    file = io.BytesIO()
    with Image.open(io.BytesIO(data)) as image:
        image.save(file, "JPEG", exif=exif)
    return file.getvalue()


def answered(worker: WorkerProcess, batch: Sequence[Ticket], batches: int) -> None:
    """Have `batches` answered, as many at a time as a worker holds."""
    most = slots(Settings(devices=(0,)))
    for number in range(batches + most):
        if number >= most:
            assert all(isinstance(outcome, Verdict) for outcome in worker.receive())
        if number < batches:
            worker.send(batch)


def process_microseconds(
    bundle: Bundle, settings: Settings, batch: Sequence[Ticket], batches: int, rounds: int
) -> list[float]:
    """Processor time of all threads of a worker process, an image, in each round."""
    worker, found = NullWorker([bundle], settings), []
    try:
        for _ in range(rounds + 1):
            start = processor_time(worker.pid)
            answered(worker, batch, batches)
            found.append((processor_time(worker.pid) - start) / (batches * len(batch)) * 1e6)
    finally:
        worker.kill()
    return found[1:]


def parts(bundle: Bundle, settings: Settings, batch: Sequence[Ticket], repeats: int) -> dict[str, float]:
    """Microseconds an image of the worker's steps, one after the other in one thread."""

    def timed(step: Callable[[], Any]) -> tuple[Any, float]:
        taken = []
        for _ in range(repeats):
            start = time.thread_time()
            found = step()
            taken.append((time.thread_time() - start) / len(batch) * 1e6)
        return found, statistics.median(taken)

    jobs = [Job(memoryview(ticket.item.data), ticket.header) for ticket in batch]
    with null_device():
        scorer = Scorer([bundle], settings)
        decoded, decoding = timed(lambda: scorer.decode(jobs))
        calls.clear()
        scorer.infer(bundle.name, decoded)
        asked = dict(calls)
        outcomes, inferring = timed(lambda: scorer.infer(bundle.name, decoded))
    camera = with_camera(batch[0].item.data)
    header, checker = admit(camera, Limits(), 1), Checker()
    _, exif = timed(lambda: [claims(memoryview(camera), header, checker) for _ in batch])
    _, writing = timed(lambda: json.dumps([outcome.to_dict() for outcome in outcomes]).encode())
    found = {"decode: check, decoder, provenance": decoding, "views, graphs, measures, verdicts": inferring}
    found["outcomes as JSON"] = writing
    found["on top where an image has EXIF of a camera (these have none)"] = exif
    return found | {f"calls of the device a batch: {name}": float(count) for name, count in asked.items()}


def main(
    bundle: Annotated[str, typer.Option("--bundle", "-b")] = DEFAULT,
    batch: int = 64,
    batches: int = 200,
    rounds: int = 5,
) -> None:
    """Print a table in Markdown."""
    chosen, settings = find(bundle), Settings(devices=(0,), batch=batch)
    made_ones = tickets((made(16) * -(-batch // 16))[:batch], chosen)
    rounds_ = process_microseconds(chosen, settings, made_ones, batches, rounds)
    print(f"{chosen.name}, batches of {batch}, median of {rounds} rounds of {batches} batches.\n")
    print(provenance("cupy-cuda13x", "numpy"), end="\n\n")
    whole, least = statistics.median(rounds_), min(rounds_)
    rows: list[list[object]] = [["", "a worker"], ["us of CPU an image, whole process", f"{whole:.1f}"]]
    rows.append(["the same, least of the rounds", f"{least:.1f}"])
    rows.append(["images/s that one worker answers at most", f"{1e6 / whole:.0f}"])
    for name, value in parts(chosen, settings, made_ones, 10 * rounds).items():
        calls_ = name.startswith("calls")
        rows.append([name if calls_ else f"us of it, {name}", f"{value:.0f}" if calls_ else f"{value:.1f}"])
    print(table(rows))


if __name__ == "__main__":
    typer.run(main)

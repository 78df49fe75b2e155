"""From `assay serve` to the first verdict over gRPC, with the default bundle on a CPU.

    python -m assay.bench.start [--rounds 5] [--workers 1]

Each round starts the command afresh, from files that were read before. By the clock on a machine that does
nothing else it takes what front and one worker use of a processor one after the other; so these stand beside
it, and say what a busy machine hides.
"""

import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from assay.bench.provenance import provenance
from assay.engine.bundle import DEFAULT
from assay.engine.client import Client
from assay.engine.load.images import made
from assay.engine.outcome import Verdict
from assay.engine.report.markdown import table
from assay.engine.worker.patience import processor_time


def line_with(process: "subprocess.Popen[str]", words: str) -> str:
    """The first line of its log that holds `words`."""
    assert process.stderr
    for line in process.stderr:
        if words in line:
            return line
    raise SystemExit(f"assay serve ended with code {process.wait()}")


def children(pid: int) -> list[int]:
    """The processes that any thread of a process has started."""
    return [
        int(one) for file in Path(f"/proc/{pid}/task").glob("*/children") for one in file.read_text().split()
    ]


def started(data: bytes, workers: int) -> tuple[float, float, float, float]:
    """Seconds: to the open port, to the verdict, of the front's processor time, and of one worker's."""
    start = time.perf_counter()
    serve = "from assay.engine.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", serve, "serve", "--grpc", "127.0.0.1:0", "--workers", str(workers)],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        address = line_with(process, "gRPC on ").split("gRPC on ")[1].strip()
        opened = time.perf_counter() - start
        with Client(address) as client:
            assert isinstance(client.score(data), Verdict)
        answered = time.perf_counter() - start
        used = [processor_time(pid) for pid in (process.pid, *children(process.pid)[:1])]
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()
    return opened, answered, used[0], used[1]


def main(rounds: int = 5, workers: Annotated[int, typer.Option(help="Worker processes.")] = 1) -> None:
    """Print a table in Markdown."""
    [data] = made(1)
    found = [started(data, workers) for _ in range(rounds + 1)][1:]
    medians = [statistics.median(column) for column in zip(*found, strict=True)]
    least = [min(column) for column in zip(*found, strict=True)]
    print(f"{DEFAULT}, {workers} workers, {rounds} rounds; files were read before.\n")
    print(provenance("openvino", "grpcio"), end="\n\n")
    rows = [["s", "median", "least"]]
    names = ["until gRPC is open", "until the first verdict", "processor, the front", "processor, a worker"]
    for name, median, best in zip(names, medians, least, strict=True):
        rows.append([name, f"{median:.2f}", f"{best:.2f}"])
    both = "processor, front and a worker one after the other"
    rows.append([both, f"{medians[2] + medians[3]:.2f}", f"{least[2] + least[3]:.2f}"])
    print(table(rows))


if __name__ == "__main__":
    typer.run(main)

"""gRPC at many times what the engine can score: who is answered, who is refused, and what that costs.

    python -m assay.bench.overload [--factor 10] [--seconds 60]

A server of this machine is first asked by 16 callers that each wait for their answer: that is its capacity.
Then calls begin at `factor` times that rate whatever becomes of the ones before them, over several
connections, each with a deadline and without retries. The client is on the same cores. Latencies are the
client's, from the moment at which a call was to begin. Memory is that of the front.
"""

import os
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Annotated, Any

import grpc
import typer

from assay.bench.grpc import server
from assay.bench.provenance import provenance, served_as
from assay.bench.scan import DISTINCT
from assay.engine.bundle import DEFAULT, find
from assay.engine.core.pressure import LEAST_PAUSE
from assay.engine.load.images import made
from assay.engine.load.usage import cpu_seconds
from assay.engine.wire.assay.v1 import scoring_pb2 as pb

METHOD = "/assay.v1.ScoringService/Score"
CALLERS = 16
OPTIONS = [("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1)]
MIB = 1 << 20


class Tally:
    """What became of calls; `ended` is called by gRPC's threads."""

    def __init__(self) -> None:
        self.codes: Counter[str] = Counter()
        self.seconds: dict[str, list[float]] = {}
        self.hints = 0
        self.open = 0
        self._lock = threading.Lock()

    def ended(self, begun: float, call: Any) -> None:
        name = call.code().name
        hint = any(each.key == "grpc-retry-pushback-ms" for each in call.trailing_metadata() or ())
        with self._lock:
            self.codes[name] += 1
            self.seconds.setdefault(name, []).append(time.perf_counter() - begun)
            self.hints += hint
            self.open -= 1

    def row(self, name: str) -> str:
        total = self.codes.total()
        cells = [name, str(self.codes[name]), f"{self.codes[name] / total:.1%}"]
        seconds = sorted(self.seconds.get(name, [0.0]))
        cells += [f"{seconds[int(share * (len(seconds) - 1))]:.3f}" for share in (0.5, 0.99, 1.0)]
        return f"| {' | '.join(cells)} |"


@contextmanager
def watched(pid: int) -> Iterator[list[float]]:
    """Resident MiB of a process, five times a second."""
    sizes: list[float] = []
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.2):
            pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            sizes.append(pages * os.sysconf("SC_PAGE_SIZE") / MIB)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield sizes
    finally:
        stop.set()
        thread.join()


def capacity(address: str, requests: list[bytes], seconds: float) -> float:
    """Answers a second to `CALLERS` callers that wait for theirs, and come again where they are refused."""
    end = time.perf_counter() + seconds
    with grpc.insecure_channel(address, OPTIONS) as channel:
        score = channel.unary_unary(METHOD, None, None)

        def ask(number: int) -> int:
            answered = 0
            for request in cycle(requests[number % len(requests) :]):
                if time.perf_counter() > end:
                    break
                try:
                    score(request)
                    answered += 1
                except grpc.RpcError as error:
                    if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                        raise
                    time.sleep(LEAST_PAUSE)
            return answered

        with ThreadPoolExecutor(CALLERS) as pool:
            return sum(pool.map(ask, range(CALLERS))) / seconds


def flood(
    address: str, requests: list[bytes], rate: float, seconds: float, connections: int, timeout: float
) -> tuple[Tally, float]:
    """Begin `rate` calls a second -> what became of them, and how many a second could be begun."""
    channels = [grpc.insecure_channel(address, OPTIONS) for _ in range(connections)]
    scores = cycle([channel.unary_unary(METHOD, None, None) for channel in channels])
    tally = Tally()
    start = time.perf_counter()
    begun = 0
    for number, request in enumerate(cycle(requests)):
        due = start + number / rate
        now = time.perf_counter()
        if now > start + seconds:
            break
        if due > now:
            time.sleep(due - now)
        elif now > due + 1:  # this machine begins no more than it can
            start += now - due
            due = now
        tally.open += 1
        begun += 1
        call = next(scores).future(request, timeout=timeout)
        call.add_done_callback(partial(tally.ended, due))
    offered = begun / seconds
    while tally.open and time.perf_counter() < now + timeout + 5:
        time.sleep(0.1)
    for channel in channels:
        channel.close()
    return tally, offered


def main(
    bundle: Annotated[str, typer.Option(help="A shipped bundle or a bundle's folder.")] = DEFAULT,
    factor: Annotated[float, typer.Option(help="Calls begun, in multiples of the capacity.")] = 10,
    seconds: Annotated[float, typer.Option(help="How long.")] = 60,
    connections: Annotated[int, typer.Option(help="Over which the calls are spread.")] = 8,
    timeout: Annotated[float, typer.Option(help="Deadline of a call, in seconds.")] = 30,
    output: Annotated[Path | None, typer.Option(help="Write the table here, too.")] = None,
) -> None:
    """Print a table in Markdown."""
    found = find(bundle)
    requests = [
        pb.ScoreRequest(image=pb.Image(id=str(number), data=data)).SerializeToString()
        for number, data in enumerate(made(DISTINCT))
    ]
    with server(found) as (address, pid):
        capacity(address, requests, 2)
        rate = statistics.median(capacity(address, requests, 3) for _ in range(3))
        with watched(pid) as idle:
            time.sleep(1)
        used = cpu_seconds(pid)
        with watched(pid) as sizes:
            tally, offered = flood(address, requests, factor * rate, seconds, connections, timeout)
        used = cpu_seconds(pid) - used
    conditions = f"JPEGs of 512x384, {connections} connections, deadline {timeout:g} s"
    load = f"Capacity {rate:.0f} images/s; {offered:.0f} calls/s begun for {seconds:g} s"
    front = f"Front: {idle[-1]:.0f} MiB before, at most {max(sizes):.0f} MiB; {used / seconds:.2f} cores"
    lines = [
        f"{conditions}, the client on the same cores; {served_as(found)}.",
        "",
        provenance("assay", "grpcio", "protobuf", "openvino"),
        "",
        f"{load}; {tally.hints} refusals with a hint. {front}.",
        "",
        "| status | calls | share | p50 s | p99 s | max s |",
        "|---|---|---|---|---|---|",
        *(tally.row(name) for name, _ in tally.codes.most_common()),
    ]
    table = "\n".join(lines) + "\n"
    print(table)
    if output:
        output.write_text(table)


if __name__ == "__main__":
    typer.run(main)

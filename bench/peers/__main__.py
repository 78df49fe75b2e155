"""Assay beside other servers, in the same run: `make bench-peers`.

    python -m assay.bench.peers [--rounds 10] [--peers mosec,triton] [--precisions fp32,int8,best]

All serve the same network (the centre of an image through plain-mobilenet's MobileNetV2) to the same client,
two workers on one thread each; what each gets are encoded JPEGs, what it gives is a probability, and each
must give Assay's. Within a precision all are started once; one after the other is loaded while the rest is
stopped, in another order each round: first with 64 requests outstanding, then with half of the rate that it
just had. What is not installed is left out with a note; what fails is left out from then on. The table is
written after each round.
"""

import signal
import tempfile
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from assay.bench.peers.assay import Assay
from assay.bench.peers.client import PeerFault
from assay.bench.peers.harness import Harness, Plan
from assay.bench.peers.litserve import LitServe
from assay.bench.peers.mosec import Mosec
from assay.bench.peers.one_view import one_view
from assay.bench.peers.peer import PRECISIONS, Peer
from assay.bench.peers.ray_serve import RayServe
from assay.bench.peers.report import Report
from assay.bench.peers.torch import Torch
from assay.bench.peers.triton import Triton
from assay.engine.load.images import made

OURS: Peer = Assay()
PEERS: tuple[Peer, ...] = (Triton(), Mosec(), LitServe(), RayServe(), Torch())
PLAN = Plan()
IMAGES = 32

app = typer.Typer(add_completion=False)


@app.command()
def main(
    rounds: Annotated[int, typer.Option(help="Interleaved rounds of all servers.", min=1)] = PLAN.rounds,
    peers: Annotated[str, typer.Option(help="Some of the peers alone, by name, with commas.")] = "",
    precisions: Annotated[str, typer.Option(help="Which, with commas.")] = ",".join(PRECISIONS),
    output: Annotated[Path, typer.Option(help="Where the table goes.")] = Path("bench/results/peers.md"),
) -> None:
    """Write a table in Markdown, and print it."""
    signal.signal(signal.SIGTERM, _leave)  # so that all servers are stopped
    named = {peer.name.lower(): peer for peer in PEERS}
    chosen = [named[name] for name in _chosen(peers, list(named))]
    wanted = _chosen(precisions, list(PRECISIONS))
    report = Report(
        OURS, [peer for peer in chosen if not peer.absent()], replace(PLAN, rounds=rounds), output
    )
    for peer in chosen:
        if why := peer.absent():
            report.note(f"{peer.name} is left out: {why}")
    failed = False
    with tempfile.TemporaryDirectory(prefix="peers") as scratch:
        bundle = one_view(Path(scratch) / "bundle")
        harness = Harness(
            [OURS, *report.peers], bundle.path, made(IMAGES), report.plan, Path(scratch), report.note
        )
        for precision in wanted:
            try:
                harness.run(precision, report.keep)
            except PeerFault as fault:  # of Assay itself: the other precisions may still be measured
                report.note(f"{precision}: {fault}")
                failed = True
    print(report.text(), end="")
    raise typer.Exit(failed)


def _chosen(names: str, known: list[str]) -> list[str]:
    """Those of `known` that a list with commas names; all where it is empty."""
    found = [name.strip().lower() for name in names.split(",") if name.strip()]
    if unknown := [name for name in found if name not in known]:
        raise typer.BadParameter(f"{', '.join(unknown)}: there are {', '.join(known)}")
    return found or known


def _leave(signum: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + signum)


if __name__ == "__main__":
    app()

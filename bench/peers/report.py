"""The page of a run: conditions, a table a precision, how each server was set up, what was left out."""

import sys
from collections.abc import Sequence
from pathlib import Path

from assay.bench.peers.harness import Plan
from assay.bench.peers.peer import Peer
from assay.bench.peers.setup import BATCH, WORKERS
from assay.bench.peers.table import Results, markdown
from assay.bench.provenance import provenance

TITLES = {
    "fp32": "In fp32",
    "int8": "In int8, fp32 where not int8",
    "best": "Each at its own best",
}
READING = """\
Medians of the rounds; ratios are of servers in the same round, with the smallest and the largest in
brackets. Above 1 in images/s and below 1 in CPU Assay is better. CPU is of all processes of a server; its
front is what is not a worker. The client runs on the same cores. Half load is half of the rate that a server
had just reached, with Poisson arrivals; a batch time is what a worker takes for a full batch at that rate.
The last column is the largest difference of a probability from Assay's, over every answer.
"""


class Report:
    """Written to `file` whenever something is kept or noted."""

    def __init__(self, ours: Peer, peers: Sequence[Peer], plan: Plan, file: Path) -> None:
        self.plan = plan
        self.peers = peers
        self._ours, self._file = ours, file
        self._results: dict[str, Results] = {}
        self._notes: list[str] = []

    def keep(self, results: Results) -> None:
        self._results[results.precision] = results
        self._write()
        done = max(map(len, results.rounds.values()))
        print(f"{results.precision}: round {done} of {self.plan.rounds}", file=sys.stderr)

    def note(self, sentence: str) -> None:
        print(sentence, file=sys.stderr)
        self._notes.append(sentence)
        self._write()

    def text(self) -> str:
        conditions = (
            f"JPEGs of 512x384, 42 kB each, {self.plan.outstanding} outstanding; {WORKERS} workers of one "
            f"thread, batches up to {BATCH}; one view\nof an image through MobileNetV2. A server has in each "
            f"round {self.plan.full:g} s of full load and {self.plan.half:g} s of half."
        )
        parts = [
            "# Assay beside other servers",
            conditions,
            provenance("assay", "openvino", "simplejpeg", "numpy", "grpcio"),
            READING.strip(),
        ]
        for results in self._results.values():
            rounds = max(map(len, results.rounds.values()))
            parts += [
                f"## {TITLES[results.precision]}",
                f"{rounds} rounds.",
                markdown(results, self._ours.name),
            ]
        parts += ["## Servers", self._servers()]
        if self._notes:
            parts += ["## Left out", "\n".join(f"- {note}" for note in self._notes)]
        return "\n\n".join(part.rstrip() for part in parts) + "\n"

    def _servers(self) -> str:
        servers = [self._ours, *self.peers]
        return "\n".join(f"- {each.name} ({each.version()}): {each.note}." for each in servers)

    def _write(self) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_text(self.text(), "utf-8")

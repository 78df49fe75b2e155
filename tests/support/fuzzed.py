"""A server that is given hostile files over gRPC, and what has to hold whatever they are."""

import re
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from support.bundles import plain_bundle
from support.images import good
from support.server import Server

from assay.engine.admission import admit
from assay.engine.bundle import Bundle
from assay.engine.client import Client
from assay.engine.decode.confined import MARGIN
from assay.engine.detectors import intermediate_bytes
from assay.engine.outcome import Outcome, Reason, Refused, Rejection, Verdict
from assay.engine.settings import Limits

COMMAND = "from assay.engine.commands.app import main; main()"
# small, so that sizes which damage invents take no time worth mentioning
SETTINGS = "batch = 1\n[limits]\nmax_pixels = 4000000\n"
LIMITS = Limits(max_pixels=4_000_000)
MIN_SIDE = 8
GOOD = "good"
WRONG = frozenset({Reason.DEADLINE, Reason.OVERLOADED, Reason.INTERNAL, Reason.UNKNOWN_BUNDLE})
"""What no image may be the cause of."""


class Fuzzed:
    """One worker that computes one image at a time, so that its memory is that image's."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        folder = Path(self._folder.name)
        (folder / "assay.toml").write_text(SETTINGS)
        self._bundle = Bundle.load(plain_bundle(folder / "bundle", min_side=MIN_SIDE))
        doors = ["--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0"]
        more = ["--workers", "1", "--cache-mib", "0", "--config", str(folder / "assay.toml")]
        self._server = Server("-c", COMMAND, "serve", "--bundle", str(self._bundle.path), *doors, *more)
        self._client = Client(f"127.0.0.1:{self._server.grpc}")
        known = self._client.score(good()["jpeg 4:2:0"].data)
        assert isinstance(known, Verdict)
        self.good = known
        self.outcomes: Counter[str] = Counter()

    def check(self, files: Mapping[str, bytes]) -> dict[str, str]:
        """What does not hold, by name of the file, or by no name where no single file is to blame."""
        wrong, peak = self._checked(files)
        if peak > max(map(self.reserved, files.values()), default=0) + MARGIN:
            for name, data in files.items():
                wrong |= self._checked({name: data})[0]
        return wrong

    def _checked(self, files: Mapping[str, bytes]) -> tuple[dict[str, str], int]:
        """What does not hold, and the bytes that the worker took at most."""
        worker, before = self._worker(), self._metric("assay_worker_restarts_total")
        (worker / "clear_refs").write_text("5")
        start = _status(worker, "VmRSS")
        outcomes = list(self._client.score_many([*files.items(), (GOOD, good()["jpeg 4:2:0"].data)]))
        wrong = {}
        slow = 0
        for name in files:
            found = [outcome for outcome in outcomes if outcome.id == name]
            if len(found) != 1:
                wrong[name] = f"{len(found)} outcomes"
            elif said := _fault(found[0]):
                wrong[name] = said
            else:
                self.outcomes[_kind(found[0])] += 1
                slow += isinstance(found[0], Rejection) and "seconds" in found[0].about
        if len(outcomes) != len(files) + 1:
            wrong[""] = f"{len(outcomes)} outcomes of {len(files) + 1} images"
        neighbour = next((outcome for outcome in outcomes if outcome.id == GOOD), None)
        if not isinstance(neighbour, Verdict) or neighbour.scores != self.good.scores:
            wrong[""] = f"the good image among them became {neighbour}"
        ended = self._metric("assay_worker_restarts_total") - before
        if self._server.process.poll() is not None or ended > slow:
            wrong[""] = f"{ended:.0f} workers ended"
        peak = 0 if ended else _status(worker, "VmHWM") - start
        if len(files) == 1:
            ((name, data),) = files.items()
            if peak > self.reserved(data) + MARGIN:
                wrong[name] = f"took {peak >> 20} MiB, and {self.reserved(data) >> 20} MiB were reserved"
        return wrong, peak

    def reserved(self, data: bytes) -> int:
        """Bytes that the server's core reserves for an image; 0 for one that it does not let in."""
        try:
            header = admit(data, LIMITS, MIN_SIDE)
        except Refused:
            return 0
        return len(data) + header.peak_bytes + intermediate_bytes(self._bundle)

    def _worker(self) -> Path:
        front = self._server.process.pid
        threads = Path(f"/proc/{front}/task").glob("*/children")
        children = [child for thread in threads for child in thread.read_text().split()]
        (worker,) = [
            path
            for path in map(Path, (f"/proc/{child}" for child in children))
            if b"assay.engine.worker" in (path / "cmdline").read_bytes()
        ]
        return worker

    def _metric(self, name: str) -> float:
        found = re.search(rf"^{name} (\S+)", self._server.get("/metrics")[1], re.MULTILINE)
        assert found
        return float(found[1])

    def close(self) -> None:
        self._client.close()
        self._server.signal()
        assert self._server.wait() == 0
        self._server.__exit__(None, None, None)
        self._folder.cleanup()
        assert "Traceback" not in self._server.err


def _fault(outcome: Outcome) -> str | None:
    if isinstance(outcome, Rejection) and outcome.reason in WRONG:
        return f"{outcome.reason}: {outcome.detail}"
    return None


def _kind(outcome: Outcome) -> str:
    return outcome.reason.value if isinstance(outcome, Rejection) else "verdict"


def _status(process: Path, field: str) -> int:
    found = re.search(rf"{field}:\s+(\d+) kB", (process / "status").read_text())
    assert found
    return int(found[1]) << 10

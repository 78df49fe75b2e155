"""What a server is given: bundle, precision, port, and where its workers say that they are there."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

WORKERS = 2
BATCH = 4
_VARIABLE = "BENCH_PEER"


@dataclass(frozen=True)
class Setup:
    """`precision` is fp32, int8 (fp32 where not int8), or best: what whoever tunes this server would take."""

    bundle: Path
    precision: str
    port: int
    folder: Path
    """Scratch of this server alone."""
    workers: int = WORKERS
    batch: int = BATCH
    variables: dict[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        """`os.environ`, with this in it. A worker computes on one thread; servers reach no other host."""
        words: dict[str, Any] = {
            "bundle": str(self.bundle),
            "precision": self.precision,
            "port": self.port,
            "folder": str(self.folder),
            "workers": self.workers,
            "batch": self.batch,
        }
        single = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        return os.environ | single | self.variables | {_VARIABLE: json.dumps(words)}

    @classmethod
    def of_environment(cls) -> Self:
        """In a server's process: what it was given."""
        words = json.loads(os.environ[_VARIABLE])
        return cls(
            Path(words["bundle"]),
            words["precision"],
            words["port"],
            Path(words["folder"]),
            words["workers"],
            words["batch"],
        )

    def enter_worker(self) -> None:
        """Note that the calling process scores images: what it uses is not the front's."""
        self._notes.mkdir(exist_ok=True)
        (self._notes / str(os.getpid())).touch()

    def entered(self) -> set[int]:
        """Processes that have said so."""
        return {int(path.name) for path in self._notes.iterdir()} if self._notes.exists() else set()

    @property
    def _notes(self) -> Path:
        return self.folder / "workers"

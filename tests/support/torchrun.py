"""Two processes that train together, started as a user starts them."""

import os
import subprocess
import sys
from pathlib import Path

COMMAND = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
TESTS = Path(__file__).parents[1]


def torchrun(folder: Path, program: str, *arguments: object, near: Path = TESTS, timeout: int = 270) -> None:
    """Write `program` to `folder` and run it to its end, twice at once; it can import what is in `near`."""
    script = folder / "together.py"
    script.write_text(program)
    paths = os.pathsep.join(map(str, (near, TESTS)))
    done = subprocess.run(
        [*COMMAND, script, *map(str, arguments)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, done.stderr

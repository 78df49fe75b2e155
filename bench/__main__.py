"""Run benchmarks one after the other, and keep what each prints: `make bench`.

    python -m assay.bench [NAME...] [--folder bench/results]

Close other programs first: ratios survive a busy machine, figures do not.
"""

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

NAMES = (
    "decode",
    "kernels_view",
    "view_forms",
    "purify",
    "fusing",
    "apn",
    "lnp",
    "scan",
    "grpc",
    "kafka",
    "kafka_long",
    "ingest",
    "fronts",
    "corruption",
    "memory",
    "gpu_worker",
    "screen",
    "start",
)


def main(
    names: Annotated[list[str] | None, typer.Argument(help=f"Of {', '.join(NAMES)}; by default all.")] = None,
    folder: Annotated[Path, typer.Option(help="Where tables go, NAME.md each.")] = Path("bench/results"),
) -> None:
    """Measure; each table says when, on what and with which versions it was made."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names or NAMES:
        if name not in NAMES:
            raise typer.BadParameter(f"{name}: there are {', '.join(NAMES)}")
        print(f"== {name}", file=sys.stderr)
        done = subprocess.run(
            [sys.executable, "-P", "-m", f"assay.bench.{name}"], stdout=subprocess.PIPE, text=True, check=True
        )
        print(done.stdout)
        (folder / f"{name}.md").write_text(done.stdout)


if __name__ == "__main__":
    typer.run(main)

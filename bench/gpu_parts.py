"""The parts of `make gpu`: each a process of its own with a time limit, whose output is kept as it comes.

    python -m assay.bench.gpu_parts [--seconds 540] [--only NAME ...] [--folder bench/results/gpu]

What a part has written is in FOLDER/NAME.md, however it ends, and the next part starts. SUMMARY.md says how
each ended. Nothing is installed or fetched.
"""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from assay.engine.report.markdown import table

LONGEST = 230
"""Seconds that a part may take at most."""
_BENCH = ("-P", "-m", "assay.bench.gpu")
_TESTS = ("-m", "pytest", "-q", "--tb=short", "-p", "no:cacheprovider", "-m", "gpu")


@dataclass(frozen=True)
class Part:
    """What Python runs, and its share of all seconds."""

    arguments: Sequence[str]
    share: float


PARTS: Mapping[str, Part] = {
    "kernels": Part((*_BENCH, "--part", "kernels"), 0.08),
    "test-kernels": Part(
        (
            *_TESTS,
            "tests/gpu/test_views_and_crops.py",
            "tests/gpu/test_spectra.py",
            "tests/gpu/test_measure.py",
        ),
        0.11,
    ),
    "decoders": Part((*_BENCH, "--part", "decoders"), 0.09),
    "test-decoders": Part((*_TESTS, "tests/gpu/test_decoders.py"), 0.09),
    "path": Part((*_BENCH, "--part", "path", "--images", "1024"), 0.3),
    "train": Part(("-P", "-m", "assay.bench.gpu_train"), 0.1),
    "test-executors": Part((*_TESTS, "tests/gpu/test_executors.py"), 0.13),
    "test-device-path": Part((*_TESTS, "tests/gpu/test_device_path.py"), 0.08),
}
"""The most telling first, within what measures and what tests."""


@dataclass(frozen=True)
class Ended:
    """How a part ended, in words, and after how many seconds."""

    name: str
    how: str
    seconds: float


def run_part(name: str, part: Part, seconds: float, folder: Path) -> Ended:
    """Runs a part for at most `seconds`; everything that it says is in FOLDER/NAME.md."""
    start = time.monotonic()
    with (folder / f"{name}.md").open("wb") as report:
        process = subprocess.Popen(
            [sys.executable, *part.arguments],
            stdout=report,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            start_new_session=True,
        )
        try:
            code = process.wait(seconds)
            how = "done" if code == 0 else f"ended with code {code}"
        except subprocess.TimeoutExpired:
            how = f"stopped after {seconds:.0f} s"
        finally:
            _stop(process)
    return Ended(name, how, time.monotonic() - start)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """Ends the part and the workers that it has started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, 9)
    process.wait()


def summary(ended: Sequence[Ended], folder: Path) -> str:
    """A row for each part, with the last line that it said."""
    rows = [["part", "how it ended", "s", "its last line"]]
    for one in ended:
        said = (folder / f"{one.name}.md").read_text("utf-8", "replace").split("\n")
        last = next((line.strip() for line in reversed(said) if line.strip()), "")
        rows.append([one.name, one.how, f"{one.seconds:.0f}", last.replace("|", "/")[:100]])
    return table(rows)


def main(
    seconds: Annotated[int, typer.Option(help="For all parts together.")] = 540,
    only: Annotated[list[str] | None, typer.Option(help="Parts to run; repeat for more.")] = None,
    folder: Annotated[Path, typer.Option(help="Where results go.")] = Path("bench/results/gpu"),
) -> None:
    """Run the parts one after the other; code 1 where one did not end by itself with success."""
    if unknown := set(only or ()) - PARTS.keys():
        raise typer.BadParameter(f"there is no part {sorted(unknown)[0]!r}: {', '.join(PARTS)}")
    folder.mkdir(parents=True, exist_ok=True)
    chosen = {name: part for name, part in PARTS.items() if not only or name in only}
    whole = sum(part.share for part in chosen.values())
    ended: list[Ended] = []
    for name, part in chosen.items():
        ended.append(run_part(name, part, min(LONGEST, seconds * part.share / whole), folder))
        said = summary(ended, folder)
        (folder / "SUMMARY.md").write_text(f"{said}\n", "utf-8")
        print(f"{name}: {ended[-1].how}, {ended[-1].seconds:.0f} s", flush=True)
    print(said)
    if any(one.how != "done" for one in ended):
        raise SystemExit(1)


if __name__ == "__main__":
    typer.run(main)

"""What the OpenVINO executor needs of a CPU, and what it leaves behind in its process."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from assay.engine.bundle import find
from assay.engine.executors import openvino
from assay.engine.executors.choose import choose
from assay.engine.settings import Settings

SIGNALLED = """
import os, signal
from assay.engine.bundle import find
from assay.engine.executors.openvino import OpenVinoGraph

bundle = find("fusing-mobilenet")
graphs = []
for _ in range(2):
    for name in ("fuse", "backbone"):
        graph = bundle.manifest.graphs[name]
        graphs.append(OpenVinoGraph(bundle.path / graph.file, graph, "fp32"))
while graphs:
    del graphs[0]  # the oldest first
signal.signal(signal.SIGUSR1, lambda *_: print("handled"))
os.kill(os.getpid(), signal.SIGUSR1)
"""


def test_signals_are_handled_after_graphs_are_freed_in_any_order() -> None:
    command = [sys.executable, "-P", "-c", SIGNALLED]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "handled\n", "")


@pytest.mark.parametrize(
    ("flags", "exact"),
    [
        ("flags\t: fpu avx2 avx512f avx512_vnni amx_int8", True),
        ("flags\t: fpu avx2 avx_vnni", True),
        ("Features\t: fp asimd asimddp", True),
        ("flags\t: fpu avx2 avx512f avx512bw", False),
        (None, False),
    ],
)
def test_int8_is_taken_only_where_it_is_exact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: str | None, exact: bool
) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    if flags is not None:
        cpuinfo.write_text(f"processor\t: 0\n{flags}\n")
    assert openvino.computes_int8(cpuinfo) is exact
    monkeypatch.setattr(openvino, "computes_int8", lambda: exact)
    bundle = find("plain-mobilenet")
    precision = choose(Settings()).precision(bundle, "classify", Settings())
    assert precision == ("int8" if exact else "fp32")


def test_batches_that_were_not_made_ready_are_when_they_come() -> None:
    bundle = find("fusing-mobilenet")
    spec = bundle.manifest.graphs["fuse"]
    eager, late = (
        openvino.OpenVinoGraph(bundle.path / spec.file, spec, "fp32", most=most) for most in (4, 1)
    )
    assert (list(eager._requests), list(late._requests)) == ([4, 2, 1], [1])
    shapes = [
        [7, *(size if isinstance(size, int) else 1 for size in shape[1:])] for shape in spec.inputs.values()
    ]
    arrays = [np.random.default_rng(1).random(shape, np.float32) for shape in shapes]
    for count in range(1, 8):
        ours, theirs = (graph(*[array[:count] for array in arrays]) for graph in (eager, late))
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(one, other)

"""What the OpenVINO executor leaves behind in its process."""

import subprocess
import sys

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

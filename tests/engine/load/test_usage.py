"""Processor time and memory by process, and who listens where."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from assay.engine.load.meter import Meter
from assay.engine.load.usage import Processes, below, cpu_seconds, listeners, parent, processes

TREE = """
import subprocess, sys
command = [sys.executable, "-c", "import sys; sys.stdin.read()", *sys.argv[1:]]
child = subprocess.Popen(command, stdin=subprocess.PIPE)
print(child.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def tree() -> Any:
    """A process that calls itself a server, and its child, which calls itself a worker."""
    command = [sys.executable, "-c", TREE, "assay.engine.worker"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        yield SimpleNamespace(pid=process.pid, child=int(process.stdout.readline()))


def test_roles_by_what_processes_are(tree: Any) -> None:
    assert below(tree.pid) == [tree.child]
    assert parent(tree.child) == tree.pid
    found = processes([tree.child])
    assert found.roles == {os.getpid(): "client", tree.child: "workers"}
    assert processes([os.getpid()], client=False).roles[os.getpid()] == "front"
    assert processes([os.getpid()], client=False).roles[tree.child] == "workers"


def test_processor_time_and_memory_are_those_of_the_system() -> None:
    own = processes([])
    before = own.cpu()["client"]
    while os.times().user + os.times().system < before + 0.05:
        sum(range(10_000))
    assert own.cpu()["client"] >= before
    assert cpu_seconds(os.getpid()) == pytest.approx(sum(os.times()[:2]), abs=0.5)
    assert 10 << 20 < own.peak_memory()["client"] < 1 << 40


def test_processes_that_are_gone_have_used_nothing_more() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    gone = Processes({process.pid: "workers"})
    assert not gone.cpu()
    assert not gone.peak_memory()
    assert parent(process.pid) == 0


def test_who_listens_on_a_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert os.getpid() in listeners(port)
    assert os.getpid() not in listeners(port)


def test_energy_is_that_of_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = {"0": 5.0, "1": 7.0}
    stub = SimpleNamespace(
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByIndex=str,
        nvmlDeviceGetTotalEnergyConsumption=lambda gpu: 1000 * drawn[gpu],
    )
    monkeypatch.setitem(sys.modules, "pynvml", stub)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    meter = Meter(Processes({}), devices=(0, 1))
    meter(True)
    drawn.update({"0": 6.0, "1": 10.0})
    meter(False)
    assert meter.joules == 4.0
    meter.reset()
    meter(False)  # a round that ended before its warm-up did
    assert (meter.joules, meter.span, dict(meter.cpu)) == (None, None, {})


def test_there_is_no_energy_where_no_gpu_says_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    meter = Meter(Processes({}), devices=(0,))
    meter(True)
    meter(False)
    assert meter.joules is None

"""An engine in a child made by fork(): an error that says so, no hang, an unharmed parent."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.bundles import plain_bundle

SCRIPT = """
import io, os, signal, sys
from PIL import Image
from assay.engine import Engine
from assay.engine.item import Item
from assay.engine.outcome import Verdict
from assay.engine.settings import Settings

workers = int(sys.argv[2])
out = io.BytesIO()
Image.new("RGB", (64, 64), (90, 90, 90)).save(out, "JPEG")
data = out.getvalue()

def tell(name, call):
    try:
        call()
    except RuntimeError as error:
        told = "make an Engine of its own in the child" in str(error)
        print("told" if told else error, name, flush=True)
    else:
        print("passed", name, flush=True)

def child(own):
    signal.alarm(60)  # a hang ends as a signal
    tell("score", lambda: engine.score(data))
    tell("score of none", lambda: engine.score([]))
    tell("submit", lambda: core.submit([Item("1", data)]))
    tell("offer", lambda: core.offer([Item("1", data)]))
    tell("pids", core.pids)
    tell("serving", lambda: core.serving)
    tell("on_fault", lambda: core.on_fault(print))
    tell("stop", lambda: core.stop(0.0))
    tell("close", engine.close)
    if own:
        with Engine(sys.argv[1], settings=Settings(workers=workers)) as engine_of_its_own:
            print("own", type(engine_of_its_own.score(data)).__name__, flush=True)

engine = Engine(sys.argv[1], settings=Settings(workers=workers))
core = engine.core
before = core.pids()
assert isinstance(engine.score(data), Verdict)
pid = os.fork()
if pid == 0:
    child(False)
    sys.exit(0)  # through all that Python does at its end
print("child", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
if workers:
    import multiprocessing
    process = multiprocessing.get_context("fork").Process(target=child, args=(True,))
    process.start()
    process.join()
    print("child", process.exitcode, flush=True)
assert core.pids() == before
assert isinstance(engine.score(data), Verdict)
engine.close()
print("parent")
"""
CALLS = ["score", "score of none", "submit", "offer", "pids", "serving", "on_fault", "stop", "close"]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_child_is_told_and_the_parent_goes_on(tmp_path: Path, workers: int) -> None:
    folder = plain_bundle(tmp_path / "bundle")
    answer = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder), str(workers)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    told = [f"told {name}" for name in CALLS]
    expected = [*told, "child 0"]
    if workers:  # one of multiprocessing, which makes an engine of its own
        expected += [*told, "own Verdict", "child 0"]
    assert answer.stdout.splitlines() == [*expected, "parent"], answer.stderr
    assert answer.returncode == 0


ORPHAN = """
import os, signal, sys, time
from assay.engine import Engine
from assay.engine.settings import Settings

engine = Engine(sys.argv[1], settings=Settings(workers=1))
[worker] = engine.core.pids()
if os.fork() == 0:
    os.close(1)
    time.sleep(60)
    os._exit(0)
print(worker, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_worker_ends_with_its_front_though_a_child_of_it_lives(tmp_path: Path) -> None:
    folder = plain_bundle(tmp_path / "bundle")
    with subprocess.Popen(
        [sys.executable, "-c", ORPHAN, str(folder)], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout
        worker = int(process.stdout.readline())
        process.wait()
        group = process.pid
    try:
        for _ in range(3000):
            state = state_of(worker)
            if state in (None, "Z"):
                break
            time.sleep(0.01)
        assert state in (None, "Z")
    finally:
        os.killpg(group, signal.SIGKILL)


def state_of(pid: int) -> str | None:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return None

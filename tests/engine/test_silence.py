"""Nothing that Assay runs contacts a host that it was not given, or leaves a file in the home folder."""

import importlib.util
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.bundles import plain_bundle
from support.images import encode, photograph
from support.outside import Outside

ASSAY = Path(sys.executable).with_name("assay")
LOOPBACK = {"127.0.0.1", "::1", "localhost"}


@pytest.fixture
def outside(tmp_path: Path) -> Outside:
    return Outside.below(tmp_path)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(8):
        (folder / f"{number}.png").write_bytes(encode(np.roll(photograph(160, 128), number, axis=1)))
    return folder


def test_what_is_asked_is_written_down(outside: Outside) -> None:
    command = "import socket; socket.create_connection(('127.0.0.1', 1))"
    outside.run(sys.executable, "-c", command)
    assert outside.asked() == {"127.0.0.1"}
    outside.run(sys.executable, "-c", "import pathlib; (pathlib.Path.home() / 'x').touch()")
    assert (outside.asked(), outside.left()) == (set(), ["x"])


def test_a_scan_asks_nobody(outside: Outside, photos: Path) -> None:
    done = outside.run(ASSAY, "scan", photos, "--workers", 1)
    assert done.returncode == 0, done.stderr
    assert (outside.asked(), outside.left()) == (set(), [])


def test_an_engine_in_python_asks_nobody(outside: Outside) -> None:
    command = (
        "from assay.engine import Engine, Settings\n"
        "with Engine(settings=Settings(workers=0)) as engine: print(engine.score(b'x'))\n"
        "import openvino, openvino.tools.ovc\n"
    )
    done = outside.run(sys.executable, "-c", command)
    assert done.returncode == 0, done.stderr
    assert (outside.asked(), outside.left()) == (set(), [])


def test_a_server_asks_the_hosts_that_it_was_given_alone(outside: Outside, tmp_path: Path) -> None:
    bundle = plain_bundle(tmp_path / "bundle")
    options = ["--bundle", bundle, "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--workers", "1"]
    with subprocess.Popen(
        [ASSAY, "serve", *map(str, options)], env=outside.environment, stderr=subprocess.PIPE, text=True
    ) as serving:
        assert serving.stderr
        lines = []
        for line in serving.stderr:  # to its end, which is the server's
            lines.append(line)
            if "gRPC on" in line:  # the last door that opens
                serving.send_signal(signal.SIGTERM)
    assert serving.returncode == 0, lines
    assert outside.asked() <= LOOPBACK
    kafka = ["--kafka", "127.0.0.1:1", "--in", "a", "--out", "b", "--rejects", "c", "--group", "d"]
    done = outside.run(ASSAY, "serve", "--bundle", bundle, "--workers", 0, *kafka)
    assert done.returncode == 2, done.stderr
    assert (outside.asked(), outside.left()) == ({"127.0.0.1"}, [])


def test_quantising_asks_nobody(outside: Outside, photos: Path) -> None:
    if importlib.util.find_spec("nncf") is None:
        pytest.skip("nncf is not installed")
    cache = outside.folder / "cache"
    command = [
        "compile",
        "plain-mobilenet",
        "--target",
        "openvino",
        "--precision",
        "int8",
        "--images",
        photos,
    ]
    done = outside.run(ASSAY, *command, "--out", cache)
    assert done.returncode == 0, done.stderr
    assert list(cache.rglob("*.onnx"))
    assert (outside.asked(), outside.left()) == (set(), [])

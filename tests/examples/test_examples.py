"""The examples, run as their first lines say."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from support import images
from support.bundles import plain_bundle
from support.kafka import Topics
from support.serve import ASSAY, served
from support.server import Server

from assay.bench.broker import Broker

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(*command: object) -> str:
    """What a command prints; it must end well and say nothing of an exception."""
    arguments = [sys.executable, *map(str, command)]
    done = subprocess.run(arguments, check=False, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plain_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three photographs, one below another folder, and a text."""
    folder = tmp_path / "photos"
    (folder / "below").mkdir(parents=True)
    for number, name in enumerate(("a.jpg", "b.jpg", "below/c.jpg")):
        (folder / name).write_bytes(images.encode(images.photograph(256, 320, seed=number)))
    (folder / "notes.txt").write_text("not an image")
    return folder


def test_each_says_how_to_run_it_and_is_listed() -> None:
    listed = (EXAMPLES / "README.md").read_text("utf-8")
    scripts = list(EXAMPLES.glob("*.py"))
    assert scripts
    for script in scripts:
        text = ast.get_docstring(ast.parse(script.read_text("utf-8")))
        assert text
        assert f"python examples/{script.name}" in text
        assert f"[{script.name}]({script.name})" in listed


def test_a_folder_is_scored_on_a_server(bundle: Path, folder: Path) -> None:
    options = ("--grpc", "127.0.0.1:0", "--bundle", str(bundle), "--workers", "1")
    with Server(ASSAY, "serve", *options) as server:
        lines = run(EXAMPLES / "grpc_client.py", f"127.0.0.1:{server.grpc}", folder).splitlines()
    assert len(lines) == 4
    assert sorted(line.split(" ")[-1] for line in lines if line.endswith(".jpg")) == sorted(
        map(str, folder.rglob("*.jpg"))
    )
    (rejected,) = [line for line in lines if line.startswith("no verdict")]
    assert rejected.startswith(f"no verdict (unsupported_format) {folder / 'notes.txt'}: ")


def test_images_go_through_kafka(broker: Broker, bundle: Path, folder: Path) -> None:
    topics = Topics(broker).create()
    sent = run(EXAMPLES / "kafka_images.py", broker.bootstrap, topics.input, folder)
    assert sent == f"4 images sent to {topics.input}\n"
    with served(topics, bundle):
        read = run(EXAMPLES / "kafka_verdicts.py", broker.bootstrap, topics.output, topics.rejects, 4)
    outcomes = dict(line.split(": ", 1) for line in read.splitlines())
    assert outcomes.keys() == {str(path) for path in folder.rglob("*") if path.is_file()}
    assert outcomes[str(folder / "notes.txt")].startswith("no verdict (unsupported_format): ")


def test_your_own_classifier_scans_files(tmp_path: Path, folder: Path) -> None:
    mine = tmp_path / "mine"
    assert f"--bundle {mine}" in run(EXAMPLES / "own_classifier.py", mine)
    (folder / "flat.png").write_bytes(images.encode(images.photograph(256, 320) // 255 * 255, "PNG"))
    lines = run(ASSAY, "scan", folder, "--bundle", mine, "--workers", 0).splitlines()
    labels = {Path(line.split()[-1]).name: line.split()[0] for line in lines if "notes" not in line}
    assert labels == {
        "a.jpg": "authentic",
        "b.jpg": "authentic",
        "c.jpg": "authentic",
        "flat.png": "synthetic",
    }


@pytest.mark.full
def test_a_detector_is_trained_exported_and_scans_files(tmp_path: Path) -> None:
    run(EXAMPLES / "train.py", tmp_path, "--images", 24, "--epochs", 1)
    assert (tmp_path / "report.html").is_file()
    scanned = run(ASSAY, "scan", tmp_path / "data" / "val", "--bundle", tmp_path / "bundle", "--workers", 0)
    labels = {line.split()[0] for line in scanned.splitlines()}
    assert len(scanned.splitlines()) == 40
    assert labels <= {"authentic", "synthetic", "uncertain"}

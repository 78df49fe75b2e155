"""A kind, a decoder, an executor and a door more: each in one place, and the rest of Assay takes it."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, Literal

import pytest
from pydantic import BaseModel
from support import images
from support.bundles import plain_bundle

from assay.engine import detectors
from assay.engine.bundle import Manifest
from assay.engine.commands.group import commands
from assay.engine.detectors import Detection, Graph, Image, Stopwatch
from assay.engine.engine import Engine
from assay.engine.outcome import Verdict
from assay.engine.settings import Settings
from assay.trainers import kinds
from assay.trainers.cli.kind import command
from assay.trainers.fit.run import Files, RunConfig
from assay.trainers.fit.settings import Epochs, FitSettings

PHOTO = images.encode(images.photograph())


def verdict(bundle: Path, data: bytes = PHOTO) -> Verdict:
    with Engine(bundle, settings=Settings(workers=0)) as engine:
        outcome = engine.score(data)
    assert isinstance(outcome, Verdict)
    return outcome


class ToyParameters(BaseModel):
    offset: float = 0.0


def detect_green(
    images: Sequence[Image],
    graphs: Mapping[str, Graph],
    manifest: Manifest,
    parameters: ToyParameters,
    watch: Stopwatch,
) -> list[Detection]:
    """Green images are synthetic; no graph is asked."""
    found = [float(image[..., 1].mean()) + parameters.offset for image in images]
    return [Detection(logit, {"looked_at": "green"}) for logit in found]


def test_a_kind_of_detector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = detectors.Kind(detect_green, frozenset({"classify"}), ToyParameters, lambda manifest: 0)
    monkeypatch.setitem(detectors.KINDS, "green", kind)
    outcome = verdict(plain_bundle(tmp_path, kind="green", parameters={"offset": -50}))
    assert 0 < outcome.scores["green"] < 255 - 50
    assert outcome.evidence == {"looked_at": "green"}


def assay(folder: Path, line: str, toy: str, *arguments: str, **variables: str) -> tuple[str, str]:
    """Both outputs of `assay` with one file more, `toy.py`, and one `line` more in the registry."""
    (folder / "toy.py").write_text(toy)
    (folder / "image.png").write_bytes(PHOTO)
    program = (
        f"from assay.engine.registry import *\n{line}\nfrom assay.engine.commands.app import main\nmain()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=folder,
        env={**os.environ, "COLUMNS": "200", **variables},
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    assert "Traceback" not in ended.stderr, ended.stderr
    return ended.stdout, ended.stderr


def scan(bundle: Path) -> list[str]:
    return ["scan", "image.png", "--json", "--workers", "0", "--bundle", str(bundle)]


DECODER = """
import numpy as np

class Grey:
    def decode(self, batch):
        return [np.full((header.height, header.width, 3), 191, np.uint8) for _, header in batch]

def decoder(gpu, threads):
    return Grey()
"""


def test_a_decoder(tmp_path: Path) -> None:
    line, command = 'DECODERS["grey"] = "toy:decoder"', scan(plain_bundle(tmp_path / "bundle"))
    out, _ = assay(tmp_path, line, DECODER, *command, ASSAY_DECODER="grey")
    assert json.loads(out)["scores"]["plain"] == pytest.approx(8 * (191 / 127.5 - 1), abs=1e-3)
    _, said = assay(tmp_path, line, DECODER, *command, ASSAY_DECODER="gray")
    assert "'turbo', 'dali', 'nvimgcodec' or 'grey', not 'gray'" in said


EXECUTOR = """
import numpy as np
from assay.engine.executors.runtime import Runtime

class Constant:
    def __init__(self, file, spec, precision):
        assert precision == "fp32"

    def __call__(self, *arrays):
        return (np.full((len(arrays[0]), 1), 1.25, np.float32),)

def runtime(gpu, batch):
    return Runtime("toy", Constant)
"""


def test_an_executor(tmp_path: Path) -> None:
    line, command = 'EXECUTORS["toy"] = "toy:runtime"', scan(plain_bundle(tmp_path / "bundle"))
    out, _ = assay(tmp_path, line, EXECUTOR, *command, "--executor", "toy")
    assert json.loads(out)["scores"] == {"plain": 1.25}
    _, said = assay(tmp_path, line, EXECUTOR, *command, "--executor", "toys")
    assert "'torch_export', 'toy'" in said


DOOR = """
import os, signal
from pydantic_settings import BaseSettings, SettingsConfigDict
from assay.engine.doors.door import Door, DoorKind
from assay.engine.item import Item, Priority

class ToySettings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="ASSAY_TOY_", extra="forbid")
    image: str
    times: int = 1

class ToyDoor(Door):
    # Lets an image in when it starts, and asks for the end when it is answered.

    def __init__(self, core, settings):
        self.core, self.settings = core, settings

    def start(self):
        print("start")
        data = open(self.settings.image, "rb").read()
        items = [Item(str(n), data, priority=Priority.INTERACTIVE) for n in range(self.settings.times)]
        for future in self.core.submit(items):
            print(future.result().id)
        os.kill(os.getpid(), signal.SIGTERM)

    def not_serving(self):
        print("not serving")

    def drain(self, timeout):
        print("drain")

    def stop(self):
        print("stop")

KIND = DoorKind(ToySettings, ToyDoor, "FILE", {"image": ("--toy", "An image."), "times": ("--times", "")})
"""


def test_a_door(tmp_path: Path) -> None:
    line, bundle = 'DOORS["toy"] = "toy:KIND"', str(plain_bundle(tmp_path / "bundle"))
    command = ["serve", "--workers", "0", "--bundle", bundle]
    called = ["0", "1", "not serving", "drain", "stop"]
    out, _ = assay(tmp_path, line, DOOR, *command, "--toy", "image.png", "--times", "2")
    assert out.splitlines() == ["start", *called]
    (tmp_path / "assay.toml").write_text("[toy]\nimage = 'image.png'\ntimes = 2")
    out, _ = assay(tmp_path, line, DOOR, *command, "--config", "assay.toml")
    assert out.splitlines() == ["start", *called]
    _, said = assay(tmp_path, line, DOOR, *command, "--toy", "image.png", ASSAY_TOY_TIMES="two")
    assert "setting 'toy.times' (environment variable ASSAY_TOY_TIMES)" in said
    _, said = assay(tmp_path, line, DOOR, *command)
    assert "nothing to serve: give --grpc HOST:PORT, --kafka BROKERS, --toy FILE, or" in said
    _, said = assay(tmp_path, line, DOOR, *command, "--times", "2")
    assert "--times belongs to --toy FILE" in said


class ToyFit(FitSettings):
    epochs: Epochs = 3
    """At most this many epochs."""


class ToyRun(RunConfig):
    """Train `toy`, which learns nothing."""

    kind: Literal["toy"] = "toy"
    flavour: Literal["sweet", "sour"] = "sweet"
    """Taste of the network."""
    fit: ToyFit = ToyFit()


def make_fit(run: ToyRun, folder: Path, weights: Path | None, workers: int, device: str) -> Any:
    """What `assay train` runs, without a network."""
    done = SimpleNamespace(epoch=run.fit.epochs, best=0.5, best_epoch=1)
    return SimpleNamespace(
        run=lambda console: done, rank=SimpleNamespace(first=True), settings=run.fit, unreadable=set()
    )


def test_a_kind_of_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = ModuleType("toy_kind")
    monkeypatch.setattr(module, "make_fit", make_fit, raising=False)
    monkeypatch.setitem(sys.modules, "toy_kind", module)
    monkeypatch.setitem(kinds.KINDS, "toy", kinds.Kind(ToyRun, Files, "toy_kind"))
    train = commands("Train.")
    for name, kind in kinds.KINDS.items():
        train.command(name)(command(name, kind))

    options = ["--data", str(tmp_path), "--out", str(tmp_path / "run"), "--flavour", "sour", "--epochs", "7"]
    train(args=["toy", *options], standalone_mode=False)
    assert "7 epochs; best accuracy 0.5000" in capsys.readouterr().err
    run = ToyRun.read(tmp_path / "run")
    assert (run.flavour, run.fit.epochs, run.batch) == ("sour", 7, 64)

    train(args=["toy", "--help"], standalone_mode=False)
    printed = capsys.readouterr().out
    assert "--flavour" in printed
    assert "Taste of" in printed
    assert "learns nothing" in printed

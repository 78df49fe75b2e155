"""A kind, a decoder, an executor and a door more: each in one place, and the rest of Assay takes it."""

import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, Literal

import numpy as np
import pytest
from pydantic import BaseModel
from support import images
from support.bundles import plain_bundle

from assay.engine import detectors
from assay.engine.bundle import Bundle, GraphSpec, Manifest
from assay.engine.commands.group import commands
from assay.engine.core import Core
from assay.engine.decode import Decoded, Encoded
from assay.engine.detectors import Detection, Graph, Image, Stopwatch
from assay.engine.engine import Engine
from assay.engine.errors import AssayError
from assay.engine.executors.choose import Runtime
from assay.engine.item import Item, Priority
from assay.engine.outcome import Outcome, Verdict
from assay.engine.server import serve
from assay.engine.settings import Settings
from assay.engine.worker import scorer
from assay.kernels.arrays import Array
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


class Grey:
    """Decodes everything to grey of the header's size."""

    def decode(self, batch: Sequence[Encoded]) -> list[Decoded]:
        return [np.full((header.height, header.width, 3), 191, np.uint8) for _, header in batch]


def test_a_decoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scorer, "make_decoder", lambda name, gpu, threads: Grey())
    assert verdict(plain_bundle(tmp_path)).scores["plain"] == pytest.approx(8 * (191 / 127.5 - 1), abs=1e-3)


class Constant:
    """Answers every image with its own logit."""

    def __init__(self, file: Path, spec: GraphSpec, precision: str) -> None:
        self.precision = precision

    def __call__(self, *arrays: Array) -> tuple[Array, ...]:
        assert self.precision == "fp32"
        return (np.full((len(arrays[0]), 1), 1.25, np.float32),)


def test_an_executor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scorer, "choose", lambda bundle, settings: Runtime("toy", Constant))
    assert verdict(plain_bundle(tmp_path)).scores == {"plain": 1.25}


class ToyDoor:
    """Lets one image in when it starts, and asks for the end when it is answered."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.called: list[str] = []
        self.outcomes: list[Outcome] = []

    def on_failure(self, callback: Callable[[AssayError], None]) -> None:
        self.called.append("on_failure")

    def start(self) -> None:
        self.called.append("start")
        (future,) = self.core.submit([Item("one", PHOTO, priority=Priority.INTERACTIVE)])
        future.add_done_callback(self._answered)

    def _answered(self, future: Future[Outcome]) -> None:
        self.outcomes.append(future.result())
        os.kill(os.getpid(), signal.SIGTERM)

    def drain(self, timeout: float) -> None:
        self.called.append("drain")

    def stop(self) -> None:
        self.called.append("stop")


@pytest.fixture
def inline(tmp_path: Path) -> Iterator[Core]:
    core = Core([Bundle.load(plain_bundle(tmp_path))], Settings(workers=0))
    yield core
    core.stop()


def test_a_door(inline: Core) -> None:
    door = ToyDoor(inline)
    serve(inline, kafka=[door])
    assert [outcome.id for outcome in door.outcomes] == ["one"]
    assert door.called == ["on_failure", "start", "drain", "stop"]


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

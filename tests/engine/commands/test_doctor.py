"""`assay doctor`: it says of each bundle what the engine then does, and why where nothing runs."""

import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from support.bundles import plain_bundle
from support.command import assay, exit_code

from assay.engine import doctor
from assay.engine.bundle import Bundle, find, shipped
from assay.engine.doctor import Findings, Plan, plan
from assay.engine.executors.choose import choose
from assay.engine.executors.runtime import Runtime
from assay.engine.settings import Settings

SCHEMA = json.loads((files("assay.engine") / "doctor.schema.json").read_text("utf-8"))


def test_json_names_every_shipped_bundle_with_what_the_engine_chooses() -> None:
    found = json.loads(assay("doctor", "--json").stdout)
    jsonschema.validate(found, SCHEMA)
    assert found["able"]
    assert [one["bundle"] for one in found["bundles"]] == [path.name for path in shipped()]
    for one in found["bundles"]:
        bundle = find(one["bundle"])
        runtime = choose(Settings())
        assert one["problem"] is None
        assert one["executor"]["name"] == runtime.title
        chosen = {graph: choice["name"] for graph, choice in one["precisions"].items()}
        assert chosen == {graph: runtime.precision(bundle, graph, Settings()) for graph in chosen}
        assert list(chosen) == list(bundle.manifest.graphs)


def test_text_says_the_same_and_how_to_get_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "installed", lambda module: module != "pyarrow")
    said = assay("doctor", "--precision", "fp32").stdout
    assert "assay scan --parquet cannot write: pip install 'assay[parquet]'" in said
    assert "setting `precision` is fp32" in said
    assert "libjpeg-turbo" in said


def test_the_commands_name_extras_that_there_are() -> None:
    text = (Path(__file__).parents[3] / "pyproject.toml").read_text("utf-8")
    for _, _, command, _ in doctor.OPTIONAL:
        for extras in re.findall(r"assay\[([a-z0-9,]+)\]", command):
            for extra in extras.split(","):
                assert f"\n{extra} = [" in text, extra


@pytest.mark.parametrize(
    "arguments",
    [("--devices", "0"), ("--executor", "tensorrt"), ("--precision", "fp16")],
    ids=lambda words: words[0],
)
def test_where_nothing_runs_the_code_is_1_and_each_bundle_says_why(
    arguments: tuple[str, str], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "gpu_count", lambda: -1)
    monkeypatch.setattr("assay.engine.worker.gpu.gpu_count", lambda: -1)
    assert exit_code("doctor", "--json", *arguments) == 1
    found = json.loads(capfd.readouterr().out)
    jsonschema.validate(found, SCHEMA)
    assert not found["able"]
    assert all(len(one["problem"]) > 20 for one in found["bundles"])
    assert exit_code("doctor", *arguments) == 1
    assert "No bundle would run here." in capfd.readouterr().out


def test_a_wrong_setting_is_one_sentence(capfd: pytest.CaptureFixture[str]) -> None:
    assert exit_code("doctor", "--devices", "first") == 2
    assert "GPUs are named by their numbers" in capfd.readouterr().err


def test_one_broken_bundle_does_not_hide_the_others(tmp_path: Path) -> None:
    folder = plain_bundle(tmp_path)
    fine = plan("fine", lambda: Bundle.load(folder), Settings())
    assert fine.problem is None
    (folder / "classify.onnx").write_bytes(b"x")
    broken = plan("broken", lambda: Bundle.load(folder), Settings())
    assert "SHA-256 differs" in (broken.problem or "")
    assert Findings({}, {}, [broken, fine], []).able
    assert not Findings({}, {}, [broken], []).able


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (ModuleNotFoundError("no", name="openvino"), "openvino cannot be loaded; install Assay again"),
        (RuntimeError("the driver is old"), "RuntimeError: the driver is old"),
    ],
)
def test_what_a_library_raises_is_the_problem_of_the_bundle(error: Exception, says: str) -> None:
    def load() -> Bundle:
        raise error

    assert says in (plan("a", load, Settings()).problem or "")


@pytest.mark.parametrize(
    ("fast", "offered", "name", "why"),
    [
        ((), {"fp32": 0.0}, "fp32", "nothing faster"),
        (("bf16",), {"fp32": 0.0}, "fp32", "bf16, which the bundle does not list"),
        ((), {"fp32": 0.0, "int8": 0.1}, "fp32", "int8, which this device does not compute"),
        (("int8", "bf16"), {"fp32": 0.0, "bf16": 0.25}, "bf16", "at most 0.25"),
    ],
)
def test_the_reason_of_a_precision(
    fast: tuple[str, ...], offered: dict[str, float], name: str, why: str, tmp_path: Path
) -> None:
    bundle = Bundle.load(plain_bundle(tmp_path))
    graph = bundle.manifest.graphs["classify"].model_copy(update={"precisions": offered})
    manifest = bundle.manifest.model_copy(update={"graphs": {"classify": graph}})
    runtime = Runtime("a runtime", lambda *_: pytest.fail("nothing is built"), fast)
    choice = doctor._precision(runtime, Bundle(bundle.path, manifest), "classify", Settings())
    assert choice.name == name
    assert why in choice.why


def test_a_gpu_that_is_not_used_is_named_with_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "gpu_count", lambda: 2)
    monkeypatch.setattr(doctor, "installed", lambda module: False)
    found: Any = doctor.examine(Settings(), {})
    assert found.machine["GPUs"] == "2 seen; name them to use them: --devices 0"
    assert {"cupy", "tensorrt"} <= {one.package for one in found.missing}
    assert isinstance(found.bundles[0], Plan)

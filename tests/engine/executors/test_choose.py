"""Which executor a bundle gets; what is installed is pretended."""

import sys
from pathlib import Path
from types import ModuleType

import pytest
from support.bundles import plain_bundle

from assay.engine import bundle as bundle_module
from assay.engine.bundle import Bundle, File
from assay.engine.core import Core
from assay.engine.errors import BundleError, SetupError
from assay.engine.executors import choose as choosing
from assay.engine.executors.choose import choose
from assay.engine.executors.runtime import Runtime
from assay.engine.registry import EXECUTORS
from assay.engine.settings import Settings

GPU = Settings(devices=(0,))


def with_programs(bundle: Bundle) -> Bundle:
    graphs = {
        name: spec.model_copy(update={"program": File(file="classify.pt2", sha256="0")})
        for name, spec in bundle.manifest.graphs.items()
    }
    return Bundle(bundle.path, bundle.manifest.model_copy(update={"graphs": graphs}))


@pytest.fixture
def on_gpu(monkeypatch: pytest.MonkeyPatch) -> dict[str, bool]:
    """A machine with a GPU, and whether a TensorRT runs on it and torch is installed."""
    there = {"tensorrt": False, "torch": True}
    stub = ModuleType("assay.engine.executors.tensorrt.executor")
    stub.runs_here = lambda: there["tensorrt"]  # type: ignore[attr-defined]
    stub.TensorRtGraph = object  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, stub.__name__, stub)
    monkeypatch.setattr(choosing, "find_spec", lambda name: there["torch"])
    for name, title in (("torch_export", "torch"), ("tensorrt", "TensorRT")):
        setattr(stub, name, lambda gpu, batch, title=title: Runtime(title, object, ("fp16", "bf16")))
        monkeypatch.setitem(EXECUTORS, name, f"{stub.__name__}:{name}")
    return there


def test_a_cpu_takes_openvino(bundle: Bundle) -> None:
    assert choose(bundle, Settings()).title.startswith("OpenVINO 20")
    assert choose(with_programs(bundle), Settings(executor="openvino")).title.startswith("OpenVINO")


def test_a_gpu_takes_tensorrt_where_it_runs(bundle: Bundle, on_gpu: dict[str, bool]) -> None:
    on_gpu["tensorrt"] = True
    assert choose(with_programs(bundle), GPU).title == "TensorRT"


def test_else_the_programs_of_a_bundle_that_ships_with_assay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_gpu: dict[str, bool]
) -> None:
    monkeypatch.setattr(bundle_module, "SHIPPED", tmp_path)
    shipped = with_programs(Bundle.load(plain_bundle(tmp_path / "brightness")))
    assert choose(shipped, GPU).title == "torch"
    on_gpu["torch"] = False
    with pytest.raises(SetupError, match="install torch"):
        choose(shipped, GPU)


def test_programs_of_others_are_loaded_only_when_torch_export_is_named(
    bundle: Bundle, on_gpu: dict[str, bool]
) -> None:
    with pytest.raises(SetupError, match="--executor torch_export"):
        choose(with_programs(bundle), GPU)
    assert choose(with_programs(bundle), Settings(devices=(0,), executor="torch_export")).title == "torch"


def test_a_bundle_without_programs_is_told_what_would_help(bundle: Bundle, on_gpu: dict[str, bool]) -> None:
    with pytest.raises(SetupError, match=r"assay\[tensorrt\].*--pt2"):
        choose(bundle, GPU)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (Settings(executor="tensorrt"), "'tensorrt' needs a GPU"),
        (Settings(executor="openvino", devices=(0,)), "'openvino' runs on CPUs"),
    ],
)
def test_an_executor_on_the_wrong_device_is_refused(
    bundle: Bundle, settings: Settings, sentence: str
) -> None:
    with pytest.raises(SetupError, match=sentence):
        choose(bundle, settings)


def test_a_library_that_is_missing_is_one_sentence_from_the_worker_process(
    bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    """A worker's SetupError is the caller's, not a fault of the engine, and said once."""
    with pytest.raises(SetupError, match="'tensorrt' needs a GPU"):
        Core([bundle], Settings(executor="tensorrt", workers=2))
    assert not caplog.records


def test_auto_takes_the_fastest_precision_that_was_measured(bundle: Bundle) -> None:
    runtime = Runtime("any", object, ("fp16", "bf16"))  # type: ignore[arg-type]

    def offering(*precisions: str) -> Bundle:
        spec = bundle.manifest.graphs["classify"].model_copy(
            update={"precisions": dict.fromkeys(precisions, 0.001)}
        )
        return Bundle(bundle.path, bundle.manifest.model_copy(update={"graphs": {"classify": spec}}))

    def chosen(offered: Bundle, settings: Settings) -> str:
        return runtime.precision(offered, "classify", settings)

    assert chosen(offering("fp32", "bf16", "fp16"), Settings()) == "fp16"
    assert chosen(offering("fp32", "bf16"), Settings()) == "bf16"
    assert chosen(offering("fp32"), Settings()) == "fp32"
    assert chosen(offering("fp32", "bf16", "fp16"), Settings(precision="fp32")) == "fp32"
    with pytest.raises(BundleError, match="not measured in fp16"):
        chosen(offering("fp32"), Settings(precision="fp16"))
    assert chosen(offering("fp32"), Settings(precision="fp16", allow_unmeasured=True)) == "fp16"

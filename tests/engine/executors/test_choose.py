"""Which executor a bundle gets; what is installed is pretended."""

import sys
from types import ModuleType

import pytest

from assay.engine.bundle import Bundle
from assay.engine.core import Core
from assay.engine.errors import BundleError, SetupError
from assay.engine.executors import choose as choosing
from assay.engine.executors.choose import choose, chosen
from assay.engine.executors.runtime import Runtime
from assay.engine.registry import EXECUTORS
from assay.engine.settings import Settings

GPU = Settings(devices=(0,))
EVERYTHING = {"tensorrt": True, "torch": True, "onnxruntime": True}


@pytest.fixture
def on_gpu(monkeypatch: pytest.MonkeyPatch) -> dict[str, bool]:
    """A machine with a GPU, and what runs graphs on it."""
    there = dict(EVERYTHING)
    stub = ModuleType("assay.engine.executors.tensorrt.executor")
    stub.runs_here = lambda: there["tensorrt"]  # type: ignore[attr-defined]
    stub.TensorRtGraph = object  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, stub.__name__, stub)
    monkeypatch.setattr(choosing, "torch_sees_gpu", lambda: there["torch"])
    monkeypatch.setattr(choosing, "onnxruntime_sees_gpu", lambda: there["onnxruntime"])
    for name in EXECUTORS:
        setattr(stub, name, lambda gpu, batch, name=name: Runtime(name, object, ("fp16", "bf16")))
        monkeypatch.setitem(EXECUTORS, name, f"{stub.__name__}:{name}")
    return there


def test_a_cpu_takes_openvino() -> None:
    assert choose(Settings()).title.startswith("OpenVINO 20")
    assert choose(Settings(executor="openvino")).title.startswith("OpenVINO")


@pytest.mark.parametrize(
    ("missing", "name", "why"),
    [
        ((), "tensorrt", "knows this GPU"),
        (("tensorrt",), "torch", "no TensorRT runs on this GPU, and torch is installed"),
        (("tensorrt", "torch"), "onnxruntime", "neither does torch; ONNX Runtime is installed for CUDA"),
    ],
)
def test_a_gpu_takes_the_first_that_runs_there(
    missing: tuple[str, ...], name: str, why: str, on_gpu: dict[str, bool]
) -> None:
    on_gpu |= dict.fromkeys(missing, False)
    assert choose(GPU).title == name
    assert why in chosen(GPU).why


def test_where_nothing_runs_the_extra_is_named(on_gpu: dict[str, bool]) -> None:
    on_gpu |= dict.fromkeys(EVERYTHING, False)
    with pytest.raises(SetupError, match=r"pip install 'assay\[gpu\]'"):
        choose(GPU)


def test_torch_programs_are_loaded_only_when_torch_export_is_named(on_gpu: dict[str, bool]) -> None:
    """Loading them may run what is in them, whatever else is missing."""
    for missing in (set(), {"tensorrt"}, {"tensorrt", "torch"}, set(EVERYTHING)):
        on_gpu |= {name: name not in missing for name in EVERYTHING}
        try:
            assert choose(GPU).title != "torch_export"
        except SetupError:
            assert missing == set(EVERYTHING)
    assert choose(Settings(devices=(0,), executor="torch_export")).title == "torch_export"


def test_what_was_emulated_counts_for_executors_that_compute_it(bundle: Bundle) -> None:
    spec = bundle.manifest.graphs["classify"].model_copy(
        update={"precisions": {"fp32": 0.0, "fp16": 0.01, "bf16": 0.02}, "emulated": ("fp16",)}
    )
    measured = Bundle(bundle.path, bundle.manifest.model_copy(update={"graphs": {"classify": spec}}))
    own, lowering = (Runtime("any", object, ("fp16", "bf16"), lowers) for lowers in (False, True))  # type: ignore[arg-type]
    assert lowering.precision(measured, "classify", Settings()) == "fp16"
    assert own.precision(measured, "classify", Settings()) == "bf16"
    with pytest.raises(BundleError, match=r"not measured in fp16 \(only in fp32, bf16\)"):
        own.precision(measured, "classify", Settings(precision="fp16"))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (Settings(executor="tensorrt"), "'tensorrt' needs a GPU"),
        (Settings(executor="openvino", devices=(0,)), "'openvino' runs on CPUs"),
    ],
)
def test_an_executor_on_the_wrong_device_is_refused(settings: Settings, sentence: str) -> None:
    with pytest.raises(SetupError, match=sentence):
        choose(settings)


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

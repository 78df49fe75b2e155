"""`assay compile`: engines are really built, for GPUs that are not here."""

from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from onnx import TensorProto, helper
from support.bundles import SIDE, plain_bundle

from assay.engine import bundle as bundles
from assay.engine.bundle import Bundle
from assay.engine.commands.app import main
from assay.engine.commands.compile import compile_bundle
from assay.engine.errors import BundleError, SetupError
from assay.engine.executors import cache
from assay.engine.executors.tensorrt import library as tensorrt_library
from assay.engine.executors.tensorrt.build import Builder

trt = pytest.importorskip("tensorrt_rtx_bindings")
ARCHITECTURES = [80, 86, 89, 120]


@pytest.fixture(scope="module")
def brightness(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return Bundle.load(plain_bundle(tmp_path_factory.mktemp("bundle")))


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))


def assay(*arguments: object) -> int:
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as end:
        return int(end.code or 0)
    raise AssertionError("the command line ends by SystemExit")


def check(bundle: Bundle, sm: int, precision: str) -> None:
    files = compile_bundle(bundle, Builder(trt, sm), precision, 4)
    assert len(set(files)) == len(files) >= len(bundle.manifest.graphs)
    for file in files:
        assert file.read_bytes()[:4] == b"vtrt", "no TensorRT engine"


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
@pytest.mark.parametrize("name", [path.name for path in bundles.shipped()])
def test_shipped_bundles_build(name: str, precision: str) -> None:
    check(bundles.find(name), 89, precision)


@pytest.mark.full
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("sm", [sm for sm in ARCHITECTURES if sm != 89])
@pytest.mark.parametrize("name", [path.name for path in bundles.shipped()])
def test_shipped_bundles_build_for_each_architecture(
    name: str, sm: int, precision: str, tmp_path: Path
) -> None:
    check(bundles.find(name), sm, precision)


def test_the_command(brightness: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = assay(
        *("compile", brightness.path, "--target", "tensorrt-rtx", "--precision", "fp16"),
        *("--sm", 80, "--sm", 120, "--max-batch", 1, "-o", tmp_path / "engines"),
    )
    printed = capsys.readouterr()
    assert done == 0
    files = [Path(line) for line in printed.out.splitlines()]
    assert [file.parent.name for file in files] == ["sm_80", "sm_120"]
    assert all(file.read_bytes()[:4] == b"vtrt" for file in files)
    assert {file for file in (tmp_path / "engines").rglob("*") if file.is_file()} == set(files)
    assert brightness.manifest.graphs["classify"].sha256 in files[0].name
    assert trt.__version__ in str(files[0])
    assert "not measured in fp16" in printed.err
    assert "--allow-unmeasured" in printed.err


def test_a_measured_precision_is_built_without_a_warning(
    brightness: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    assert assay("compile", brightness.path, "--target", "tensorrt-rtx", "--sm", 89) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ["--target", "tensorrt-rtx", "--sm", "90"],
            "does not build for sm_90; it knows 75, 80, 86, 89, 120",
        ),
        (["--target", "tensorrt", "--sm", "89"], "--sm is for tensorrt-rtx"),
        (["--target", "openvino", "--sm", "89"], "--sm is for tensorrt-rtx"),
        (["--target", "tensorrt-rtx", "--sm", "89", "-o", "/dev/null/x"], "cannot be written"),
        (["--target", "tensorrt-rtx", "--sm", "75", "--precision", "bf16"], "sm75"),
    ],
)
def test_a_usage_error_is_one_sentence(
    brightness: Bundle, arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert assay("compile", brightness.path, *arguments) == 2
    error = capsys.readouterr().err.splitlines()
    assert says in error[-1]
    assert not any("Traceback" in line for line in error)


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (tensorrt_library.FULL, "TensorRT (pip install 'assay[tensorrt]'), which is not installed"),
        (tensorrt_library.RTX, "TensorRT for RTX (pip install 'assay[gpu]'), which is not installed"),
        (("tensorrt", "tensorrt_rtx"), "or TensorRT for RTX"),
    ],
)
def test_a_missing_runtime_says_what_to_install(
    names: tuple[str, ...], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensorrt_library, "find_spec", lambda name: None)
    with pytest.raises(SetupError) as error:
        tensorrt_library.library(names)
    assert says in str(error.value)


@pytest.mark.skipif(find_spec("tensorrt") is not None, reason="TensorRT is installed")
def test_the_command_without_tensorrt(brightness: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    assert assay("compile", brightness.path, "--target", "tensorrt") == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_refused_node_is_named_as_in_the_graph(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Relu", ["image"], ["rectified"], name="rectify"),
        helper.make_node("Det", ["rectified"], ["logit"], name="determinant_7"),
    ]
    bundle = Bundle.load(plain_bundle(tmp_path / "odd", graph=graph_of(nodes)))
    with pytest.raises(BundleError, match=r"classify\.onnx.* refuses node 'determinant_7' \(Det\)"):
        compile_bundle(bundle, Builder(trt, 89), "fp32", 4)


def graph_of(nodes: list[Any]) -> Any:
    graph = helper.make_graph(
        nodes,
        "odd",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("logit", TensorProto.FLOAT, ["N", 3])],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    made.ir_version = 10
    return made


def test_what_is_no_graph_is_refused(tmp_path: Path) -> None:
    bundle = Bundle.load(plain_bundle(tmp_path / "odd", graph=b"no protobuf"))
    with pytest.raises(BundleError, match=r"classify\.onnx"):
        compile_bundle(bundle, Builder(trt, 89), "fp32", 4)


class Recorder:
    """Follows the builder's phases."""

    def __init__(self, interrupt: bool = False) -> None:
        self.open: dict[str, int] = {}
        self.steps: list[tuple[str, int, int]] = []
        self._interrupt = interrupt

    def start(self, phase: str, steps: int) -> None:
        self.open[phase] = steps

    def step(self, phase: str, done: int) -> None:
        if self._interrupt:
            raise KeyboardInterrupt
        self.steps.append((phase, done, self.open[phase]))

    def finish(self, phase: str) -> None:
        del self.open[phase]


def test_progress_is_told_and_ends(brightness: Bundle) -> None:
    recorder = Recorder()
    spec = brightness.manifest.graphs["classify"]
    Builder(trt, 89).build(brightness.path / spec.file, spec, "fp32", progress=recorder)
    assert not recorder.open
    assert len(recorder.steps) > 10
    assert all(0 < done <= total for _, done, total in recorder.steps)


def test_a_build_can_be_interrupted(brightness: Bundle) -> None:
    spec = brightness.manifest.graphs["classify"]
    with pytest.raises(KeyboardInterrupt):
        Builder(trt, 89).build(brightness.path / spec.file, spec, "fp32", progress=Recorder(interrupt=True))


def test_an_engine_is_built_once(brightness: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = brightness.manifest.graphs["classify"]
    file = brightness.path / spec.file
    first = Builder(trt, 89).engine(file, spec, "fp32")
    monkeypatch.setattr(Builder, "build", lambda *given: pytest.fail("built again"))
    assert Builder(trt, 89).engine(file, spec, "fp32") == first
    built: list[tuple[Any, ...]] = []
    monkeypatch.setattr(Builder, "build", lambda self, *given: built.append(given) or b"new")
    other = SimpleNamespace(__version__="99", CudaGraphStrategy=None)
    for builder, changed, precision in [
        (Builder(trt, 86), spec, "fp32"),
        (Builder(trt, 89), spec, "fp16"),
        (Builder(trt, 89), spec.model_copy(update={"sha256": "f" * 64}), "fp32"),
        (Builder(other, 89), spec, "fp32"),  # type: ignore[arg-type]
    ]:
        assert builder.engine(file, changed, precision) == b"new"
    assert len(built) == 4


def test_a_graph_that_chooses_indices_is_built_in_fp32(
    tmp_path: Path, brightness: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    from assay.engine.detectors import KINDS, Choice, Kind

    plain = KINDS["plain"]
    choosing = Kind(
        plain.detect,
        plain.graphs,
        plain.parameters,
        plain.intermediate_bytes,
        {"classify_view": Choice("classify", ())},
    )
    monkeypatch.setitem(KINDS, "plain", choosing)
    asked: list[str] = []
    monkeypatch.setattr(
        Builder, "build", lambda self, file, spec, precision, *rest: asked.append(precision) or b""
    )
    compile_bundle(brightness, Builder(trt, 89), "fp16", 4)
    assert asked == ["fp16", "fp32"]


def test_the_cache_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = cache.write(tmp_path / "a" / "b", b"first")

    def fail(self: Path, data: bytes) -> None:
        with self.open("wb") as stream:
            stream.write(data[:2])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", fail)
        with pytest.raises(SetupError, match="No space left"):
            cache.write(file, b"second")
    assert file.read_bytes() == b"first"
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"ASSAY_CACHE": "/a"}, "/a"),
        ({"ASSAY_CACHE": "", "XDG_CACHE_HOME": "/x"}, "/x/assay"),
        ({"ASSAY_CACHE": "", "XDG_CACHE_HOME": "", "HOME": "/home/u"}, "/home/u/.cache/assay"),
    ],
)
def test_where_the_cache_is(
    variables: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert str(cache.folder()) == expected

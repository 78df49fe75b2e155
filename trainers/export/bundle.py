"""From a trained network to a bundle: the graph as ONNX, calibration, measured precisions, the manifest."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from assay.engine.bundle import Bundle, Calibration, File, GraphSpec, Manifest, sha256_of
from assay.engine.detectors import Graph, detector_of, make_graphs
from assay.engine.detectors.plain import all_crops
from assay.engine.errors import AssayError, SetupError
from assay.engine.executors.openvino import OpenVinoGraph, computes_bf16
from assay.engine.executors.torch_export import TorchExportGraph
from assay.engine.executors.torch_onnx import TorchOnnxGraph
from assay.engine.outcome import Doubt
from assay.engine.quantise import evenly_spaced, int8_graphs
from assay.engine.settings import PrecisionName
from assay.kernels.measure import LEAST_SIDE
from assay.trainers.data.samples import Sample
from assay.trainers.evaluate.means import Means, Ready, ready
from assay.trainers.evaluate.metrics import Evaluation
from assay.trainers.evaluate.reliability import calibration_error, reliability
from assay.trainers.evaluate.score import Scored, score, torch_graph
from assay.trainers.export.calibrate import (
    Choice,
    Method,
    choose_calibration,
    fit_thresholds,
    kept_calibration,
)
from assay.trainers.export.domain import doubtful, fit_domain
from assay.trainers.export.parity import LIMITS
from assay.trainers.fit.device import device_of

if TYPE_CHECKING:
    import onnx

INT8 = "{}.int8.onnx"
"""What the int8 form of a graph's file is called."""
FIRST_FP32 = (0.0, 0.2, 0.4)
"""Shares of a graph's depth that are left in fp32, tried in this order: the fewer, the faster."""


def export_graph(module: nn.Module, spec: GraphSpec, file: Path) -> str:
    """Writes `module` as ONNX with the names and shapes of `spec`, the batch varying; returns its SHA-256.

    Raises SetupError where the graph, run by OpenVINO, does not give the module's outputs.
    """
    inputs = _example(spec)
    program = torch.onnx.export(
        module.eval(),
        inputs,
        input_names=list(spec.inputs),
        output_names=list(spec.outputs),
        dynamic_shapes=_varying(inputs),
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    assert program is not None
    file.write_bytes(without_metadata(program.model_proto).SerializeToString())
    _compare(module, OpenVinoGraph(file, spec, "fp32"), inputs, file)
    return sha256_of(file)


def without_metadata(model: "onnx.ModelProto") -> "onnx.ModelProto":
    """`model`, changed, without what torch notes beside it: for each node the line of code that it comes
    from, with the path of the file on the machine that exported it."""
    graph = model.graph
    values = (*graph.input, *graph.output, *graph.value_info, *graph.initializer)
    for part in (model, graph, *graph.node, *values):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    return model


def export_program(module: nn.Module, spec: GraphSpec, file: Path) -> File:
    """Writes `module` as a torch.export program, the batch varying, beside the ONNX `file` of `spec`.

    Raises SetupError where the program does not give the module's outputs.
    """
    inputs = _example(spec)
    program = torch.export.export(module.eval(), inputs, dynamic_shapes=_varying(inputs))
    written = file.with_suffix(".pt2")
    torch.export.save(program, written)
    named = File(file=written.name, sha256=sha256_of(written))
    graph = TorchExportGraph(file, spec.model_copy(update={"program": named}), "fp32")
    _compare(module, graph, inputs, written)
    return named


def export_bundle(
    modules: Mapping[str, nn.Module], manifest: Manifest, folder: Path, *, programs: bool = False
) -> Bundle:
    """Writes `manifest` and its graphs to `folder`; with `programs` each graph as .pt2, too."""
    folder.mkdir(parents=True, exist_ok=True)
    specs = dict(manifest.graphs)
    for name, module in modules.items():
        spec, file = specs[name], folder / specs[name].file
        update: dict[str, object] = {"sha256": export_graph(module, spec, file)}
        if programs:
            update["program"] = export_program(module, spec, file)
        specs[name] = spec.model_copy(update=update)
    return write_manifest(manifest.model_copy(update={"graphs": specs}), folder)


def _example(spec: GraphSpec) -> tuple[torch.Tensor, ...]:
    return tuple(torch.randn(2, *map(int, shape[1:])) for shape in spec.inputs.values())


def _varying(inputs: tuple[torch.Tensor, ...]) -> tuple[dict[int, Any], ...]:
    return ({0: torch.export.Dim("N")}, *({0: torch.export.Dim.AUTO} for _ in inputs[1:]))


def _compare(module: nn.Module, graph: Graph, inputs: tuple[torch.Tensor, ...], file: Path) -> None:
    """Raises SetupError where an output differs by a thousandth of its largest value: patterns are small.

    One in a thousand may: where a graph rounds to 8 bits, a level may turn into the next one.
    """
    arrays = [tensor.numpy() for tensor in inputs]
    for wanted, got in zip(torch_graph(module)(*arrays), graph(*arrays), strict=True):
        difference = np.abs(wanted - got)
        if not (difference <= 1e-3 * np.abs(wanted).max() + 1e-9).mean() >= 0.999:
            raise SetupError(f"{file}: the exported graph differs by {difference.max():.2g} from torch")


def graphs_of(bundle: Bundle, precision: str = "fp32") -> dict[str, Graph]:
    """The graphs of a bundle on OpenVINO, as a worker runs them; those that choose indices in fp32."""
    return make_graphs(bundle, lambda name: precision, OpenVinoGraph)


def write_manifest(manifest: Manifest, folder: Path) -> Bundle:
    """Writes `manifest.json` and returns the bundle, checked as the engine checks it."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(manifest.model_dump(mode="json", by_alias=True), indent=1)
    (folder / "manifest.json").write_text(text + "\n", "utf-8")
    return Bundle.load(folder)


@dataclass(frozen=True)
class Calibrated:
    """The bundle as written, with what was measured.

    differences: the largest one of each precision to fp32, also of those not offered. emulated: the
    precisions that were measured by an emulation. unmeasured: why others could not be. choice: how
    calibrations compare. error_before: the expected calibration error (ECE) of the one that the bundle had.
    doubtful: where limits were fitted, the share of the images that each doubt falls on.
    """

    bundle: Bundle
    differences: Mapping[str, float]
    emulated: Sequence[str]
    unmeasured: Mapping[str, str]
    choice: Choice
    error_before: float
    doubtful: Mapping[Doubt, float]


def calibrated(
    bundle: Bundle,
    samples: Sequence[Sample],
    *,
    false_alarms: float,
    misses: float,
    method: Method | None = None,
    doubts: float | None = None,
    scale_on: Sequence[Sample] = (),
    device: str = "cpu",
    keep: bool = False,
    advance: Callable[[int], None] = lambda count: None,
) -> Calibrated:
    """The bundle with calibration, thresholds and offered precisions fitted on `samples`, written in place.

    `method` is that of `choose_calibration`. keep: calibration, thresholds and int8 forms stay as they are,
    and fp16 and bf16 alone are measured. A precision is offered where no sample's probability differs by more
    than its limit from fp32. fp16 and bf16 are measured on `device`, as `device_of` takes it; without a GPU
    by an emulation of one, but for bf16 on a CPU that computes in it. int8 forms are made, scaled on the
    images of `scale_on`, where there are any, with as few first layers in fp32 as it takes to pass; they stay
    in the bundle if int8 is offered. `doubts`: the share of the images that each limit of the domain may
    doubt; without it the bundle keeps the domain that it has.

    Raises SetupError where `doubts` are asked for and the bundle takes images that are too small to measure.
    """
    manifest = bundle.manifest
    measured = doubts is not None
    if measured and manifest.min_side < LEAST_SIDE:
        raise SetupError(
            f"{bundle.path} takes images from {manifest.min_side} pixels, and only those from {LEAST_SIDE} "
            "can be measured: raise its min_side, or leave --doubts out"
        )
    whole = Bundle(bundle.path, all_crops(manifest))
    reference = score(samples, whole.manifest, graphs_of(bundle), advance, measured=measured)
    before = Evaluation(reference, manifest.calibration, manifest.thresholds).probabilities
    choice = kept_calibration(manifest.calibration) if keep else choose_calibration(reference, method)
    calibration = choice.calibration
    differences = {"fp32": 0.0} | (_measured_int8(manifest) if keep else {})
    emulated: list[str] = []
    lower: tuple[PrecisionName, ...] = ("fp16", "bf16")
    unmeasured: dict[str, str] = {}
    for precision in lower:
        try:
            candidate, real = _lower(whole, precision, device)
        except AssayError as fault:
            if device_of(device).type == "cuda":
                raise
            unmeasured[precision] = str(fault)  # an operator that the emulation does not know
            continue
        other = score(samples, whole.manifest, candidate.graphs, advance, candidate.detect)
        differences[precision] = _largest_difference(reference, other, calibration)
        emulated += [] if real else [precision]
    if scale_on:  # a run that is stopped must not leave a manifest that names another form's hash
        bundle = write_manifest(_without_int8(manifest), bundle.path)
        for first_fp32 in FIRST_FP32:
            manifest = with_int8(bundle, [sample.path for sample in scale_on], first_fp32)
            int8 = graphs_of(Bundle(bundle.path, manifest), "int8")
            other = score(samples, all_crops(manifest), int8, advance)
            differences["int8"] = _largest_difference(reference, other, calibration)
            if differences["int8"] <= LIMITS["int8"]:
                break
    offered = {
        precision: round(difference, 6)
        for precision, difference in differences.items()
        if difference <= LIMITS[precision]
    }
    specs = {
        name: spec.model_copy(
            update={
                "precisions": offered,
                "emulated": tuple(precision for precision in emulated if precision in offered),
                "int8": spec.int8 if "int8" in offered else None,
            }
        )
        for name, spec in manifest.graphs.items()
    }
    for file in bundle.path.glob(INT8.format("*")):
        if file.name not in {spec.int8.file for spec in specs.values() if spec.int8}:
            file.unlink()
    thresholds = manifest.thresholds
    if not keep:
        thresholds = fit_thresholds(reference, calibration, false_alarms=false_alarms, misses=misses)
    domain = manifest.domain if doubts is None else fit_domain(reference, doubts)
    shares = doubtful(reference, domain) if domain and measured else {}
    update = {"calibration": calibration, "thresholds": thresholds, "graphs": specs, "domain": domain}
    written = write_manifest(manifest.model_copy(update=update), bundle.path)
    error = calibration_error(reliability(reference.labels, before))
    return Calibrated(written, differences, emulated, unmeasured, choice, error, shares)


def _lower(bundle: Bundle, precision: PrecisionName, device: str) -> tuple[Ready, bool]:
    """The bundle ready to score in fp16 or bf16, and whether that is what a device computes.

    Raises SetupError or BundleError where a GPU is asked for and nothing runs the bundle there.
    """
    if device_of(device).type == "cuda":
        return ready(bundle, Means(device, precision=precision)), True
    make, real = partial(TorchOnnxGraph, emulate=True), precision == "bf16" and computes_bf16()
    graphs = graphs_of(bundle, "bf16") if real else make_graphs(bundle, lambda name: precision, make)
    return Ready(graphs, detector_of(bundle), precision), real


def with_int8(bundle: Bundle, images: Sequence[Path], first_fp32: float = 0.0) -> Manifest:
    """Writes int8 forms beside the graphs, scaled on `images` -> the manifest that names them, unwritten.

    first_fp32: as of `int8_graphs`.
    """
    specs = dict(bundle.manifest.graphs)
    for name, data in int8_graphs(bundle, evenly_spaced(bundle, images), first_fp32).items():
        named = File(file=specs[name].file, sha256=hashlib.sha256(data).hexdigest())
        if named.sha256 != specs[name].sha256:  # else there was nothing to quantise
            named = named.model_copy(update={"file": INT8.format(Path(named.file).stem)})
            (bundle.path / named.file).write_bytes(data)
        specs[name] = specs[name].model_copy(update={"int8": named})
    return bundle.manifest.model_copy(update={"graphs": specs})


def _measured_int8(manifest: Manifest) -> dict[str, float]:
    """What int8 was measured to change, where the bundle offers it."""
    measured = (spec.precisions.get("int8") for spec in manifest.graphs.values())
    return next(({"int8": value} for value in measured if value is not None), {})


def _without_int8(manifest: Manifest) -> Manifest:
    specs = {}
    for name, spec in manifest.graphs.items():
        offered = {precision: found for precision, found in spec.precisions.items() if precision != "int8"}
        specs[name] = spec.model_copy(update={"int8": None, "precisions": offered})
    return manifest.model_copy(update={"graphs": specs})


def _largest_difference(one: Scored, other: Scored, calibration: Calibration) -> float:
    first, second = (
        np.array([calibration.probability(logit) for logit in scored.logits]) for scored in (one, other)
    )
    return float(np.abs(first - second).max())

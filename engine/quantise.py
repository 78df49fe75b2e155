"""The int8 form of a graph: the same ONNX with quantisers (QDQ), scaled on calibration photographs.

NNCF makes it; OpenVINO alone runs it. Weights are stored as int8, so the file is a quarter of the graph's. It
is a file of the bundle where its parity was measured and passed, else one of the cache. The last linear layer
and the logits of attention are left in fp32, and so is a graph without convolutions, which is small, and one
that no image needed. The first layers may be: what betrays a synthetic image is small beside its pixels,
and eight bits round it away. Ranges are the extremes seen, not their mean over images, which would clip.
"""

import logging
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from assay.engine.admission import admit
from assay.engine.bundle import Bundle
from assay.engine.decode.turbo import decode_one
from assay.engine.detectors import KINDS, Image, Stopwatch, make_graphs
from assay.engine.detectors.detector import Arrays, tapped
from assay.engine.errors import SetupError
from assay.engine.executors.openvino import OpenVinoGraph
from assay.engine.outcome import Refused
from assay.engine.settings import Limits

if TYPE_CHECKING:
    from onnx import ModelProto

IMAGES, FEWEST = 128, 8
"""Calibration images that are enough, and that there must be."""


def int8_graphs(bundle: Bundle, images: Iterable[Image], first_fp32: float = 0.0) -> dict[str, bytes]:
    """The int8 form of each graph that may run in it, by name, as ONNX.

    images: such as the bundle will be given, decoded; at least 8, and 128 are enough.
    first_fp32: the share of a graph's depth, from its inputs on, that is left in fp32.

    Raises:
        SetupError: NNCF is not installed, or there are fewer images.
    """
    _need_nncf()
    with TemporaryDirectory(prefix="assay-int8-") as folder:
        seen = _record(bundle, images, Path(folder))
        return {
            name: _quantised(bundle.path / bundle.manifest.graphs[name].file, files, first_fp32)
            for name, files in seen.items()
        }


def evenly_spaced(bundle: Bundle, files: Sequence[Path]) -> Iterator[Image]:
    """Pixels of images spread evenly over `files`; those that the engine would refuse are left out."""
    for file in files[:: max(1, len(files) // IMAGES)][:IMAGES]:
        try:
            data = file.read_bytes()
            pixels = decode_one((data, admit(data, Limits(), bundle.manifest.min_side)))
        except (OSError, Refused):
            continue
        if not isinstance(pixels, Refused):
            yield pixels


def _need_nncf() -> None:
    try:
        import nncf  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise SetupError(
            f"quantising to int8 needs {error.name}, which is not installed: pip install 'assay[int8]'"
        ) from None


def _record(bundle: Bundle, images: Iterable[Image], folder: Path) -> dict[str, list[Path]]:
    """What each graph that may run in int8 is given for each image, as files below `folder`.

    Kept on disk: what one image puts into a purification network is 9 MB.
    """

    graphs = make_graphs(bundle, lambda name: "fp32", OpenVinoGraph)
    kind = KINDS[bundle.kind]
    choosing = kind.choices(bundle.manifest)
    seen: dict[str, list[Path]] = {name: [] for name in graphs if name not in choosing}

    def keep(name: str, inputs: Arrays, outputs: Arrays) -> None:
        seen[name].append(folder / f"{name}-{len(seen[name])}.npz")
        named: dict[str, Any] = dict(zip(bundle.manifest.graphs[name].inputs, inputs, strict=True))
        np.savez(seen[name][-1], **named)

    watched = tapped(graphs, seen, keep)
    detect = kind.detector(bundle.manifest)
    count = 0
    for image in images:
        detect([image], watched, Stopwatch())
        count += 1
    if count < FEWEST:
        raise SetupError(f"int8 needs {FEWEST} calibration images that can be read; there are {count}")
    return seen


def _quantised(file: Path, seen: Sequence[Path], first_fp32: float) -> bytes:
    import nncf
    import onnx
    from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    from assay.engine.executors.lowering import LINEAR, sensitive

    model = onnx.load(file)
    if not seen or not any(node.op_type == "Conv" for node in model.graph.node):
        return file.read_bytes()
    last = sensitive(model)
    depth = _depths(model)
    first = first_fp32 * max(depth.values())
    kept = [
        node.name
        for node in model.graph.node
        if (LINEAR.fullmatch(node.op_type) and node.output[0] in last) or depth[node.output[0]] <= first
    ]
    nncf.set_log_level(logging.ERROR)
    with redirect_stdout(sys.stderr):  # its progress bars
        quantised: Any = nncf.quantize(
            model,
            nncf.Dataset(_Inputs(seen)),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(seen),
            ignored_scope=nncf.IgnoredScope(names=kept, validate=False),
            advanced_parameters=AdvancedQuantizationParameters(
                activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX
            ),
        )
    data: bytes = quantised.SerializeToString()
    return data


def _depths(model: "ModelProto") -> dict[str, int]:
    """How many convolutions and matrix products each tensor that a node makes took, on the longest way."""
    from assay.engine.executors.lowering import LINEAR

    depth: dict[str, int] = {}
    for node in model.graph.node:
        layer = node.op_type == "Conv" or LINEAR.fullmatch(node.op_type) is not None
        behind = max((depth.get(name, 0) for name in node.input), default=0)
        depth |= dict.fromkeys(node.output, behind + layer)
    return depth


class _Inputs:
    """Recorded inputs by name, read again each time they are gone through."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = files

    def __len__(self) -> int:
        return len(self._files)

    def __iter__(self) -> Iterator[Mapping[str, NDArray[np.float32]]]:
        for file in self._files:
            with np.load(file) as arrays:
                yield dict(arrays)

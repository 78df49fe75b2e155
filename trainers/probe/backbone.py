"""Somebody's network as ONNX, read as an image -> embedding graph that a layer can be put behind."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from assay.engine.errors import SetupError

EMBEDDING = "assay_embedding"
LOGIT = "assay_logit"


@dataclass(frozen=True)
class Backbone:
    """A network with one image input (N, 3, `side`, `side`) called `image`.

    model: gives `EMBEDDING` (N, D) and nothing else.
    output: which output of the file became the embedding.
    """

    model: Any
    image: str
    side: int
    output: str

    @classmethod
    def read(cls, file: Path, *, output: str | None = None, side: int | None = None) -> Self:
        """Reads `file`; `output` names its embedding, by default the first output of rank 2, else the first.

        Of tokens (N, T, D) the first is taken, a transformer's class token; of maps (N, C, H, W)
        the mean over places. `side` is needed where the file does not say what it takes.

        Raises SetupError where the file is no such network.
        """
        try:
            model = onnx.shape_inference.infer_shapes(onnx.load(file))
        except Exception as error:  # protobuf raises whatever it likes
            raise SetupError(f"{file} is not an ONNX graph that can be read: {error}") from None
        graph = model.graph
        weights = {one.name for one in graph.initializer}
        inputs = [one for one in graph.input if one.name not in weights]
        if len(inputs) != 1 or len(_shape(inputs[0])) != 4:
            names = ", ".join(one.name for one in inputs) or "none"
            raise SetupError(
                f"{file} must have one input, (N, 3, S, S), but has {names}; export the vision part"
            )
        side = _side(file, inputs[0], side)
        dimensions = inputs[0].type.tensor_type.shape.dim
        dimensions[0].Clear()
        dimensions[0].dim_param = "N"
        for dimension, size in zip(dimensions[1:], (3, side, side), strict=True):
            dimension.dim_value = size
        chosen = _output(file, graph.output, output)
        _add_embedding(graph, chosen, file)
        return cls(model, inputs[0].name, side, chosen.name)

    def with_head(self, weights: NDArray[np.float64], bias: float) -> bytes:
        """The network with `embedding @ weights + bias` as its only output, `LOGIT` (N, 1), as ONNX.

        Raises SetupError where it has 2 GiB or more, which one ONNX file cannot hold.
        """
        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        graph = model.graph
        layer = {"assay_weights": weights.reshape(-1, 1), "assay_bias": np.array([bias])}
        graph.initializer.extend(
            numpy_helper.from_array(value.astype(np.float32), name) for name, value in layer.items()
        )
        graph.node.append(helper.make_node("Gemm", [EMBEDDING, *layer], [LOGIT], name="assay_probe"))
        del graph.output[:]
        graph.output.append(helper.make_tensor_value_info(LOGIT, TensorProto.FLOAT, ["N", 1]))
        return serialised(model)

    def embedding(self) -> bytes:
        """The network as it is read, as ONNX. Raises SetupError as `with_head` does."""
        return serialised(self.model)


def serialised(model: Any) -> bytes:
    """The bytes of an ONNX model. Raises SetupError where they are more than its format can hold."""
    try:
        data: bytes = model.SerializeToString()
    except ValueError as error:
        raise SetupError(f"the backbone is too large for one ONNX file: {error}") from None
    return data


def _shape(value: Any) -> list[int | None]:
    """Its dimensions, None for those that vary."""
    dimensions = value.type.tensor_type.shape.dim
    return [one.dim_value if one.HasField("dim_value") else None for one in dimensions]


def _side(file: Path, image: Any, wanted: int | None) -> int:
    _, channels, height, width = _shape(image)
    if channels not in (3, None) or height != width:
        raise SetupError(f"{file} takes {channels} x {height} x {width}, not square images of 3 channels")
    if height is None and wanted is None:
        raise SetupError(
            f"{file} does not say which size of images it takes; say it with --side, such as 224"
        )
    if height is not None and wanted not in (height, None):
        raise SetupError(f"{file} takes images of {height} x {height} pixels, not --side {wanted}")
    return height or wanted or 0


def _output(file: Path, outputs: Any, wanted: str | None) -> Any:
    there = {one.name: one for one in outputs}
    if wanted is not None:
        if wanted not in there:
            raise SetupError(f"{file} has no output {wanted!r}; it has {', '.join(there)}")
        return there[wanted]
    return next((one for one in outputs if len(_shape(one)) == 2), outputs[0])


def _add_embedding(graph: Any, output: Any, file: Path) -> None:
    """Makes `EMBEDDING` (N, D) of `output`, and the only output."""
    name, rank = output.name, len(_shape(output))
    if rank == 2:
        node = helper.make_node("Identity", [name], [EMBEDDING], name="assay_embedding")
    elif rank == 3:
        graph.initializer.append(numpy_helper.from_array(np.array(0, np.int64), "assay_first"))
        node = helper.make_node("Gather", [name, "assay_first"], [EMBEDDING], name="assay_embedding", axis=1)
    elif rank == 4:
        graph.node.append(helper.make_node("GlobalAveragePool", [name], ["assay_mean"], name="assay_mean"))
        node = helper.make_node("Flatten", ["assay_mean"], [EMBEDDING], name="assay_embedding", axis=1)
    else:
        raise SetupError(f"{file}: output {name!r} has rank {rank}; an embedding has 2, tokens 3 and maps 4")
    graph.node.append(node)
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(EMBEDDING, TensorProto.FLOAT, ["N", None]))

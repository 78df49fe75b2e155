"""What settings can name: an executor, a decoder or a door more is one file and one line here.

A name stands for MODULE:ATTRIBUTE, which is loaded when it is wanted, so that what is not wanted need not be
installed. The check of a setting, the choices of its option and the reference come from these tables.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from assay.engine.errors import SetupError

EXECUTORS = {
    "openvino": "assay.engine.executors.openvino:runtime",
    "tensorrt": "assay.engine.executors.tensorrt:runtime",
    "torch": "assay.engine.executors.torch_onnx:runtime",
    "onnxruntime": "assay.engine.executors.onnxruntime:runtime",
    "torch_export": "assay.engine.executors.torch_export:runtime",
}
"""Functions `(gpu: bool, batch: int) -> Runtime`, by what `Settings.executor` calls them.

`batch`: the most images at once.
"""
DECODERS = {
    "turbo": "assay.engine.decode.turbo:decoder",
    "dali": "assay.engine.decode.dali:decoder",
    "nvimgcodec": "assay.engine.decode.nvimgcodec:decoder",
}
"""Functions `(gpu: bool, threads: int) -> Decoder`, by what `Settings.decoder` calls them."""
DOORS = {
    "http": "assay.engine.doors.http.door:KIND",
    "grpc": "assay.engine.doors.grpc.door:KIND",
    "kafka": "assay.engine.doors.kafka.door:KIND",
}
"""Each a `DoorKind`, by the name of its table in the settings file. They start in this order and end in the
reverse one: the backlog is stopped first, and probes are answered until the end."""


def named(table: Mapping[str, str], name: str, what: str) -> Any:
    """What `name` stands for in one of the tables; `what` says which in an error, such as "executor".

    Raises:
        SetupError: it needs a package that is not installed.
    """
    try:
        return attribute(table[name])
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("assay"):
            raise
        raise SetupError(
            f"the {what} {name!r} needs {error.name}, which is not installed: pip install {error.name}"
        ) from None


def attribute(where: str) -> Any:
    """What MODULE:ATTRIBUTE names."""
    module, name = where.split(":")
    return getattr(import_module(module), name)

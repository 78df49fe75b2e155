"""What the protocol tells of a model, as JSON; on gRPC the same records are messages."""

from collections.abc import Mapping
from typing import Any

from assay.engine.bundle import Bundle
from assay.engine.doors.backend import Operations
from assay.engine.doors.inference import models
from assay.engine.doors.inference.statistics import Duration, Statistics
from assay.engine.version import own_version

TYPES = {"FP32": "TYPE_FP32", "BYTES": "TYPE_STRING"}
"""What a configuration calls a datatype."""
NO_CONTROL = (
    "bundles are neither loaded nor unloaded by calls here: they are named with --bundle when the server "
    "starts, and --repository allows such calls"
)
NO_PARAMETERS = "loading takes no parameters: what decides a score stands in the bundle's own manifest"


def metadata(bundle: Bundle) -> dict[str, Any]:
    """Model metadata."""
    tensors = [{"name": name, "datatype": datatype, "shape": [-1, 1]} for name, datatype in _tensors(bundle)]
    return {
        "name": bundle.name,
        "versions": [bundle.version],
        "platform": models.PLATFORM,
        "inputs": tensors[:1],
        "outputs": tensors[1:],
    }


def config(bundle: Bundle) -> dict[str, Any]:
    """Model configuration: the batch dimension is left out, and may have `MOST_IMAGES`."""
    tensors = [
        {"name": name, "data_type": TYPES[datatype], "dims": [1]} for name, datatype in _tensors(bundle)
    ]
    return {
        "name": bundle.name,
        "platform": models.PLATFORM,
        "backend": models.PLATFORM,
        "max_batch_size": models.MOST_IMAGES,
        "input": tensors[:1],
        "output": tensors[1:],
        "dynamic_batching": {"priority_levels": models.PRIORITIES, "default_priority_level": 1},
        "model_transaction_policy": {"decoupled": False},
    }


def statistics(bundle: Bundle, counted: Statistics) -> dict[str, Any]:
    """Statistics of one model. Its version is a number there, because `perf_analyzer` reads none else."""
    return {
        "name": bundle.name,
        "version": models.number_of(bundle),
        "last_inference": counted.last,
        "inference_count": counted.images,
        "execution_count": counted.requests,
        "inference_stats": {
            "success": _duration(counted.success),
            "fail": _duration(counted.fail),
            "queue": _duration(counted.queue),
            "compute_input": _duration(counted.input),
            "compute_infer": _duration(counted.infer),
            "compute_output": {"count": counted.success.count, "ns": 0},
        },
    }


def index(bundles: Mapping[str, Bundle], control: Operations | None, ready: bool) -> list[dict[str, Any]]:
    """The repository's models: those that are served, and without `ready` those that may be loaded."""
    served = [{"name": one.name, "version": one.version, "state": "READY"} for one in bundles.values()]
    if ready or control is None:
        return served
    others = control.index().items()
    return served + [{"name": name, "state": "UNAVAILABLE", "reason": why} for name, why in others]


def server(*extensions: str) -> dict[str, Any]:
    """Server metadata."""
    return {"name": models.SERVER, "version": own_version(), "extensions": list(extensions)}


def _tensors(bundle: Bundle) -> list[tuple[str, models.Datatype]]:
    """Name and datatype of the input and the outputs."""
    return [(models.IMAGE, "BYTES"), *((one.name, one.datatype) for one in models.outputs_of(bundle))]


def _duration(duration: Duration) -> dict[str, int]:
    return {"count": duration.count, "ns": duration.ns}

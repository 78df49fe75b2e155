"""Builds TensorRT engines from the graphs of a bundle. No torch, and for TensorRT for RTX no GPU.

TensorRT and TensorRT for RTX have one interface. Their networks are strongly typed: the precision is that of
the graph, see `precision` and `int8`. TensorRT builds for the GPU at hand and measures on it, which a timing
cache makes shorter next time; TensorRT for RTX builds for an architecture and finishes on the GPU.
"""

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from assay.engine.bundle import GraphSpec, sha256_of
from assay.engine.errors import BundleError, SetupError
from assay.engine.executors.cache import Cache, write
from assay.engine.executors.tensorrt.library import for_rtx, title

log = logging.getLogger(__name__)

MAX_BATCH = 64
"""Largest batch of an engine unless told; executors cut larger ones."""


class Progress(Protocol):
    """Told what the builder does: phases by name, each with its number of steps, one within another."""

    def start(self, phase: str, steps: int) -> None: ...
    def step(self, phase: str, done: int) -> None: ...
    def finish(self, phase: str) -> None: ...


@dataclass(frozen=True)
class Builder:
    """A TensorRT and what it builds for.

    sm: compute capability, 89 for 8.9, for TensorRT for RTX; None: the GPU at hand.
    cache: where engines are written and looked for.
    """

    trt: ModuleType
    sm: int | None = None
    cache: Cache = field(default_factory=Cache)

    @property
    def runtime(self) -> str:
        """Name and version, as part of a path."""
        return f"tensorrt{'-rtx' if for_rtx(self.trt) else ''}-{self.trt.__version__}"

    @property
    def device(self) -> str:
        """What an engine runs on, as part of a path: an architecture, for TensorRT with the GPU's name."""
        if self.sm is not None:
            return f"sm_{self.sm}"
        import cupy

        name = cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()
        capability = cupy.cuda.Device().compute_capability
        return f"sm_{capability}" if for_rtx(self.trt) else f"sm_{capability}-{name.replace(' ', '-')}"

    def place(self, file: Path, spec: GraphSpec, precision: str) -> Path:
        """Where the engine of the graph in `file` lies in the cache."""
        sha256 = spec.sha256
        if precision == "int8":
            sha256 = sha256_of(self.cache.int8_file(file, spec))
        return self.cache.engine_file(sha256, self.runtime, self.device, precision)

    def engine(self, file: Path, spec: GraphSpec, precision: str) -> bytes:
        """The engine of a graph from the cache, else built now.

        Raises BundleError and SetupError as `build` does.
        """
        place = self.place(file, spec, precision)
        if not place.is_file():
            write(place, self.build(file, spec, precision))
        return place.read_bytes()

    def build(
        self,
        file: Path,
        spec: GraphSpec,
        precision: str,
        max_batch: int = MAX_BATCH,
        progress: Progress | None = None,
    ) -> bytes:
        """The engine of the graph in `file`, for batches from 1 to `max_batch`, fastest at half of that.

        Raises:
            BundleError: TensorRT refuses the graph; the sentence names the node where that is known.
            SetupError: the graph cannot be converted to `precision`, or this architecture is unknown.
        """
        trt = self.trt
        heard = _log(trt)
        builder = trt.Builder(heard)
        network = builder.create_network(0)
        data = network_of(file, spec, precision, self.cache)
        parser = trt.OnnxParser(network, heard)
        if not parser.parse(data):
            raise BundleError(f"graph {file}: {title(trt)} refuses {_refused(parser)}")
        config = builder.create_builder_config()
        config.clear_flag(trt.BuilderFlag.TF32)  # fp32 is fp32: a rounded activation may choose another patch
        self._aim(config)
        profile = builder.create_optimization_profile()
        for name, shape in spec.inputs.items():
            rest = [int(side) for side in shape[1:]]
            profile.set_shape(name, *([size, *rest] for size in (1, max(1, max_batch // 2), max_batch)))
        config.add_optimization_profile(profile)
        if progress:
            config.progress_monitor = monitor = _monitor(trt, progress)
        timings = None if for_rtx(trt) else self._use_timings(config)
        built = builder.build_serialized_network(network, config)
        if timings:
            write(timings, bytes(config.get_timing_cache().serialize()))
        if progress and monitor.interrupted:
            raise KeyboardInterrupt
        if built is None:
            raise BundleError(f"graph {file}: {title(trt)} cannot build it: {_blamed(heard.errors, network)}")
        return bytes(built)

    def _aim(self, config: Any) -> None:
        if self.sm is None:
            return
        capability = getattr(self.trt.ComputeCapability, f"SM{self.sm}", None)
        if capability is None:
            known = [name[2:] for name in dir(self.trt.ComputeCapability) if re.fullmatch(r"SM\d+", name)]
            raise SetupError(
                f"{title(self.trt)} does not build for sm_{self.sm}; it knows "
                f"{', '.join(sorted(known, key=int))}"
            )
        config.num_compute_capabilities = 1
        config.set_compute_capability(capability, 0)

    def _use_timings(self, config: Any) -> Path:
        """Measure only what was not measured before on this GPU; returns where to keep what is then known."""
        file = self.cache.timing_file(self.runtime, self.device)
        known = file.read_bytes() if file.is_file() else b""
        config.set_timing_cache(config.create_timing_cache(known), False)
        return file


def network_of(file: Path, spec: GraphSpec, precision: str, cache: Cache) -> bytes:
    """The graph in `file` as the ONNX that TensorRT is given, float32 at the edges whatever is within.

    Raises BundleError where there is no int8 form, SetupError where the graph cannot be converted.
    """
    if precision == "fp32":
        return file.read_bytes()
    try:
        import onnx

        from assay.engine.executors.lowering import lowered
        from assay.engine.executors.tensorrt.symmetric import symmetric
    except ImportError:
        raise SetupError(
            f"converting a graph to {precision} needs onnx, which is not installed: pip install onnx"
        ) from None
    if precision == "int8":
        converted = symmetric(onnx.load(cache.int8_file(file, spec)))
    else:
        converted = lowered(onnx.load(file), precision)
    data: bytes = converted.SerializeToString()
    return data


def _refused(parser: Any) -> str:
    """What the parser says of the first node that it cannot take."""
    if not parser.num_errors:
        return "it"
    error = parser.get_error(0)
    words = f"node {error.node_name()!r} ({error.node_operator()})" if error.node_name() else "it"
    said = error.desc().strip()
    return words if said in ("", "false") else f"{words}: {said.splitlines()[0]}"


def _blamed(errors: list[str], network: Any) -> str:
    """What the builder said, with the graph's own names of the nodes that its words are about."""
    said = " ".join(errors) or "it does not say why"
    words = set(re.findall(r"[\w./:-]+", said))
    nodes = [network.get_layer(index).name for index in range(network.num_layers)]
    if blamed := [name for name in nodes if name in words]:
        return f"node {', '.join(map(repr, blamed))}: {said}"
    return said


def _log(trt: ModuleType) -> Any:
    class Log(trt.ILogger):  # type: ignore[misc, name-defined]
        """Keeps errors, and passes warnings on."""

        def __init__(self) -> None:
            super().__init__()
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity <= trt.ILogger.ERROR:
                self.errors.append(message.strip())
            elif severity == trt.ILogger.WARNING:
                log.info("TensorRT: %s", message)

    return Log()


def _monitor(trt: ModuleType, progress: Progress) -> Any:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc, name-defined]
        """Passes phases on. Ctrl-C ends the build: an exception would not pass through the library."""

        def __init__(self) -> None:
            super().__init__()
            self.interrupted = False

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self._tell(progress.start, phase_name, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            self._tell(progress.step, phase_name, step + 1)
            return not self.interrupted

        def phase_finish(self, phase_name: str) -> None:
            self._tell(progress.finish, phase_name)

        def _tell(self, what: Callable[..., None], *arguments: Any) -> None:
            try:
                what(*arguments)
            except KeyboardInterrupt:
                self.interrupted = True

    return Monitor()

"""What `assay doctor` finds: what is installed, what each bundle would run on and why, what is missing."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from assay.engine.bundle import Bundle, shipped
from assay.engine.decode import decoder_choice, make_decoder
from assay.engine.detectors import detector_of
from assay.engine.errors import AssayError
from assay.engine.executors.choose import choose, chosen
from assay.engine.executors.runtime import Runtime
from assay.engine.installed import Choice, installed
from assay.engine.settings import MIB, Settings
from assay.engine.worker.gpu import check_devices, gpu_count


@dataclass(frozen=True, slots=True)
class Plan:
    """How a bundle would run, or `problem`: why it would not."""

    bundle: str
    version: str
    executor: Choice | None = None
    decoder: Choice | None = None
    precisions: Mapping[str, Choice] = field(default_factory=dict)
    """By graph."""
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Missing:
    """A package that is not installed, what cannot be done without it, and the command that brings it."""

    package: str
    without: str
    command: str


@dataclass(frozen=True, slots=True)
class Findings:
    """All that was found. `machine` holds sentences by topic."""

    versions: Mapping[str, str]
    machine: Mapping[str, str]
    bundles: Sequence[Plan]
    missing: Sequence[Missing]

    @property
    def able(self) -> bool:
        """Whether at least one bundle would run."""
        return any(plan.problem is None for plan in self.bundles)

    def to_dict(self) -> dict[str, Any]:
        return {"able": self.able, **asdict(self)}


OPTIONAL = (
    ("pillow_heif", "HEIC images are refused", "pip install pillow-heif", False),
    ("c2pa", "signatures of C2PA manifests are not checked", "pip install 'assay[provenance]'", False),
    ("pyarrow", "assay scan --parquet cannot write", "pip install 'assay[parquet]'", False),
    ("fsspec", "Kafka records cannot refer to their images", "pip install 'assay[references]'", False),
    ("opentelemetry.sdk", "assay serve --traces cannot send any", "pip install 'assay[trace]'", False),
    ("nncf", "assay compile --int8 cannot quantise", "pip install 'assay[int8]'", False),
    ("torch", "detectors cannot be trained", "pip install 'assay[train,data]'", False),
    ("cupy", "the GPU cannot be used", "pip install 'assay[gpu]'", True),
    ("nvidia.dali", "DALI does not decode JPEG on the GPU", "pip install 'assay[gpu]'", True),
    ("pynvml", "there are no metrics of the GPU", "pip install 'assay[gpu]'", True),
    ("tensorrt", "TensorRT for all GPUs does not run graphs", "pip install 'assay[tensorrt]'", True),
)
"""Module, what is lost without it, the command, and whether it matters only where there is a GPU."""


def examine(settings: Settings, versions: Mapping[str, str]) -> Findings:
    """Looks at this machine with `settings`; `versions` are those of what is installed. Builds no engine."""
    gpus = gpu_count()
    return Findings(
        versions,
        _machine(settings, gpus),
        [plan(path.name, lambda path=path: Bundle.load(path), settings) for path in shipped()],  # type: ignore[misc]
        [
            Missing(module, without, command)
            for module, without, command, gpu in OPTIONAL
            if (gpus > 0 or not gpu) and not installed(module)
        ],
    )


def plan(name: str, load: Callable[[], Bundle], settings: Settings) -> Plan:
    """How the bundle that `load` gives would run with `settings`. Raises nothing."""
    version = ""
    try:
        bundle = load()
        version = bundle.version
        detector_of(bundle)
        check_devices(settings.devices)
        runtime = choose(settings)
        precisions = {graph: _precision(runtime, bundle, graph, settings) for graph in bundle.manifest.graphs}
        return Plan(
            name, version, Choice(runtime.title, chosen(settings).why), _decoder(settings), precisions
        )
    except AssayError as error:
        problem = str(error)
    except ImportError as error:
        problem = f"{error.name or error} cannot be loaded; install Assay again: pip install assay"
    except Exception as error:  # of a driver or a library
        problem = f"{type(error).__name__}: {error}"
    return Plan(name, version, problem=problem)


def _machine(settings: Settings, gpus: int) -> dict[str, str]:
    found = {
        "memory": f"{settings.memory // MIB} MiB for images at a time (setting `memory`)",
        "workers": (
            f"GPUs {', '.join(map(str, settings.devices))} (setting `devices`)"
            if settings.devices
            else f"{settings.workers} (setting `workers`)"
        ),
        "GPUs": {-1: "no NVIDIA driver answers", 0: "none"}.get(gpus, f"{gpus} seen"),
    }
    if gpus > 0 and not settings.devices:
        found["GPUs"] += "; name them to use them: --devices 0"
    return found


def _decoder(settings: Settings) -> Choice:
    """Raises SetupError where the decoder is not there."""
    gpu = bool(settings.devices)
    make_decoder(settings.decoder, gpu)
    return decoder_choice(settings.decoder, gpu)


def _precision(runtime: Runtime, bundle: Bundle, graph: str, settings: Settings) -> Choice:
    chosen = runtime.precision(bundle, graph, settings)
    if settings.precision != "auto":
        return Choice(chosen, f"setting `precision` is {settings.precision}")
    spec = bundle.manifest.graphs[graph]
    measured = spec.precisions
    if chosen != "fp32":
        emulated = ", as an emulation measured" if chosen in spec.emulated else ""
        return Choice(
            chosen,
            f"the fastest that this device computes and the bundle lists: it moves a probability by at most "
            f"{measured[chosen]:g}{emulated}",
        )
    if offered := [precision for precision in measured if precision != "fp32"]:
        return Choice(
            chosen, f"the bundle lists {', '.join(offered)}, which this device does not compute faster"
        )
    if runtime.fast:
        return Choice(
            chosen, f"the device computes {', '.join(runtime.fast)}, which the bundle does not list"
        )
    return Choice(chosen, "the device computes nothing faster")

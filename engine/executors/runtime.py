"""What an executor needs of its maker: how a graph is made ready, and which precisions are fast."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from assay.engine.bundle import Bundle, GraphSpec
from assay.engine.errors import BundleError
from assay.engine.executors.executor import Executor
from assay.engine.settings import Settings


@dataclass(frozen=True)
class Runtime:
    """A way to run graphs on the device of this worker.

    make: an executor from a graph's ONNX file, its entry in the manifest and a precision.
    fast: precisions below fp32 that this device computes in, the fastest first.
    lowers: whether lower precisions are those that `lowering` writes into a graph, which an emulation speaks
        for.
    """

    title: str
    make: Callable[[Path, GraphSpec, str], Executor]
    fast: Sequence[str] = ()
    lowers: bool = False

    def precision(self, bundle: Bundle, graph: str, settings: Settings) -> str:
        """The precision that one graph runs in: what was asked for, or the fastest that was measured.

        A measurement by emulation counts where the runtime `lowers`.

        Raises:
            BundleError: the precision asked for is not listed in the manifest.
        """
        spec = bundle.manifest.graphs[graph]
        offered = [name for name in spec.precisions if self.lowers or name not in spec.emulated]
        if settings.precision == "auto":
            return next((precision for precision in self.fast if precision in offered), "fp32")
        if settings.precision not in offered and not settings.allow_unmeasured:
            raise BundleError(
                f"bundle {bundle.path}: graph {graph!r} was not measured in {settings.precision} "
                f"(only in {', '.join(offered)}); choose one of these or allow unmeasured precisions"
            )
        return settings.precision


def titled(name: str, distribution: str) -> str:
    """`name` and the version of the installed distribution, where it is known."""
    try:
        return f"{name} {version(distribution)}"
    except PackageNotFoundError:
        return name

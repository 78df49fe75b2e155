"""What a GPU gives: decoders, kernels, graphs and the whole path, with parity, for bench/results/gpu-NAME.md.

    python -m assay.bench.gpu [--bundle B ...] [--photos FOLDER] [--images 2048]

Run by `make gpu`. Without --bundle: those that ship, and the papers' networks with random weights, which have
the torch programs that run where TensorRT does not. Throughput of the whole path stands beside its ceiling,
the slower of decoding alone and the model alone, and beside what one would write first: Pillow, and the
exported program run by plain torch. Photographs are the JPEGs of a folder, or made; parity is worth something
on real ones and trained weights only.
"""

import itertools
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal, TypeAlias

import typer

from assay.bench.gpu_kernels import BATCHES, graph_table, kernel_table
from assay.bench.gpu_path import path_table
from assay.bench.gpu_rates import Say, decode_alone, encoded, model_alone, plain_torch, whole_path
from assay.bench.papers import PAPERS, paper_bundle
from assay.bench.provenance import provenance
from assay.engine.bundle import DEFAULT, Bundle, find, shipped
from assay.engine.decode import make_decoder
from assay.engine.errors import AssayError, BundleError, SetupError
from assay.engine.load.images import made
from assay.engine.outcome import Refused
from assay.engine.settings import Settings
from assay.engine.telemetry.metrics import verdicts
from assay.engine.telemetry.nvml import GpuCollector
from assay.engine.worker.gpu import Gpu, host_threads
from assay.engine.worker.scorer import Chain

EXECUTORS: tuple[str, ...] = ("tensorrt", "torch", "onnxruntime", "torch_export")
Part: TypeAlias = Literal["all", "kernels", "decoders", "path"]
PRECISIONS: tuple[Literal["fp32", "bf16", "fp16"], ...] = ("fp32", "bf16", "fp16")


def gpu_or_sentence() -> Gpu:
    """The GPU; without one the program ends with one sentence and code 2."""
    try:
        return Gpu()
    except AssayError as error:
        print(f"there is no GPU to test and measure on: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def parity(bundle: Bundle, chain: Chain, precision: str, photos: Sequence[Path]) -> str:
    """A row: the GPU's decoder, kernels and executor against the CPU's in fp32."""
    try:
        from assay.trainers.export.bundle import graphs_of
        from assay.trainers.export.parity import Side, compare
    except ModuleNotFoundError as error:
        return f"not compared: {error.name} is missing | | | | "

    decoder = make_decoder(gpu=True)

    def decode(path: Path) -> Any:
        [pixels] = decoder.decode(encoded([path.read_bytes()]))
        if isinstance(pixels, Refused):
            raise pixels
        return pixels

    found = compare(photos, bundle.manifest, Side(graphs_of(bundle)), Side(chain.graphs, decode))
    return (
        f"{found.same_choices:.3f} | {found.forced:.4f} | {found.p95:.4f} | {found.changed_labels:.3f} | "
        f"{'yes' if found.passes(precision) else 'no'}"
    )


@contextmanager
def photographs(folder: Path | None, count: int) -> Iterator[list[Path]]:
    """JPEG files: those of `folder`, else made ones."""
    if folder:
        found = sorted(folder.rglob("*.jp*g"))[:count]
        if not found:
            raise SetupError(f"there is no JPEG in {folder}")
        yield found
        return
    with TemporaryDirectory() as place:
        paths = []
        for number, data in enumerate(made(min(count, 64))):
            paths.append(Path(place) / f"{number}.jpg")
            paths[-1].write_bytes(data)
        yield paths


@contextmanager
def chosen_bundles(names: Sequence[str]) -> Iterator[Iterator[Bundle]]:
    """Those named; else the shipped ones, and the papers' networks, exported one after the other."""
    with TemporaryDirectory() as place:
        if names:
            yield map(find, names)
        else:
            papers = (paper_bundle(name, Path(place, name), programs=True) for name in PAPERS)
            yield itertools.chain((Bundle.load(path) for path in shipped()), papers)


def measure(bundle: Bundle, paths: Sequence[Path], images: int, nvml: GpuCollector, say: Say) -> None:
    files = repeated(paths, images)
    decode_limit = decode_alone(files, 64, say)
    decoder = make_decoder(gpu=True, threads=host_threads(1))
    on_device = [one for one in decoder.decode(encoded(files[:256])) if not isinstance(one, Refused)]
    table = [
        "| executor | precision | same choices | difference, indices forced | p95 | labels changed | passes |"
    ]
    table.append("|---|---|--:|--:|--:|--:|---|")
    for executor in EXECUTORS:
        for precision in PRECISIONS:
            settings = Settings(
                devices=(0,),
                executor=executor,
                precision=precision,
                allow_unmeasured=True,
            )
            say(f"\n### {executor}, {precision}\n")
            try:
                chain = Chain(bundle, settings)
            except (SetupError, BundleError) as error:
                say(f"Not run: {error}")
                table.append(f"| {executor} | {precision} | not run | | | | |")
                continue
            say(graph_table(chain.graphs, bundle.manifest))
            table.append(f"| {executor} | {precision} | {parity(bundle, chain, precision, paths[:200])} |")
            say(
                "\n| batch | whole path, images/s | of min(decode, model) | shares of a worker's time |"
                "\n|--:|--:|--:|---|"
            )
            for batch in BATCHES:
                limit = min(decode_limit, model_alone(chain, on_device, batch))
                rate, shares = whole_path(bundle, settings.model_copy(update={"batch": batch}), files)
                parts = ", ".join(f"{stage} {share:.0%}" for stage, share in shares.items())
                say(f"| {batch} | {rate:.0f} | {rate / limit:.2f} | {parts} |")
            say(f"\nWhat NVML says right after the last batch: {_figures(nvml)}.")
            del chain
    say("\n### Parity with OpenVINO fp32 on this machine's CPU, decoding included\n")
    say("\n".join(table))
    if all(spec.program for spec in bundle.manifest.graphs.values()):
        rate = plain_torch(bundle, files[:512], 64)
        say(f"\nPillow and plain torch, fp32, batch 64: {rate:.0f} images/s.")


def shipped_names() -> list[str]:
    """The bundles that ship, the default first."""
    return sorted((folder.name for folder in shipped()), key=lambda name: name != DEFAULT)


def path(bundles: Sequence[Bundle], paths: Sequence[Path], images: int, say: Say) -> None:
    """A row for each bundle, as it is served by default."""
    files = repeated(paths, images)
    decoder = make_decoder(gpu=True, threads=host_threads(1))
    say("\n## Bundles as they are served by default\n")
    limit = decode_alone(files, 64, say)
    on_device = [one for one in decoder.decode(encoded(files[:256])) if not isinstance(one, Refused)]
    say("")
    path_table(bundles, Settings(devices=(0,)), files, on_device, limit, say)


def repeated(paths: Sequence[Path], images: int) -> list[bytes]:
    """So many files, again from the first one where there are fewer."""
    data = [path.read_bytes() for path in paths]
    return (data * -(-images // len(data)))[:images]


def _figures(nvml: GpuCollector) -> str:
    said = {metric.name.removeprefix("assay_gpu_"): metric.samples[0].value for metric in nvml.collect()}
    return ", ".join(f"{name} {value:.4g}" for name, value in said.items()) or "nothing"


def main(
    bundle: Annotated[list[str] | None, typer.Option("--bundle", "-b", help="Repeat for more.")] = None,
    photos: Annotated[Path | None, typer.Option(help="Folder of JPEGs; made ones without.")] = None,
    images: int = 2048,
    part: Annotated[Part, typer.Option(help="Measure this alone.")] = "all",
    folder: Annotated[Path, typer.Option(help="Where gpu-NAME.md goes.")] = Path("bench/results"),
    check: Annotated[bool, typer.Option("--check", help="Only say whether there is a GPU.")] = False,
) -> None:
    """Measure on GPU 0, print Markdown and keep it."""
    gpu = gpu_or_sentence()
    if check:
        return
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / f"gpu-{re.sub(r'[^A-Za-z0-9]+', '-', gpu.name).strip('-').lower()}.md"
    place.write_text("")

    def say(text: str) -> None:
        print(text, flush=True)
        with place.open("a") as report:  # what was measured stays, whatever comes after it
            report.write(f"{text}\n")

    nvml = GpuCollector([0], verdicts)
    packages = ("cupy-cuda13x", "torch", "tensorrt", "tensorrt-rtx-cu13-bindings", "nvidia-dali-cuda130")
    say(f"# {gpu.name}\n\n{provenance(*packages, 'nvidia-nvimgcodec-cu13')}\n")
    with gpu.computing(gpu.decoded()):
        if part in ("all", "kernels"):
            say(f"## Kernels, batch 64 of 512x384\n\n{kernel_table(64)}")
        if part == "kernels":
            return
        if part == "decoders":
            with photographs(photos, images) as paths:
                decode_alone([path.read_bytes() for path in paths], 64, say)
            return
        if part == "path":
            with photographs(photos, images) as paths:
                path(list(map(find, bundle or shipped_names())), paths, images, say)
            return
        with photographs(photos, images) as paths, chosen_bundles(bundle or []) as chosen_ones:
            for chosen in chosen_ones:
                kind = "photographs" if photos else "made images"
                say(f"\n## {chosen.name} {chosen.version}, {len(paths)} {kind}\n")
                measure(chosen, paths, images, nvml, say)


if __name__ == "__main__":
    typer.run(main)

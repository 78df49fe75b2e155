"""Band purification against the plain PyTorch form, and the CPU's candidate forms against each other.

    python -m assay.bench.purify          a table in Markdown; where there is a GPU, its own after it

All forms get the same spectra (4 images of 224x224) and K = 15 pairs of bands a channel, and run in turn,
round after round, on one thread, whose CPU time is taken; a figure is a median over rounds, a ratio the
median of each round's own ratio. On a GPU the mask kernel is held against a copy that moves as many bytes.
"""

from collections.abc import Callable
from functools import partial
from time import thread_time
from typing import Any

import numpy as np
import scipy.fft
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from assay import kernels
from assay.kernels import purification

BATCH, CHANNELS, COUNT, SIDE = 4, 3, 15, 224
COLUMNS = SIDE // 2 + 1
ROUNDS = 15
Bands = NDArray[np.float32]
Inputs = tuple[Any, Any, Any]  # spectrum, amplitude bands, phase bands: arrays or tensors
Form = Callable[..., Any]


def naive(spectrum: torch.Tensor, amplitude_bands: torch.Tensor, phase_bands: torch.Tensor) -> torch.Tensor:
    """Modulus and angle, each masked, put together by cosine and sine: the form the paper writes down."""
    amplitude = spectrum.abs()[:, :, None] * _torch_cross(amplitude_bands)
    phase = spectrum.angle()[:, :, None] * _torch_cross(phase_bands)
    masked = torch.complex(amplitude * torch.cos(phase), amplitude * torch.sin(phase))
    images: torch.Tensor = torch.fft.irfft2(masked, s=(SIDE, SIDE))
    return images.transpose(1, 2).contiguous()


def _torch_cross(bands: torch.Tensor) -> torch.Tensor:
    lengths = torch.tensor([SIDE, SIDE, COLUMNS, COLUMNS], dtype=torch.float32, device=bands.device)
    valid = (bands[..., 1::2] > bands[..., ::2]).repeat_interleave(2, dim=-1)
    first_row, last_row, first, last = (
        (bands * valid * lengths).floor().clamp(min=torch.zeros_like(lengths), max=lengths - 1).unbind(-1)
    )
    row = torch.arange(SIDE, device=bands.device)[:, None]
    column = torch.arange(COLUMNS, device=bands.device)
    rows = (row >= first_row[..., None, None]) & (row <= last_row[..., None, None])
    return rows | ((column >= first[..., None, None]) & (column <= last[..., None, None]))


def whole_batch(spectrum: NDArray[Any], amplitude_bands: Bands, phase_bands: Bands) -> NDArray[Any]:
    """A candidate: all masked spectra first, then one transform."""
    modulus = np.abs(spectrum).astype(np.complex64)
    masked = np.zeros((BATCH, COUNT, CHANNELS, SIDE, COLUMNS), np.complex64)
    crosses = [
        purification.band_indices(bands, SIDE, COLUMNS).tolist() for bands in (amplitude_bands, phase_bands)
    ]
    for b, k, c in np.ndindex(masked.shape[:3]):
        amplitude, phase = (
            np.logical_or(*purification._sides(cross[b][c][k], SIDE, COLUMNS)) for cross in crosses
        )
        np.copyto(masked[b, k, c], modulus[b, c], where=amplitude)
        np.copyto(masked[b, k, c], spectrum[b, c], where=amplitude & phase)
    return np.asarray(scipy.fft.irfft2(masked, (SIDE, SIDE), overwrite_x=True))


def shipped(thin: int, spectrum: NDArray[Any], amplitude_bands: Bands, phase_bands: Bands) -> NDArray[Any]:
    """`kernels.purify` with another bound between its two CPU forms."""
    kept, purification.THIN = purification.THIN, thin
    try:
        return kernels.purify(spectrum, amplitude_bands, phase_bands, (SIDE, SIDE))
    finally:
        purification.THIN = kept


def band_kinds(rng: np.random.Generator, batch: int) -> dict[str, tuple[Bands, Bands]]:
    """Pairs of bands: as the published network starts out, of fixed widths, and anywhere."""
    shape = (batch, CHANNELS, COUNT)

    def start() -> Bands:
        prior = np.linspace(0, 0.9, COUNT, dtype=np.float32)[:, None]
        return np.asarray(prior + 1 / (1 + np.exp(-rng.normal(0, 0.1, (*shape, 4)))), np.float32)

    def wide(width: float) -> Bands:
        first = rng.uniform(0, 1 - width, (*shape, 2, 1))
        return np.concatenate((first, first + width), axis=-1).reshape(*shape, 4).astype(np.float32)

    def anywhere() -> Bands:
        return np.sort(rng.random((*shape, 2, 2)), axis=-1).reshape(*shape, 4).astype(np.float32)

    kinds: dict[str, Callable[[], Bands]] = {"at the start of training (prior + sigmoid)": start}
    kinds |= {f"{width:.0%} of each axis": partial(wide, width) for width in (0.01, 0.05, 0.2, 0.5)}
    kinds["anywhere, uniform"] = anywhere
    return {name: (kind(), kind()) for name, kind in kinds.items()}


def seconds(forms: dict[str, Callable[[], Any]]) -> dict[str, NDArray[np.float64]]:
    """Each form's CPU time in each round; the forms take turns, so what disturbs one disturbs all."""
    times: dict[str, list[float]] = {name: [] for name in forms}
    for _ in range(ROUNDS + 1):
        for name, form in forms.items():
            start = thread_time()
            form()
            times[name].append(thread_time() - start)
    return {name: np.array(rounds[1:]) for name, rounds in times.items()}


def on_cpu() -> None:
    rng = np.random.default_rng(0)
    spectrum = kernels.spectrum(rng.random((BATCH, CHANNELS, SIDE, SIDE), dtype=np.float32))
    candidates: dict[str, Form] = {
        "`purify`": partial(shipped, purification.THIN),
        "plane by plane": partial(shipped, 0),
        "outer products": partial(shipped, SIDE * SIDE),
        "whole batch": whole_batch,
    }
    print("| bands | PyTorch, ms |", " | ".join(candidates), "| PyTorch / `purify` | largest difference |")
    print("|---" * (len(candidates) + 4) + "|")
    for kind, (amplitude, phase) in band_kinds(rng, BATCH).items():
        tensors = [torch.from_numpy(array) for array in (spectrum, amplitude, phase)]
        forms = {name: partial(form, spectrum, amplitude, phase) for name, form in candidates.items()}
        times = seconds({"PyTorch": partial(naive, *tensors), **forms})
        expected = naive(*tensors).numpy()
        apart = max(float(np.abs(form() - expected).max()) for form in forms.values())
        cells = [f"{1e3 * np.median(rounds):.1f}" for rounds in times.values()]
        ratio = float(np.median(times["PyTorch"] / times["`purify`"]))
        print(f"| {kind} |", " | ".join(cells), f"| {ratio:.1f} | {apart / np.abs(expected).max():.0e} |")


def on_gpu(batch: int) -> None:
    """Needs CuPy's GPU, and PyTorch's for the last column."""
    import cupy
    from cupyx.profiler import benchmark

    def milliseconds(call: Callable[[], Any]) -> float:
        return 1e3 * float(np.median(benchmark(call, n_repeat=30, n_warmup=5).gpu_times))

    rng = np.random.default_rng(0)
    spectrum = kernels.spectrum(cupy.asarray(rng.random((batch, CHANNELS, SIDE, SIDE), dtype=np.float32)))
    moved = (1 + COUNT) * spectrum.nbytes
    source, target = cupy.zeros((2, moved // 2), np.uint8)
    copy = milliseconds(partial(cupy.copyto, target, source))
    print(f"{batch} images; copying {moved / 1e6:.0f} MB (read and written): {copy:.3f} ms\n")
    print("| bands | mask kernel, ms | of a copy's speed | `purify`, ms | PyTorch, ms | PyTorch / `purify` |")
    print("|---" * 6 + "|")
    for kind, bands in band_kinds(rng, batch).items():
        amplitude, phase = map(cupy.asarray, bands)
        tensors = [torch.utils.dlpack.from_dlpack(array) for array in (spectrum, amplitude, phase)]
        mask = milliseconds(
            partial(purification.masked_on_gpu, spectrum, amplitude, phase, SIDE, irrelevant=False)
        )
        whole = milliseconds(partial(kernels.purify, spectrum, amplitude, phase, (SIDE, SIDE)))
        plain = milliseconds(partial(naive, *tensors))
        print(
            f"| {kind} | {mask:.3f} | {copy / mask:.2f} | {whole:.3f} | {plain:.3f} | {plain / whole:.1f} |"
        )


def gpu_is_there() -> bool:
    try:
        import cupy
    except ImportError:
        return False
    return bool(cupy.is_available()) and torch.cuda.is_available()


def main() -> None:
    torch.set_num_threads(1)
    with threadpool_limits(1):
        on_cpu()
    if gpu_is_there():
        print()
        on_gpu(batch=4)
        print()
        on_gpu(batch=32)  # more bytes than a large GPU's cache holds


if __name__ == "__main__":
    main()

"""Training a denoiser on clean crops of photographs with synthetic camera noise, and judging it by PSNR."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Sampler

from assay.engine.errors import SetupError
from assay.engine.outcome import Refused
from assay.kernels import view
from assay.trainers.data.augment import Pixels
from assay.trainers.data.camera_noise import noisy
from assay.trainers.data.dataset import Draw, Prepare, TrainingSet, random_view
from assay.trainers.data.read import read_pixels
from assay.trainers.data.samples import Sample, of_split, read_samples
from assay.trainers.fit.distributed import Distributed
from assay.trainers.fit.loop import Fit
from assay.trainers.kinds.lnp.bundle import view_rule
from assay.trainers.kinds.lnp.denoiser.network import Denoiser, Student
from assay.trainers.kinds.lnp.denoiser.run import DenoiserRun, Network, Objective

JUDGED = 64
"""Photographs that a network is judged on after each epoch, at most."""
SIGMAS = (0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.3, 1.7)
"""Deviations in pixels of the Gaussian filters that a network is compared with."""


@dataclass(frozen=True, slots=True)
class NoisyBatch:
    """Images with noise (B, 3, S, S) in 0..1, their noise, and the files that could not be read."""

    images: Tensor
    labels: Tensor
    unreadable: tuple[Path, ...] = ()


class PhotographSampler(Sampler[Draw]):
    """An epoch of `crops` crops of each of `count` photographs, shuffled and shared out among processes.

    Everything follows from `seed` and `epoch`.
    """

    def __init__(self, count: int, crops: int, seed: int, epoch: int, rank: Distributed) -> None:
        self.count, self.crops, self.seed, self.epoch, self.rank = count, crops, seed, epoch, rank

    def __len__(self) -> int:
        return self.count * self.crops // self.rank.world

    def __iter__(self) -> Iterator[Draw]:
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.count * self.crops)
        for position in range(len(self)):
            turn = position * self.rank.world + self.rank.number
            yield Draw(int(order[turn]) % self.count, (self.seed, self.epoch, turn))


def build(network: Network, rrg: int = 4, dab: int = 8) -> Student | Denoiser:
    """The denoiser of that name, with random weights."""
    return Student() if network == "student" else Denoiser(rrg, dab)


def make_fit(run: DenoiserRun, folder: Path, weights: Path | None, workers: int, device: str = "auto") -> Fit:
    """The fit of a run, ready to start or to resume. Raises SetupError about data, weights or processes."""
    rank = Distributed(device)
    if run.batch % rank.world or run.batch // rank.world < 2:
        raise SetupError(
            f"a batch of {run.batch} cannot be shared out, two at least, by {rank.world} processes"
        )
    samples = [sample for sample in read_samples(run.data, run.min_side, run.only) if not sample.label]
    train, held_out = of_split(samples, "train"), of_split(samples, "val")
    torch.manual_seed(run.seed)
    model = build(run.network, run.rrg, run.dab)
    if weights is not None:
        if not isinstance(model, Denoiser):
            raise SetupError("published weights are those of the cycleisp network")
        model.load_published(weights)
    model.to(memory_format=torch.channels_last)  # a third faster on a CPU
    part = run.batch // rank.world
    prepare = noisy_pair(run.crop)

    def batches(epoch: int) -> Iterable[NoisyBatch]:
        sampler = PhotographSampler(len(train), run.crops, run.seed, epoch, rank)
        return DataLoader(
            TrainingSet(train, prepare),
            batch_size=part,
            sampler=sampler,
            num_workers=workers,
            collate_fn=_collate,
            drop_last=len(sampler) >= part,
        )

    def loss(network: nn.Module, batch: NoisyBatch) -> Tensor:
        images, noise = (tensor.to(rank.device) for tensor in (batch.images, batch.labels))
        return OBJECTIVES[run.objective](network(images).float(), noise)

    return Fit(
        model,
        batches=batches,
        steps=max(1, len(train) * run.crops // rank.world // part),
        loss=loss,
        validate=validator(held_out, run.crop),
        settings=run.fit,
        folder=folder,
        rank=rank,
    )


def log_error(pattern: Tensor, noise: Tensor) -> Tensor:
    """The mean over images of the logarithm of their mean squared error, which is PSNR by another name.

    An image with little noise counts as much as one with a lot. With the mean absolute error a small network
    first learns that noise is zero, and stays there for hundreds of steps.
    """
    errors: Tensor = (pattern - noise).square().mean(dim=(1, 2, 3))
    return (errors + 1e-8).log().mean()


OBJECTIVES: dict[Objective, Callable[[Tensor, Tensor], Tensor]] = {
    "psnr": log_error,
    "l1": functional.l1_loss,
}


def noisy_pair(size: int) -> Prepare:
    """A random crop of original pixels, with noise and without: two (3, size, size) float32 in 0..1.

    Noise is rounded to 8 bits, as photographs are.
    """
    cut = random_view((), view_rule(size))

    def prepare(pixels: Pixels, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        clean: NDArray[np.float32] = cut(pixels, rng)
        return _noised(clean, rng), clean

    return prepare


def validator(samples: Sequence[Sample], size: int) -> Callable[[nn.Module], Mapping[str, float]]:
    """Judges a network on the centres of up to 64 `samples`, the noise of each being always the same.

    Figures are mean PSNRs in dB, larger being better: `psnr` of the network's denoised images,
    `psnr_identity` of the noisy ones, `psnr_gaussian` of those filtered by a Gaussian, the deviation being
    that of `SIGMAS` which suits the image best. Raises SetupError if no photograph can be read.
    """
    chosen = samples[:: -(-len(samples) // JUDGED)]

    @cache
    def pairs() -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        found = []
        for number, sample in enumerate(chosen):
            try:
                clean = view([read_pixels(sample.path)], view_rule(size))[0]
            except (OSError, Refused):
                continue
            found.append((_noised(clean, np.random.default_rng((number, 1))), clean))
        if not found:
            raise SetupError(f"none of {len(chosen)} photographs to judge by could be read")
        return found

    @cache
    def baselines() -> dict[str, float]:
        return {
            "psnr_identity": _mean(psnr(given, clean) for given, clean in pairs()),
            "psnr_gaussian": _mean(best_gaussian(given, clean) for given, clean in pairs()),
        }

    def validate(network: nn.Module) -> Mapping[str, float]:
        device = next(network.parameters()).device
        scores = []
        with torch.inference_mode():
            for given, clean in pairs():
                pattern = network(torch.from_numpy(given)[None].to(device))[0].float().cpu().numpy()
                scores.append(psnr(np.clip(given - pattern, 0, 1), clean))
        return {"psnr": _mean(scores), **baselines()}

    return validate


def psnr(image: NDArray[np.float32], clean: NDArray[np.float32]) -> float:
    """The peak signal-to-noise ratio in dB of values in 0..1; at most 100."""
    error = np.square(image.astype(np.float64) - clean).mean()
    return float(-10 * np.log10(max(error, 1e-10)))


def best_gaussian(image: NDArray[np.float32], clean: NDArray[np.float32]) -> float:
    """The PSNR of a (3, H, W) image after the Gaussian filter of `SIGMAS` that suits it best."""
    return max(psnr(gaussian_filter(image, (0, sigma, sigma)), clean) for sigma in SIGMAS)


def _noised(clean: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """(3, S, S) with camera noise, in steps of 1/255."""
    found = noisy(clean.transpose(1, 2, 0), rng).transpose(2, 0, 1)
    return np.ascontiguousarray(np.rint(found * 255) / 255, np.float32)


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


def _collate(
    items: Sequence[tuple[tuple[NDArray[np.float32], NDArray[np.float32]], int] | Path],
) -> NoisyBatch:
    pairs = [item[0] for item in items if isinstance(item, tuple)]
    unreadable = tuple(item for item in items if isinstance(item, Path))
    if not pairs:
        return NoisyBatch(torch.empty(0, 3, 1, 1), torch.empty(0, 3, 1, 1), unreadable)
    given, clean = (torch.from_numpy(np.stack(images)) for images in zip(*pairs, strict=True))
    return NoisyBatch(given, given - clean, unreadable)

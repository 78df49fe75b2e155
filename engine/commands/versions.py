"""`assay --version`: the versions that decide what Assay does, looked up and not loaded."""

import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from assay.engine.bundle import SCHEMA
from assay.engine.version import own_version

PACKAGES = {
    "openvino": ("openvino",),
    "numpy": ("numpy",),
    "scipy": ("scipy",),
    "pillow": ("pillow",),
    "simplejpeg": ("simplejpeg",),
    "grpc": ("grpcio",),
    "kafka": ("kafka-python",),
    "heif": ("pillow-heif",),
    "torch": ("torch",),
    "cupy": ("cupy-cuda13x", "cupy-cuda12x", "cupy"),
    "dali": ("nvidia-dali-cuda130", "nvidia-dali-cuda120"),
    "nvimgcodec": ("nvidia-nvimgcodec-cu13", "nvidia-nvimgcodec-cu12"),
    "tensorrt": ("tensorrt",),
    "tensorrt-rtx": ("tensorrt-rtx-cu13-bindings",),
    "nncf": ("nncf",),
}
"""What is shown beside Assay, and the distributions that may bring it."""


def versions() -> Iterator[tuple[str, str]]:
    """(name, version) of Assay, what it runs on, and the bundles that it reads."""
    yield "assay", own_version()
    yield "bundle schema", str(SCHEMA)
    yield "python", platform.python_version()
    for name, distributions in PACKAGES.items():
        yield name, next(filter(None, map(_version, distributions)), "not installed")


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None

"""What every table of measurements says of itself: date, machine, versions."""

import os
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from assay.engine.bundle import Bundle
from assay.engine.settings import Settings
from assay.engine.worker.scorer import Chain


def provenance(*packages: str) -> str:
    """One paragraph of Markdown: when, on what, with which versions of `packages`."""
    versions = ", ".join(f"{package} {_version(package)}" for package in packages)
    return f"{datetime.now(UTC):%Y-%m-%d}, {len(os.sched_getaffinity(0))} cores of {cpu_name()}; {versions}."


def cpu_name() -> str:
    """The processor's name, and the arithmetic of it that decides inference speed."""
    info = Path("/proc/cpuinfo").read_text()
    fields = dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
    flags = {name.strip(): value for name, value in fields.items()}
    features = [
        name
        for name in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16")
        if name in flags.get("flags", "").split()
    ]
    return f"{flags.get('model name', 'unknown processor').strip()} ({', '.join(features)})"


def served_as(bundle: Bundle) -> str:
    """What an engine with its default settings makes of a bundle here: executor and precisions."""
    return Chain(bundle, Settings()).description


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"

"""What every table of measurements says of itself: date, machine, versions."""

import os
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

from assay.engine.bundle import Bundle
from assay.engine.load.machine import cpu_name
from assay.engine.settings import Settings
from assay.engine.worker.scorer import Chain


def provenance(*packages: str) -> str:
    """One paragraph of Markdown: when, on what, with which versions of `packages`."""
    versions = ", ".join(f"{package} {_version(package)}" for package in packages)
    return f"{datetime.now(UTC):%Y-%m-%d}, {len(os.sched_getaffinity(0))} cores of {cpu_name()}; {versions}."


def served_as(bundle: Bundle) -> str:
    """What an engine with its default settings makes of a bundle here: executor and precisions."""
    return Chain(bundle, Settings()).description


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"

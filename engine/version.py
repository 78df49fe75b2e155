"""Assay's own version: as installed, and in a checkout that is not, as its pyproject.toml says."""

import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"


def own_version() -> str:
    """The version; `unknown` of sources that lie about with neither."""
    try:
        return version("assay")
    except PackageNotFoundError:
        pass
    try:
        return str(tomllib.loads(PROJECT.read_text("utf-8"))["project"]["version"])
    except FileNotFoundError:
        return "unknown"

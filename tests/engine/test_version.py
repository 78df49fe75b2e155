"""Assay knows its version with an install and in a bare checkout."""

import tomllib
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from assay.engine import version
from assay.engine.executors.cache import Cache
from assay.engine.version import PROJECT, own_version


def absent(name: str) -> str:
    raise PackageNotFoundError(name)


def test_a_checkout_without_an_install_has_the_version_of_its_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = tomllib.loads(PROJECT.read_text())["project"]["version"]
    monkeypatch.setattr(version, "version", absent)
    assert own_version() == written
    assert f"assay-{written}" in Cache(tmp_path).timing_file("ort", "cpu").parts
    monkeypatch.setattr(version, "PROJECT", tmp_path / "pyproject.toml")
    assert own_version() == "unknown"

"""What is installed: each folder of code is a package of the distribution, and none is named that is gone."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_folder_of_code_is_installed() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]
    folders = {
        ".".join(("assay", *file.parent.relative_to(ROOT).parts))
        for top in settings["package-dir"].values()
        for file in (ROOT / top).rglob("__init__.py")
    }
    assert set(settings["packages"]) == folders

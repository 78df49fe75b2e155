"""A bundle that every peer can be given: one view of an image through one network."""

import json
import shutil
from pathlib import Path

from assay.engine.bundle import Bundle, find

SOURCE = "plain-mobilenet"


def one_view(folder: Path) -> Bundle:
    """plain-mobilenet in `folder`, which must not exist, with one centred crop instead of five."""
    shutil.copytree(find(SOURCE).path, folder)
    file = folder / "manifest.json"
    manifest = json.loads(file.read_text("utf-8"))
    manifest["view"]["crop"] = "centre"
    manifest["name"] = "one-view"
    file.write_text(json.dumps(manifest), "utf-8")
    return Bundle.load(folder)

"""`assay bundles`: what ships with Assay."""

import json
from typing import Annotated

import typer

from assay.engine.bundle import find, shipped


def bundles_command(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """List the bundles that can be named."""
    for path in shipped():
        bundle = find(str(path))
        row = {"name": bundle.name, "version": bundle.version, "kind": bundle.kind, "path": str(path)}
        print(json.dumps(row) if as_json else "{name:<24} {version:<8} {kind:<8} {path}".format(**row))

"""`assay sign` and `assay verify`: bundles under an Ed25519 signature."""

from pathlib import Path
from typing import Annotated

import typer

from assay.engine.bundle import Bundle, find
from assay.engine.security import signature


def sign_command(
    bundle: Annotated[Path, typer.Argument(help="Folder of the bundle; signature.json is written into it.")],
    key: Annotated[Path, typer.Option(help="PEM file of an Ed25519 private key.")],
) -> None:
    """Sign all files of a bundle, so that `assay serve --require-signature` takes it."""
    private = signature.private_key(key)
    found = Bundle.load(bundle)
    signature.sign(bundle, private)
    print(f"{found.name} {found.version} in {bundle} is signed")


def verify_command(
    bundle: Annotated[str, typer.Argument(help="A bundle: a folder, or the name of one that ships.")],
    key: Annotated[Path, typer.Option(help="PEM file of the Ed25519 public key.")],
) -> None:
    """Check that a bundle is, file for file, what the owner of a key signed."""
    public = signature.public_key(key)
    found = find(bundle)
    signature.verify(found.path, public)
    print(f"{found.name} {found.version} in {found.path} is what was signed")

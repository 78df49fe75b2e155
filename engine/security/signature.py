"""Signed bundles: the hashes of all their files under an Ed25519 signature.

`signature.json` holds the files' SHA-256, and the signature of that list as it is written: JSON with sorted
names and no spaces, behind a line that says what it is.
"""

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.engine.bundle import sha256_of
from assay.engine.errors import BundleError, SetupError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

FILE = "signature.json"
PURPOSE = b"assay bundle 1\n"
INSTALL = "signatures need cryptography, which is not installed: pip install 'assay[signing]'"


def sign(folder: Path, key: "Ed25519PrivateKey") -> None:
    """Writes the signature of all that is in `folder`. Raises BundleError where there are folders inside."""
    files = _hashes(folder)
    signature = base64.b64encode(key.sign(_message(files))).decode()
    text = json.dumps({"files": files, "signature": signature}, indent=1)
    (folder / FILE).write_text(text + "\n", "utf-8")


def verify(folder: Path, key: "Ed25519PublicKey") -> None:
    """Raises BundleError where the bundle is not, file for file, what the owner of `key` signed."""
    from cryptography.exceptions import InvalidSignature

    try:
        record = json.loads((folder / FILE).read_text("utf-8"))
        files, signature = record["files"], base64.b64decode(record["signature"], validate=True)
        key.verify(signature, _message(files))
    except FileNotFoundError:
        raise BundleError(f"bundle {folder} is not signed: it has no {FILE}") from None
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise BundleError(f"bundle {folder}: {FILE} cannot be read") from None
    except InvalidSignature:
        raise BundleError(f"bundle {folder} is not signed with the key that is required") from None
    found = _hashes(folder)
    for name in sorted(found.keys() | files.keys()):
        if found.get(name) != files.get(name):
            change = "differs" if name in files else "is not signed"
            change = change if name in found else "is not there"
            raise BundleError(f"bundle {folder}: {name} {change}, so it is not what was signed")


def private_key(file: Path) -> "Ed25519PrivateKey":
    """Raises SetupError where `file` is no Ed25519 private key as PEM without a password."""
    serialization, ed25519 = _cryptography()
    key: Ed25519PrivateKey = _key(
        file,
        "private",
        lambda pem: serialization.load_pem_private_key(pem, None),
        ed25519.Ed25519PrivateKey,
    )
    return key


def public_key(file: Path) -> "Ed25519PublicKey":
    """Raises SetupError where `file` is no Ed25519 public key as PEM."""
    serialization, ed25519 = _cryptography()
    key: Ed25519PublicKey = _key(file, "public", serialization.load_pem_public_key, ed25519.Ed25519PublicKey)
    return key


def _cryptography() -> tuple[Any, Any]:
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ModuleNotFoundError:
        raise SetupError(INSTALL) from None
    return serialization, ed25519


def _key(file: Path, which: str, load: Any, kind: Any) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        key = load(file.read_bytes())
    except OSError as error:
        raise SetupError(f"{file} cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, kind):
        raise SetupError(f"{file} is no Ed25519 {which} key as PEM without a password")
    return key


def _hashes(folder: Path) -> dict[str, str]:
    """By name, of every file but the signature itself."""
    if not folder.is_dir():
        raise BundleError(f"bundle {folder}: there is no such folder")
    files = sorted(path for path in folder.iterdir() if path.name != FILE)
    for path in files:
        if not path.is_file():
            raise BundleError(f"bundle {folder}: {path.name} is no file; a signed bundle has files alone")
    return {path.name: sha256_of(path) for path in files}


def _message(files: dict[str, str]) -> bytes:
    return PURPOSE + json.dumps(files, sort_keys=True, separators=(",", ":")).encode()

"""Signed bundles: any byte changed, any file added or gone, another key."""

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from support.bundles import plain_bundle
from support.command import exit_code


def write_keys(folder: Path, name: str) -> tuple[Path, Path]:
    key = Ed25519PrivateKey.generate()
    private, public = folder / f"{name}.key", folder / f"{name}.pub"
    encoding = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    private.write_bytes(key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, plain))
    info = serialization.PublicFormat.SubjectPublicKeyInfo
    public.write_bytes(key.public_key().public_bytes(encoding, info))
    return private, public


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    return write_keys(tmp_path, "mine")


@pytest.fixture
def signed(tmp_path: Path, keys: tuple[Path, Path]) -> Path:
    bundle = plain_bundle(tmp_path / "bundle")
    (bundle / "CARD.md").write_text("what it is")
    assert exit_code("sign", bundle, "--key", keys[0]) == 0
    return bundle


def said(capfd: pytest.CaptureFixture[str]) -> str:
    return " ".join(capfd.readouterr().err.split())


def test_what_was_signed_passes_and_signing_again_does_too(signed: Path, keys: tuple[Path, Path]) -> None:
    assert exit_code("verify", signed, "--key", keys[1]) == 0
    assert exit_code("sign", signed, "--key", keys[0]) == 0
    assert exit_code("verify", signed, "--key", keys[1]) == 0


@pytest.mark.parametrize("name", ["CARD.md", "classify.onnx", "signature.json", "manifest.json"])
def test_a_changed_byte_is_found(
    signed: Path, keys: tuple[Path, Path], name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    file = signed / name
    data = bytearray(file.read_bytes())
    place = data.find(b"1.0.0") if name == "manifest.json" else len(data) // 2
    data[place] = ord("2") if name == "manifest.json" else data[place] ^ 1
    file.write_bytes(data)
    assert exit_code("verify", signed, "--key", keys[1]) == 2
    assert str(signed) in said(capfd)


def test_files_come_and_go_unsigned(
    signed: Path, keys: tuple[Path, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    (signed / "more.bin").write_bytes(b"")
    assert exit_code("verify", signed, "--key", keys[1]) == 2
    assert "more.bin is not signed" in said(capfd)
    (signed / "more.bin").unlink()
    (signed / "CARD.md").unlink()
    assert exit_code("verify", signed, "--key", keys[1]) == 2
    assert "CARD.md is not there" in said(capfd)


@pytest.mark.parametrize(
    "record",
    ["", "[]", "{}", '{"files": [], "signature": ""}', '{"files": {}, "signature": 1}', "[" * 100_000],
)
def test_no_signature_file_is_a_defect(
    signed: Path, keys: tuple[Path, Path], record: str, capfd: pytest.CaptureFixture[str]
) -> None:
    (signed / "signature.json").write_text(record)
    assert exit_code("verify", signed, "--key", keys[1]) == 2
    assert said(capfd).startswith("assay: bundle")


def test_another_list_with_the_old_signature_does_not_pass(signed: Path, keys: tuple[Path, Path]) -> None:
    record = json.loads((signed / "signature.json").read_text())
    del record["files"]["CARD.md"]
    (signed / "CARD.md").unlink()
    (signed / "signature.json").write_text(json.dumps(record))
    assert exit_code("verify", signed, "--key", keys[1]) == 2


def test_no_bundle_is_served_without_the_signature_of_the_key(
    tmp_path: Path, signed: Path, keys: tuple[Path, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    _, other = write_keys(tmp_path, "other")
    serve = ("serve", "--grpc", "127.0.0.1:0", "--workers", 0, "--require-signature")
    assert exit_code(*serve, other, "--bundle", signed) == 2
    assert "is not signed with the key that is required" in said(capfd)
    unsigned = plain_bundle(tmp_path / "unsigned")
    assert exit_code(*serve, keys[1], "--bundle", signed, "--bundle", unsigned) == 2
    assert "is not signed: it has no signature.json" in said(capfd)
    assert exit_code(*serve, tmp_path / "none", "--bundle", signed) == 2
    assert "cannot be read" in said(capfd)


def test_keys_of_another_kind_are_refused(
    tmp_path: Path, signed: Path, keys: tuple[Path, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    wrong = tmp_path / "wrong.pub"
    info = serialization.PublicFormat.SubjectPublicKeyInfo
    curve = generate_private_key(SECP256R1()).public_key()
    wrong.write_bytes(curve.public_bytes(serialization.Encoding.PEM, info))
    for key in (wrong, keys[0]):
        assert exit_code("verify", signed, "--key", key) == 2
        assert "is no Ed25519 public key" in said(capfd)
    assert exit_code("sign", signed, "--key", keys[1]) == 2
    shown = said(capfd)
    assert "is no Ed25519 private key" in shown
    assert "BEGIN" not in shown

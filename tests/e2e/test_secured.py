"""A server behind certificates and tokens, and the command line's client: processes of their own."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.bundles import plain_bundle
from support.images import good
from support.secured import OTHER, TOKEN, Files
from support.server import Server

MAIN = ("-c", "from assay.engine.commands.app import main; main()")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("secured")


@pytest.fixture(scope="module")
def files(folder: Path) -> Files:
    return Files(folder)


@pytest.fixture(scope="module")
def photo(folder: Path) -> Path:
    photo = folder / "photo.jpg"
    photo.write_bytes(good()["jpeg 4:2:0"].data)
    return photo


@pytest.fixture(scope="module")
def server(folder: Path, files: Files) -> Iterator[Server]:
    config = folder / "assay.toml"
    config.write_text(
        f"workers = 1\n[grpc]\naddress = '127.0.0.1:0'\ncertificate_file = '{files.server[0]}'\n"
        f"key_file = '{files.server[1]}'\nclient_ca_file = '{files.authority}'\n"
        f"tokens_file = '{files.tokens}'\n"
        "[http]\naddress = '127.0.0.1:0'\n"
    )
    bundle = plain_bundle(folder / "bundle", min_side=8)
    with Server(*MAIN, "serve", "--bundle", str(bundle), "--config", str(config)) as server:
        yield server
        server.signal()
        assert server.wait() == 0


def client(server: Server, photo: Path, *options: object) -> "subprocess.CompletedProcess[str]":
    command = [*MAIN, "client", photo, "--server", f"localhost:{server.grpc}", "--json", *options]
    return subprocess.run(
        [sys.executable, *map(str, command)], capture_output=True, text=True, timeout=120, check=False
    )


def test_a_client_with_a_certificate_and_a_token_has_its_answer(
    server: Server, files: Files, photo: Path, folder: Path
) -> None:
    certificate, key = files.issue("client")
    token = folder / "token"
    token.write_text(TOKEN + "\n")
    tls = ("--ca-file", files.authority, "--certificate-file", certificate, "--key-file", key)

    answered = [client(server, photo, *tls, "--token-file", token) for _ in "ab"]
    for one in answered:
        assert one.returncode == 0, one.stderr
    first, again = (json.loads(one.stdout) for one in answered)
    assert first["id"] == again["id"] == str(photo)
    assert first["probability"] == again["probability"]
    assert "cached" not in first["seconds"]
    assert again["seconds"].keys() == {"cached"}  # the server keeps outcomes unless it is told not to
    assert 'assay_cache_images_total{answer="hit"} 1.0' in server.get("/metrics")[1]

    refused = client(server, photo, *tls)
    assert (refused.returncode, refused.stdout) == (2, "")
    (sentence,) = refused.stderr.splitlines()
    assert "token" in sentence

    wrong = folder / "wrong"
    wrong.write_text(OTHER[::-1])
    refused = client(server, photo, *tls, "--token-file", wrong)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert len(refused.stderr.splitlines()) == 1
    assert OTHER[::-1] not in refused.stderr


def test_a_client_without_a_certificate_gets_a_sentence(server: Server, files: Files, photo: Path) -> None:
    for options in ((), ("--tls",), ("--ca-file", files.authority)):
        refused = client(server, photo, *options)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert f"localhost:{server.grpc}" in refused.stderr.splitlines()[-1]

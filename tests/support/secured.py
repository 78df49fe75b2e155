"""Doors behind certificates and tokens, with the files and the clients that tests of them need."""

import datetime
import hashlib
import http.client
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import trustme
from support.stub_core import StubCore

from assay.engine.doors.grpc import GrpcDoor, GrpcSettings
from assay.engine.doors.http import HttpDoor, HttpSettings

TOKEN = "correct-horse-battery"
OTHER = "another-token-of-some-length"


class Files:
    """An authority and what it signed, as files of one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ca = trustme.CA()
        self.authority = folder / "ca.pem"
        self.ca.cert_pem.write_to_path(self.authority)
        self.server = self.issue("server")
        self.tokens = folder / "tokens"
        hashed = hashlib.sha256(OTHER.encode()).hexdigest()
        self.tokens.write_text(f"# who may score\nfree {TOKEN}\nslow sha256:{hashed} 0.01\n")

    def issue(self, name: str, ca: trustme.CA | None = None, **more: datetime.datetime) -> tuple[Path, Path]:
        issued = (ca or self.ca).issue_cert("localhost", "127.0.0.1", **more)
        certificate, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        certificate.write_bytes(b"".join(part.bytes() for part in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(key)
        return certificate, key

    def tls(self, mutual: bool = False) -> dict[str, Path]:
        pair = {"certificate_file": self.server[0], "key_file": self.server[1]}
        return {**pair, **({"client_ca_file": self.authority} if mutual else {})}


@contextmanager
def grpc_door(core: StubCore | None = None, **settings: Path) -> Iterator[int]:
    core = core or StubCore()
    door = GrpcDoor(core, GrpcSettings(address="127.0.0.1:0", **settings))  # type: ignore[arg-type]
    door.start()
    try:
        yield door.port
    finally:
        door.stop()
        core.stop()


@contextmanager
def http_door(core: StubCore | None = None, **settings: Path) -> Iterator[int]:
    chosen = HttpSettings(address="127.0.0.1:0", **settings)  # type: ignore[arg-type]
    door = HttpDoor(chosen, lambda: True, core)  # type: ignore[arg-type]
    door.start()
    try:
        yield door.port
    finally:
        door.stop()
        if core:
            core.stop()


def trusting(authority: Path, own: tuple[Path, Path] | None = None) -> grpc.ChannelCredentials:
    certificate, key = (own[0].read_bytes(), own[1].read_bytes()) if own else (None, None)
    return grpc.ssl_channel_credentials(authority.read_bytes(), key, certificate)


def fetch(
    port: int,
    path: str,
    files: Files | None = None,
    *,
    own: tuple[Path, Path] | None = None,
    token: str | None = None,
    method: str = "GET",
    body: bytes | None = None,
) -> tuple[int, dict[str, str], bytes]:
    headers = {"Authorization": f"bearer {token}"} if token is not None else {}
    if files is None:
        connection = http.client.HTTPConnection("localhost", port, timeout=30)
    else:
        context = ssl.create_default_context(cafile=files.authority)
        if own:
            context.load_cert_chain(*own)
        connection = http.client.HTTPSConnection("localhost", port, timeout=30, context=context)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()

"""Bundles of a running `assay serve` change by calls and by SIGHUP, under a stream of calls."""

import json
import shutil
import signal
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from support.bundles import plain_bundle
from support.images import encode, photograph
from support.serve import ASSAY
from support.server import Server

from assay.engine.client import Client
from assay.engine.outcome import Verdict
from assay.engine.security.signature import sign
from assay.engine.wire.inference import service_pb2 as pb
from assay.engine.wire.inference import service_pb2_grpc

DATA = encode(photograph(48, 64, seed=1))
OPEN = ("--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--workers", "1")


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


class Calls:
    """Unary calls, one after the other, until the end; each has to be answered by a verdict."""

    def __init__(self, port: int) -> None:
        self.versions: list[str] = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(port,))

    def _run(self, port: int) -> None:
        with Client(f"127.0.0.1:{port}") as client:
            while not self._end.is_set():
                number = str(len(self.versions))
                outcome = client.score(DATA, id=number)
                assert isinstance(outcome, Verdict)
                assert outcome.id == number
                self.versions.append(outcome.version)

    def __enter__(self) -> "Calls":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join(30)


def post(server: Server, path: str, body: bytes = b"") -> tuple[int, object]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{server.http}/v2/repository/{path}", body, method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    plain_bundle(tmp_path / "brightness")
    plain_bundle(tmp_path / "other", name="other")
    plain_bundle(tmp_path / "misnamed", name="named")
    return tmp_path


@pytest.fixture
def server(repository: Path) -> Iterator[Server]:
    options = ("--bundle", str(repository / "brightness"), "--repository", str(repository))
    with Server(ASSAY, "serve", *options, *OPEN) as server:
        yield server
        server.signal()
        assert server.wait() == 0
        assert "Traceback" not in server.err


def replace(folder: Path, **changed: object) -> None:
    shutil.rmtree(folder)
    plain_bundle(folder, **changed)  # type: ignore[arg-type]


def test_calls_change_what_is_served_and_lose_nothing(server: Server, repository: Path) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc}") as channel, Calls(server.grpc) as calls:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)

        def refused(method: str, **asked: str) -> str:
            message = getattr(pb, f"{method}Request")(**asked)
            with pytest.raises(grpc.RpcError) as error:
                getattr(stub, method)(message, timeout=60)
            assert error.value.code() is grpc.StatusCode.FAILED_PRECONDITION
            return str(error.value.details())

        until(lambda: len(calls.versions) > 3)
        assert "alone is served" in refused("RepositoryModelUnload", model_name="brightness")
        replace(repository / "brightness", version="2.0.0")
        stub.RepositoryModelLoad(pb.RepositoryModelLoadRequest(model_name="brightness"), timeout=60)
        metadata = stub.ModelMetadata(pb.ModelMetadataRequest(name="brightness"))
        assert list(metadata.versions) == ["2.0.0"]
        until(lambda: calls.versions[-1] == "2.0.0")

        replace(repository / "brightness", version="3.0.0")
        (repository / "brightness" / "classify.onnx").write_bytes(b"another")
        why = refused("RepositoryModelLoad", model_name="brightness")
        assert str(repository / "brightness") in why
        assert "SHA-256" in why
        replace(repository / "brightness", version="3.0.0", graph=b"no graph")
        assert "brightness" in refused("RepositoryModelLoad", model_name="brightness")
        for name in ("nobody", "../outside", "", "."):
            assert "there is no bundle" in refused("RepositoryModelLoad", model_name=name)
        assert "calls itself 'named'" in refused("RepositoryModelLoad", model_name="misnamed")

        assert post(server, "index", b'{"ready": true}')[1] == [
            {"name": "brightness", "version": "2.0.0", "state": "READY"}
        ]
        assert post(server, "models/other/load") == (200, {})
        states = {one.name: one.state for one in stub.RepositoryIndex(pb.RepositoryIndexRequest()).models}
        assert states == {"brightness": "READY", "other": "READY", "misnamed": "UNAVAILABLE"}
        assert post(server, "models/brightness/unload") == (200, {})
        status, said = post(server, "models/brightness/unload")
        assert (status, said) == (
            409, {"error": "bundle 'brightness' is not served here; served: other"}
        )  # fmt: skip
        assert post(server, "models/other/load", b'{"parameters": {"config": "{}"}}')[0] == 400
        assert post(server, "models/other/load", b"[]")[0] == 400
        assert post(server, "models/other")[0] == 404
        until(lambda: calls.versions[-1] == "1.0.0")  # of the other one, which is the default now
    first, second = (
        calls.versions.index("2.0.0"),
        calls.versions.index("1.0.0", calls.versions.index("2.0.0")),
    )
    assert set(calls.versions[:first]) == {"1.0.0"}
    assert set(calls.versions[first:second]) == {"2.0.0"}
    assert set(calls.versions[second:]) == {"1.0.0"}
    alone = 'assay_bundle_fleets{bundle="other",version="1.0.0"} 1.0'
    until(lambda: alone in server.get("/metrics")[1])


def test_sighup_reads_changed_folders_anew(repository: Path) -> None:
    folder = repository / "brightness"
    with Server(ASSAY, "serve", "--bundle", str(folder), *OPEN) as server, Calls(server.grpc) as calls:
        until(lambda: len(calls.versions) > 3)
        server.signal(signal.SIGHUP)
        until(lambda: "no bundle has changed" in server.err)
        replace(folder, version="2.0.0", min_side=0)
        server.signal(signal.SIGHUP)
        until(lambda: "the bundles stay as they are" in server.err)
        assert "min_side" in server.err
        assert calls.versions[-1] == "1.0.0"
        replace(folder, version="2.0.0")
        server.signal(signal.SIGHUP)
        until(lambda: calls.versions[-1] == "2.0.0")
        status, said = post(server, "models/brightness/load")
        assert status == 403
        assert "--repository" in str(said)
        shutil.rmtree(folder)  # a worker that is replaced gets what is served all the same
        calls.__exit__()
        server.signal()
        assert server.wait() == 0
        assert "Traceback" not in server.err
    assert sorted(calls.versions) == calls.versions


@pytest.mark.parametrize("again", [False, True])
def test_sigterm_ends_it_whatever_changes_are_under_way(repository: Path, again: bool) -> None:
    folder = repository / "brightness"
    with Server(ASSAY, "serve", "--bundle", str(folder), *OPEN) as server:
        assert server.grpc
        replace(folder, version="2.0.0")
        server.signal(signal.SIGHUP)
        if again:
            server.signal(signal.SIGHUP)
        server.signal()
        assert server.wait() == 0
        assert "Traceback" not in server.err


def test_a_bundle_that_is_not_signed_does_not_take_over(repository: Path, tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    folder, public = repository / "brightness", tmp_path / "public.pem"
    key = Ed25519PrivateKey.generate()
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    sign(folder, key)
    options = ("--bundle", str(folder), "--require-signature", str(public))
    with Server(ASSAY, "serve", *options, *OPEN) as server, Calls(server.grpc) as calls:
        until(lambda: len(calls.versions) > 3)
        replace(folder, version="2.0.0")
        server.signal(signal.SIGHUP)
        until(lambda: "the bundles stay as they are" in server.err)
        assert f"bundle {folder} is not signed" in server.err
        assert calls.versions[-1] == "1.0.0"
        sign(folder, key)
        server.signal(signal.SIGHUP)
        until(lambda: calls.versions[-1] == "2.0.0")

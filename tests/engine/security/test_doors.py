"""TLS, client certificates and tokens at both doors, with real clients on loopback, hostile ones too."""

import datetime
import hashlib
import http.client
import logging
import ssl
from pathlib import Path

import grpc
import pytest
import trustme
from grpc_health.v1 import health_pb2, health_pb2_grpc
from support.secured import OTHER, TOKEN, Files, fetch, grpc_door, http_door, trusting

from assay.engine.client import Client
from assay.engine.doors.grpc import GrpcSettings
from assay.engine.doors.http import HttpDoor, HttpSettings
from assay.engine.errors import AssayError, SetupError
from assay.engine.security import warn_if_open
from assay.engine.wire.assay.v1 import scoring_pb2 as pb
from assay.engine.wire.assay.v1 import scoring_pb2_grpc


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def listed(
    port: int, credentials: grpc.ChannelCredentials | None, token: str | None = None
) -> grpc.StatusCode:
    """The status of one call over a connection of its own; OK where it is answered."""
    address = f"localhost:{port}"
    options = [("grpc.use_local_subchannel_pool", 1)]
    made = (
        grpc.secure_channel(address, credentials, options)
        if credentials
        else grpc.insecure_channel(address, options)
    )
    metadata = [("authorization", f"Bearer {token}")] if token is not None else []
    with made as channel:
        stub = scoring_pb2_grpc.ScoringServiceStub(channel)
        try:
            stub.ListBundles(pb.ListBundlesRequest(), metadata=metadata, timeout=30)
        except grpc.RpcError as error:
            return error.code()
    return grpc.StatusCode.OK


def test_grpc_over_tls_refuses_who_trusts_another_or_speaks_plainly(files: Files) -> None:
    stranger = files.folder / "stranger.pem"
    trustme.CA().cert_pem.write_to_path(stranger)
    with grpc_door(**files.tls()) as port:
        assert listed(port, trusting(files.authority)) is grpc.StatusCode.OK
        assert listed(port, trusting(stranger)) is grpc.StatusCode.UNAVAILABLE
        assert listed(port, None) is grpc.StatusCode.UNAVAILABLE


def test_mtls_lets_in_those_of_its_authority_alone(files: Files) -> None:
    past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=2)
    mine = files.issue("client")
    wrong = files.issue("wrong", trustme.CA())
    expired = files.issue("expired", not_before=past - datetime.timedelta(days=2), not_after=past)
    with grpc_door(**files.tls(mutual=True)) as port, http_door(**files.tls(mutual=True)) as web:
        assert listed(port, trusting(files.authority, mine)) is grpc.StatusCode.OK
        assert fetch(web, "/livez", files, own=mine)[0] == 200
        for other in (None, wrong, expired):
            assert listed(port, trusting(files.authority, other)) is grpc.StatusCode.UNAVAILABLE
            with pytest.raises((ssl.SSLError, ConnectionError, http.client.RemoteDisconnected)):
                fetch(web, "/livez", files, own=other)
        assert fetch(web, "/livez", files, own=mine)[0] == 200


def test_a_new_certificate_is_used_without_a_restart(files: Files) -> None:
    with grpc_door(**files.tls()) as port, http_door(**files.tls()) as web:
        assert listed(port, trusting(files.authority)) is grpc.StatusCode.OK
        assert fetch(web, "/livez", files)[0] == 200
        files.ca = trustme.CA()
        files.ca.cert_pem.write_to_path(files.authority)
        files.issue("server")
        assert listed(port, trusting(files.authority)) is grpc.StatusCode.OK
        assert fetch(web, "/livez", files)[0] == 200


def test_a_broken_certificate_leaves_the_last_one_in_use(
    files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    with grpc_door(**files.tls()) as port, http_door(**files.tls()) as web:
        files.server[1].write_text("no key")
        assert listed(port, trusting(files.authority)) is grpc.StatusCode.OK
        assert fetch(web, "/livez", files)[0] == 200
    assert "what was read before stays in use" in caplog.text
    assert "no key" not in caplog.text


@pytest.mark.parametrize("token", [None, "", "wrong-token-of-length", TOKEN[:-1], TOKEN + "x", "\u00e9" * 20])
def test_without_a_known_token_nothing_but_probes_is_answered(files: Files, token: str | None) -> None:
    with http_door(tokens_file=files.tokens) as web:
        for path in ("/metrics", "/nonsense", "/v1/score", "/v2/repository/models/first/load"):
            for method in ("GET", "POST"):
                status, headers, body = fetch(web, path, token=token, method=method)
                assert (status, headers["WWW-Authenticate"]) == (401, "Bearer")
                assert TOKEN.encode() not in body
        assert fetch(web, "/livez", token=token)[0] == 200
        assert fetch(web, "/metrics", token=TOKEN)[0] == 200
    if token is None or token.isascii():
        with grpc_door(tokens_file=files.tokens) as port:
            assert listed(port, None, token) is grpc.StatusCode.UNAUTHENTICATED
            assert listed(port, None, TOKEN) is grpc.StatusCode.OK
            with grpc.insecure_channel(f"localhost:{port}") as channel:
                stub = health_pb2_grpc.HealthStub(channel)
                assert stub.Check(health_pb2.HealthCheckRequest(), timeout=30).status


def test_every_service_and_form_of_call_is_refused(files: Files) -> None:
    """Streams, reflection and what is not there: no call gets further than the check."""
    methods = (
        "/assay.v1.ScoringService/Score",
        "/assay.v1.ScoringService/ScoreStream",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        "/no.Service/Method",
    )
    with grpc_door(tokens_file=files.tokens) as port, grpc.insecure_channel(f"localhost:{port}") as channel:
        for method in methods:
            with pytest.raises(grpc.RpcError) as refused:
                channel.unary_unary(method)(b"\xff" * 100_000, timeout=30)
            assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
            with pytest.raises(grpc.RpcError) as refused:
                list(channel.stream_stream(method)(iter([b"\xff"]), timeout=30))
            assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_a_token_over_its_rate_is_told_when_to_come_back(files: Files) -> None:
    with http_door(tokens_file=files.tokens) as web:
        assert fetch(web, "/metrics", token=OTHER)[0] == 200
        status, headers, _ = fetch(web, "/metrics", token=OTHER)
        assert (status, int(headers["Retry-After"]) > 0) == (429, True)
        assert fetch(web, "/metrics", token=TOKEN)[0] == 200
    metadata = [("authorization", f"Bearer {OTHER}")]
    with grpc_door(tokens_file=files.tokens) as port, grpc.insecure_channel(f"localhost:{port}") as channel:
        stub = scoring_pb2_grpc.ScoringServiceStub(channel)
        stub.ListBundles(pb.ListBundlesRequest(), metadata=metadata, timeout=30)
        with pytest.raises(grpc.RpcError) as refused:
            stub.ListBundles(pb.ListBundlesRequest(), metadata=metadata, timeout=30)
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert int(dict(refused.value.trailing_metadata())["grpc-retry-pushback-ms"]) > 0
        assert listed(port, None, TOKEN) is grpc.StatusCode.OK


def test_a_stream_with_a_token_is_answered(files: Files) -> None:
    metadata = [("authorization", f"Bearer {TOKEN}")]
    with grpc_door(tokens_file=files.tokens) as port, grpc.insecure_channel(f"localhost:{port}") as channel:
        stub = scoring_pb2_grpc.ScoringServiceStub(channel)
        requests = [pb.ScoreStreamRequest(images=[pb.Image(id=str(n), data=b"\0" * 9)]) for n in range(20)]
        answers = stub.ScoreStream(iter(requests), metadata=metadata, timeout=30)
        assert {outcome.id for answer in answers for outcome in answer.outcomes} == set(map(str, range(20)))


def test_tokens_come_and_go_without_a_restart(files: Files, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with http_door(tokens_file=files.tokens) as web, grpc_door(tokens_file=files.tokens) as port:
        files.tokens.write_text("new a-token-that-came-later\n")
        assert fetch(web, "/metrics", token=TOKEN)[0] == 401
        assert fetch(web, "/metrics", token="a-token-that-came-later")[0] == 200
        assert listed(port, None, TOKEN) is grpc.StatusCode.UNAUTHENTICATED
        files.tokens.write_text("new\n")
        body = fetch(web, "/metrics", token="a-token-that-came-later")[2]
        files.tokens.unlink()
        assert fetch(web, "/metrics", token="a-token-that-came-later")[0] == 200
    assert "stays in use" in caplog.text
    for secret in (TOKEN, OTHER, "a-token-that-came-later", hashlib.sha256(OTHER.encode()).hexdigest()):
        assert secret not in caplog.text
        assert secret.encode() not in body


def test_a_plain_client_at_a_tls_port_is_no_event(files: Files, caplog: pytest.LogCaptureFixture) -> None:
    with http_door(**files.tls()) as web:
        with pytest.raises((http.client.HTTPException, OSError)):
            fetch(web, "/livez")
        assert fetch(web, "/metrics", files)[0] == 200
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []


def test_files_that_do_not_fit_are_said_before_the_door_opens(files: Files) -> None:
    _, other = files.issue("other")
    with pytest.raises(SetupError, match="are no certificate and its key"):
        HttpDoor(HttpSettings(address=":0", certificate_file=files.server[0], key_file=other), lambda: True)
    with pytest.raises(SetupError, match="cannot be read: No such file"):
        HttpDoor(HttpSettings(address=":0", tokens_file=files.folder / "none"), lambda: True)
    with pytest.raises(ValueError, match="belong together"):
        GrpcSettings(address=":0", certificate_file=files.server[0])
    with pytest.raises(ValueError, match="client_ca_file needs"):
        GrpcSettings(address=":0", client_ca_file=files.authority)


@pytest.mark.parametrize(
    ("host", "given", "said"),
    [
        ("127.0.0.1", (), ""),
        ("::1", (), ""),
        ("localhost", (), ""),
        ("0.0.0.0", (), "gRPC on 0.0.0.0 is open beyond this machine without TLS and tokens"),
        ("::", ("tls",), "without tokens"),
        ("0.0.0.0", ("tokens",), "without TLS"),
        ("0.0.0.0", ("tls", "tokens"), ""),
        ("0.0.0.0", ("mtls",), ""),
    ],
)
def test_an_open_door_says_so_once(
    files: Files, host: str, given: tuple[str, ...], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    named: dict[str, Path] = {"tokens_file": files.tokens} if "tokens" in given else {}
    if "tls" in given or "mtls" in given:
        named |= files.tls(mutual="mtls" in given)
    warn_if_open("gRPC", host, GrpcSettings(address=":0", **named))  # type: ignore[arg-type]
    assert len(caplog.records) == bool(said)
    assert said in caplog.text


def test_the_client_has_certificates_and_a_token(files: Files) -> None:
    credentials = trusting(files.authority, files.issue("client"))
    with grpc_door(**files.tls(mutual=True), tokens_file=files.tokens) as port:
        address = f"localhost:{port}"
        with Client(address, credentials=credentials, token=TOKEN) as client:
            assert client.score(b"\0" * 9, "one").id == "one"
            images = [(str(n), b"\0" * 9) for n in range(5)]
            assert {outcome.id for outcome in client.score_many(images)} == set("01234")
        with Client(address, credentials=credentials, token="another-that-is-wrong") as client:
            with pytest.raises(AssayError, match="bearer token") as refused:
                client.score(b"\0" * 9, "one")
            assert "another-that-is-wrong" not in str(refused.value)

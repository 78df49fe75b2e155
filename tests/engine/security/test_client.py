"""What a client is given to show who it is: wrong files are a sentence before anything is sent."""

from pathlib import Path

import pytest
from support import command
from support.secured import OTHER, TOKEN, Files, grpc_door

from assay.engine.client import Client
from assay.engine.errors import SetupError
from assay.engine.outcome import Verdict
from assay.engine.security.client import channel_credentials, read_token


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def test_nothing_asked_for_is_no_tls() -> None:
    assert channel_credentials() is None
    assert channel_credentials(tls=True) is not None


@pytest.mark.parametrize("mutual", [False, True])
def test_the_files_open_a_door(files: Files, mutual: bool) -> None:
    own = files.issue("client") if mutual else (None, None)
    with (
        grpc_door(**files.tls(mutual), tokens_file=files.tokens) as port,
        Client(
            f"localhost:{port}", credentials=channel_credentials(False, files.authority, *own), token=TOKEN
        ) as client,
    ):
        assert isinstance(client.score(b"good"), Verdict)


def test_a_wrong_file_is_named(files: Files, tmp_path: Path) -> None:
    certificate, key = files.issue("client")
    other = files.issue("other")[1]
    text = tmp_path / "text"
    text.write_text("no certificate")
    for ca, own, named in [
        (tmp_path / "nowhere.pem", (None, None), "nowhere.pem cannot be read"),
        (text, (None, None), "text holds no certificate"),
        (None, (certificate, None), "belong together"),
        (None, (None, key), "belong together"),
        (None, (certificate, other), "no certificate and its key"),
        (None, (certificate, text), "no certificate and its key"),
        (files.authority, (certificate, tmp_path / "gone"), "gone cannot be read"),
    ]:
        with pytest.raises(SetupError, match=named):
            channel_credentials(False, ca, *own)


@pytest.mark.parametrize(
    "content", [b"", b"\n \n", b"two words", "schlüssel".encode(), b"\xff\xfe", b"a\nb", b"a\x00b"]
)
def test_what_is_no_token_is_not_shown(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "token"
    file.write_bytes(content)
    with pytest.raises(SetupError, match="holds no token") as raised:
        read_token(file)
    assert "words" not in str(raised.value).replace(str(file), "")


def test_a_token_is_its_line(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"  {OTHER}\r\n")
    assert read_token(file) == OTHER


def test_the_command_says_what_is_wrong_in_a_sentence(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    nowhere = tmp_path / "nowhere"
    for option in ("--ca-file", "--token-file"):
        assert command.exit_code("client", tmp_path, "--server", "localhost:1", option, nowhere) == 2
        said = capfd.readouterr().err
        assert f"{nowhere} cannot be read" in said
        assert len(said.splitlines()) == 1

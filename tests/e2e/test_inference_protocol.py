"""docs/inference-protocol.md against `assay serve`: every command and script on the page is run."""

import json
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest
from support.images import encode, photograph
from support.serve import ASSAY
from support.server import Server

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "inference-protocol.md").read_text("utf-8")
SCHEMAS = {
    name: json.loads((ROOT / "engine" / f"{name}.schema.json").read_text("utf-8"))
    for name in ("outcome", "inference")
}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(ASSAY, "serve", "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--workers", "1") as server:
        yield server
        server.signal()
        assert server.wait() == 0
        assert "Traceback" not in server.err


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "photo.jpg").write_bytes(encode(photograph(300, 400, seed=1)))
    (tmp_path / "notes.txt").write_text("not an image")
    return tmp_path


def blocks(language: str, server: Server) -> list[str]:
    """The page's blocks of code, for the ports of this server."""
    found = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    ports = {"localhost:8001": f"127.0.0.1:{server.grpc}", "localhost:8002": f"127.0.0.1:{server.http}"}
    for address, here in ports.items():
        found = [block.replace(address, here) for block in found]
    return found


def test_the_script_of_the_page_scores_its_files(server: Server, folder: Path) -> None:
    (script,) = blocks("python", server)
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    photo, notes = done.stdout.splitlines()
    assert re.fullmatch(r"photo\.jpg [01]\.\d+ (authentic|synthetic|uncertain)", photo)
    assert notes == "notes.txt nan unsupported_format"


@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("base64")), reason="needs curl and base64")
def test_the_commands_of_the_page_answer_json_of_the_schemas(server: Server, folder: Path) -> None:
    answers = []
    for line in "".join(blocks("sh", server)).splitlines():
        done = subprocess.run(["sh", "-c", line], cwd=folder, capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, line
        if line.startswith("curl"):
            answers.append(json.loads(done.stdout))
    plain, named, live, ready, about, model, response = answers
    for outcome in (plain, named):
        jsonschema.validate(outcome, SCHEMAS["outcome"])
        assert outcome["bundle"] == "stages-mobilenet"
    assert named["id"] == "photo.jpg"
    assert (live, ready) == ({"live": True}, {"ready": True})
    for message in (about, model, response):
        jsonschema.validate(message, SCHEMAS["inference"])
    columns = {output["name"]: output["data"] for output in response["outputs"]}
    assert columns["probability"] == [named["probability"]]
    assert columns["score_plain"] == [named["scores"]["plain"]]


def test_what_is_wrong_with_a_file_is_the_status(server: Server, folder: Path) -> None:
    sent = urllib.request.Request(
        f"http://127.0.0.1:{server.http}/v1/score", (folder / "notes.txt").read_bytes()
    )
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(sent, timeout=30)
    with error.value:
        assert error.value.code == 415
        record = json.load(error.value)
    jsonschema.validate(record, SCHEMAS["outcome"])
    assert record["rejected"] == "unsupported_format"
    assert (
        'outcomes_total{bundle="stages-mobilenet",outcome="unsupported_format"}' in server.get("/metrics")[1]
    )

"""C2PA manifests made and signed here: whole, tampered with, trusted or not, elsewhere, and hostile."""

import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.c2pa import action, authority, signed
from support.images import encode, photograph

from assay.engine.admission import admit
from assay.engine.errors import SetupError
from assay.engine.provenance import Checker, Manifest, Provenance, Source, c2pa, claims
from assay.engine.provenance.verifier import summary
from assay.engine.settings import Limits

pytest.importorskip("c2pa")

MADE = action("created", "trainedAlgorithmicMedia")
FORMATS = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp", "TIFF": "image/tiff"}


@pytest.fixture(scope="module")
def checker() -> Iterator[Checker]:
    checker = Checker()
    yield checker
    checker.close()


def image(format: str = "JPEG") -> bytes:
    return encode(photograph(), format)


def read(data: bytes, checker: Checker) -> Provenance | None:
    return claims(data, admit(data, Limits(), 1), checker)


def manifest_of(data: bytes, checker: Checker) -> Manifest:
    found = read(data, checker)
    assert found
    assert found.manifest
    return found.manifest


@pytest.mark.parametrize("format", [*FORMATS, "AVIF"])
def test_a_signed_image_says_what_it_is_and_a_changed_one_does_not_hold(
    format: str, checker: Checker
) -> None:
    data = signed(image(format), FORMATS.get(format, "image/avif"), MADE)
    whole = read(data, checker)
    assert whole
    assert whole.manifest == Manifest(
        "valid",
        "no_list",
        signer="A Camera, Tests",
        generator="a test",
        types=("trainedAlgorithmicMedia",),
        declares=Source.SYNTHETIC,
    )
    assert whole.declared == (Source.SYNTHETIC, "c2pa")
    plain = image(format)
    place = data.index(plain[-40:-20]) if format != "TIFF" else data.index(plain[2000:2020])
    changed = bytearray(data)
    changed[place] ^= 1
    broken = read(bytes(changed), checker)
    assert broken
    assert broken.manifest
    assert broken.manifest.signature == "invalid"
    assert "ash.mismatch" in broken.manifest.why
    assert broken.declared is None  # what it says was said of another image


def test_an_unsigned_image_has_no_manifest(checker: Checker) -> None:
    assert read(image(), checker) is None


def test_a_trust_list_says_whose_signature_it_is(tmp_path: Path) -> None:
    file = tmp_path / "trust.pem"
    file.write_text(authority().root)
    checker = Checker(file)
    own = manifest_of(signed(image(), "image/jpeg", MADE), checker)
    other = manifest_of(signed(image(), "image/jpeg", MADE, by=authority("Somebody")), checker)
    checker.close()
    assert (own.signature, own.trust) == ("valid", "listed")
    assert (other.signature, other.trust, other.signer) == ("valid", "not_listed", "Somebody, Tests")


@pytest.mark.parametrize("content", [None, "", "no certificate", b"\xff\xfe"])
def test_a_trust_list_that_is_none_is_one_sentence(tmp_path: Path, content: str | bytes | None) -> None:
    file = tmp_path / "trust.pem"
    if content is not None:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SetupError, match=r"trust list .* cannot be read"):
        Checker(file)


def test_without_the_library_a_manifest_is_unchecked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    data = signed(image(), "image/jpeg", MADE)
    monkeypatch.setattr(c2pa, "find_spec", lambda name: None)
    found = read(data, Checker())
    assert found
    assert found.manifest == Manifest("unchecked", why=c2pa.ABSENT)
    assert found.declared is None
    file = tmp_path / "trust.pem"
    file.write_text(authority().root)
    with pytest.raises(SetupError, match="pip install"):
        Checker(file)


def test_a_manifest_elsewhere_is_not_fetched(checker: Checker) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}/manifest.c2pa"
        found = read(signed(image(), "image/jpeg", MADE, remote=address), checker)
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()
    assert found
    assert found.manifest == Manifest("unchecked", why="its manifest lies elsewhere and is not fetched")
    assert [claim.text for claim in found.claims if claim.field == "provenance"] == [address]


@pytest.mark.parametrize(
    ("actions", "declares"),
    [
        ([action("created", "digitalCapture")], Source.CAPTURE),
        ([action("created", "compositeWithTrainedAlgorithmicMedia")], Source.PARTLY),
        ([action("created", "digitalCapture"), action("edited", "trainedAlgorithmicMedia")], Source.PARTLY),
        ([action("created", "digitalArt")], None),
    ],
)
def test_what_was_edited_in_is_a_part(
    actions: list[dict[str, Any]], declares: Source | None, checker: Checker
) -> None:
    assert manifest_of(signed(image(), "image/jpeg", *actions), checker).declares is declares


@pytest.mark.parametrize(
    ("relationship", "declares"), [("parentOf", Source.SYNTHETIC), ("componentOf", Source.PARTLY)]
)
def test_ingredients_that_were_edited_count_and_those_that_were_placed_are_parts(
    relationship: str, declares: Source
) -> None:
    def store(relationship: str) -> dict[str, Any]:
        made = {"label": "c2pa.actions.v2", "data": {"actions": [MADE]}}
        ingredients = [{"relationship": relationship, "active_manifest": "old"}, {"active_manifest": "new"}]
        return {
            "active_manifest": "new",
            "validation_state": "Valid",
            "manifests": {
                "new": {"assertions": [], "ingredients": ingredients},
                "old": {"assertions": [made], "ingredients": [{"active_manifest": "new"}]},
            },
        }

    assert c2pa.manifest(summary(store(relationship)), listed=False).declares is declares


def test_a_helper_that_dies_is_replaced_and_one_that_hangs_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data, checker = signed(image(), "image/jpeg", MADE), Checker()
    assert manifest_of(data, checker).signature == "valid"
    assert checker.pid
    os.kill(checker.pid, signal.SIGKILL)
    os.waitid(os.P_PID, checker.pid, os.WEXITED | os.WNOWAIT)
    assert manifest_of(data, checker).signature == "unchecked"
    assert manifest_of(data, checker).signature == "valid"
    os.kill(checker.pid, signal.SIGSTOP)
    monkeypatch.setattr(c2pa, "SECONDS", 0.0)
    stopped = manifest_of(data, checker)
    assert stopped.signature == "unchecked"
    assert "it took more than" in stopped.why
    assert checker.pid is None


def test_a_manifest_that_is_huge_or_garbage_costs_no_more_than_itself(checker: Checker) -> None:
    data = signed(image(), "image/jpeg", MADE)
    start = data.index(b"\xff\xeb")
    length = int.from_bytes(data[start + 2 : start + 4], "big")
    noise = data[: start + 12] + os.urandom(length - 10) + data[start + 2 + length :]
    assert manifest_of(noise, checker).signature == "invalid"
    segment = b"\xff\xeb\xff\xff" + data[start + 4 : start + 40] + bytes(0xFFFF - 38)
    many = data[:start] + segment * (c2pa.MOST_MANIFEST // len(segment) + 1) + data[start:]
    huge = manifest_of(many, checker)
    assert huge.signature == "unchecked"
    assert "at most" in huge.why
    assert manifest_of(data, checker).signature == "valid"


def test_boxes_within_boxes_do_not_reach_the_worker(checker: Checker) -> None:
    inner = b""
    for _ in range(6000):
        inner = (len(inner) + 8).to_bytes(4, "big") + b"jumb" + inner
    content = b"JP\0\1\0\0\0\1" + inner[:65000]
    data = image()
    data = data[:2] + b"\xff\xeb" + (len(content) + 2).to_bytes(2, "big") + content + data[2:]
    assert manifest_of(data, checker).signature in ("invalid", "unchecked")


def test_the_helper_ends_with_its_owner_however_that_ends(tmp_path: Path) -> None:
    file = tmp_path / "signed.jpg"
    file.write_bytes(signed(image(), "image/jpeg", MADE))
    code = (
        "import os, sys\n"
        "from assay.engine.provenance import Checker\n"
        "checker = Checker()\n"
        "checker(open(sys.argv[1], 'rb').read(), 'jpeg', 1)\n"
        "print(checker.pid, flush=True)\n"
        "sys.stdin.read()\n"
        "os._exit(0)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as owner:
        assert owner.stdout
        assert owner.stdin
        helper = os.pidfd_open(int(owner.stdout.readline()))
        owner.stdin.close()
        owner.wait()
    poll = select.poll()
    poll.register(helper, select.POLLIN)
    assert poll.poll(60_000)
    os.close(helper)


def test_a_child_made_by_fork_leaves_the_helper_to_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    data, checker = signed(image(), "image/jpeg", MADE), Checker()
    assert manifest_of(data, checker).signature == "valid"
    pid, our_pid = checker.pid, os.getpid()
    with monkeypatch.context() as child:
        child.setattr(os, "getpid", lambda: our_pid + 1)
        assert checker._helper
        c2pa._end(checker._helper._process, checker._helper._file, our_pid)
    assert manifest_of(data, checker).signature == "valid"
    assert checker.pid == pid
    checker.close()


def test_nothing_is_loaded_at_the_start() -> None:
    code = "import sys, assay.engine.worker.scorer; sys.exit('c2pa' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)

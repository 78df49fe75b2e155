"""Whether the signature of a C2PA manifest holds, and what the manifest says.

The check runs in a helper process, which is started at the first manifest, lives as long as its `Checker` and
is replaced when it dies or hangs: whatever a manifest does to the library, the image keeps its verdict.
"""

import json
import logging
import os
import select
import ssl
import subprocess
import sys
import weakref
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from time import monotonic
from typing import Any, Literal

from assay.engine.errors import SetupError
from assay.engine.provenance import verifier
from assay.engine.provenance.claim import Source, shortened, source_type
from assay.engine.provenance.piece import Data

log = logging.getLogger(__name__)

MOST_MANIFEST = 8 << 20
"""Bytes of a manifest store that is checked; they hold thumbnails."""
MOST_TYPES = 8
"""Digital source types that are listed; all count."""
SECONDS = 10.0
"""How long a check may take by the clock, the start of the helper included."""
MIMES = {name: f"image/{name}" for name in ("jpeg", "png", "webp", "tiff", "avif", "heic")}

ABSENT = "c2pa-python is not installed (pip install 'assay[provenance]')"


@dataclass(frozen=True, slots=True)
class Manifest:
    """The manifest of an image.

    signature: whether the signature and all hashes hold, `unchecked` where nobody looked; why: what did not
    hold, or why nobody looked; trust: whether the signer is on the operator's trust list, or there is none.
    """

    signature: Literal["valid", "invalid", "unchecked"]
    trust: Literal["listed", "not_listed", "no_list"] = "no_list"
    why: str = ""
    signer: str = ""
    generator: str = ""
    types: tuple[str, ...] = ()
    declares: Source | None = None

    def to_dict(self) -> dict[str, Any]:
        record: dict[str, Any] = {"signature": self.signature}
        if self.signature != "unchecked":
            record["trust"] = self.trust
        texts = {"why": self.why, "signer": self.signer, "generator": self.generator}
        record |= {name: shortened(text) for name, text in texts.items() if text}
        if self.types:
            record["source_types"] = [shortened(name) for name in self.types]
        return record | ({"declares": self.declares.value} if self.declares else {})


class Checker:
    """Checks manifests, one at a time. `trust_list`: a PEM file of the certificates that are trusted.

    Raises:
        SetupError: the trust list cannot be read, or c2pa-python, which it is for, is not installed.
    """

    def __init__(self, trust_list: Path | None = None) -> None:
        self._trust_list = trust_list
        self._installed = find_spec("c2pa") is not None
        self._helper: Helper | None = None
        if trust_list:
            _check(trust_list)
            if not self._installed:
                raise SetupError(f"the setting 'trust_list' needs c2pa-python: {ABSENT}")

    def __call__(self, data: Data, format: str, size: int) -> Manifest:
        """The manifest of an encoded image, of `size` bytes. Raises nothing for what they are."""
        if not self._installed:
            return Manifest("unchecked", why=ABSENT)
        if size > MOST_MANIFEST:
            return Manifest("unchecked", why=f"it has {size} bytes; at most {MOST_MANIFEST} are checked")
        try:
            self._helper = self._helper or Helper(self._trust_list)
            answer = self._helper.ask(data, MIMES[format])
        except (OSError, ValueError) as error:  # TimeoutError is an OSError, and so is a broken pipe
            log.warning("the check of a C2PA manifest failed: %s", error)
            self.close()
            return Manifest("unchecked", why=f"the check failed: {error}")
        return manifest(answer, listed=self._trust_list is not None)

    @property
    def pid(self) -> int | None:
        """Of the helper, while there is one."""
        return self._helper.pid if self._helper else None

    def close(self) -> None:
        """End the helper; the next manifest starts another."""
        if self._helper:
            self._helper.end()
        self._helper = None


def manifest(answer: Mapping[str, Any], listed: bool) -> Manifest:
    """A `Manifest` of what the verifier says; `listed`: there is a trust list."""
    valid = answer["state"] in ("Valid", "Trusted")
    broken = [code for code in answer["codes"] if code != "signingCredential.untrusted"]
    found = [(*source_type(source["type"]), source["whole"]) for source in answer.get("sources", ())]
    declared = {_declared(source, whole) for _, source, whole in found}
    return Manifest(
        signature="valid" if valid else "invalid",
        trust=("listed" if answer["state"] == "Trusted" else "not_listed") if listed else "no_list",
        why="" if valid else ", ".join(broken) or answer.get("error") or "no reason is given",
        signer=answer.get("signer", ""),
        generator=answer.get("generator", ""),
        types=tuple(dict.fromkeys(name for name, *_ in found))[:MOST_TYPES],
        declares=next((source for source in Source if source in declared), None),
    )


def _declared(source: Source | None, whole: bool) -> Source | None:
    """What a source type says of the image: of a part nothing but that it is there."""
    if whole or source is None or source is Source.PARTLY:
        return source
    return Source.PARTLY if source is Source.SYNTHETIC else None


class Helper:
    """A running verifier."""

    def __init__(self, trust_list: Path | None) -> None:
        self._file = os.memfd_create("assay-provenance", os.MFD_CLOEXEC)
        arguments = [str(self._file), *([str(trust_list)] if trust_list else [])]
        self._process = subprocess.Popen(
            [sys.executable, "-P", verifier.__file__, *arguments],
            pass_fds=[self._file],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self.pid = self._process.pid
        self.end = weakref.finalize(self, _end, self._process, self._file, os.getpid())

    def ask(self, data: Data, mime: str) -> Any:
        """What the verifier says of an encoded image. Raises OSError or ValueError: it did not answer."""
        assert self._process.stdin
        os.ftruncate(self._file, 0)
        with open(self._file, "wb", closefd=False) as file:
            file.seek(0)  # the helper's end of it has the same position
            file.write(data)
        self._process.stdin.write(json.dumps({"type": mime}).encode() + b"\n")
        self._process.stdin.flush()
        answer = json.loads(self._line())
        os.ftruncate(self._file, 0)
        return answer

    def _line(self) -> bytes:
        assert self._process.stdout
        answers, end, line = self._process.stdout.fileno(), monotonic() + SECONDS, b""
        poll = select.poll()
        poll.register(answers, select.POLLIN)
        while not line.endswith(b"\n"):
            if not poll.poll(max(0.0, end - monotonic()) * 1000):
                raise TimeoutError(f"it took more than {SECONDS:.0f} s")
            piece = os.read(answers, 1 << 16)
            if not piece:
                raise OSError(f"the helper ended with code {self._process.wait()}")
            line += piece
        return line


def _end(process: "subprocess.Popen[bytes]", file: int, owner: int) -> None:
    if os.getpid() != owner:  # a child made by fork ends; the helper is its parent's
        return
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe:
            with suppress(OSError):  # what was to be written to it has no reader any more
                pipe.close()
    os.close(file)


def _check(trust_list: Path) -> None:
    """Raises SetupError for a file that is no list of certificates."""
    try:
        text = trust_list.read_text("utf-8")
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=text)
    except (OSError, ValueError) as error:
        words = getattr(error, "strerror", None) or error
        raise SetupError(
            f"trust list {trust_list} cannot be read: {words}; it must hold certificates in PEM form"
        ) from None

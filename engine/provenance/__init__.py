"""What a file says about where it comes from: evidence beside a verdict, never the verdict.

Metadata are read from the places where they lie, in time and memory that are bounded whatever the file holds;
what is broken is passed over. Nothing is fetched from anywhere. `docs/provenance.md` says what is recognised
and what it is worth.
"""

import logging
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from assay.engine.admission import Header
from assay.engine.provenance import bmff, exif, jpeg, png, webp, xmp
from assay.engine.provenance.c2pa import Checker, Manifest
from assay.engine.provenance.claim import MOST_READ, Claim, Source, of_text, of_tool
from assay.engine.provenance.piece import Data, Piece, Walk

__all__ = ["MOST_CLAIMS", "Checker", "Claim", "Manifest", "Provenance", "Source", "claims", "in_words"]

log = logging.getLogger(__name__)

MOST_CLAIMS = 16
"""Claims of one image that are kept."""
_WALKS: Mapping[str, Walk] = {
    "jpeg": jpeg.pieces,
    "png": png.pieces,
    "webp": webp.pieces,
    "tiff": exif.pieces,
    "avif": bmff.pieces,
    "heic": bmff.pieces,
}
_TOOLS = frozenset({"Software", "Source"})
"""Keywords of PNG texts that name a program."""
_REMOTE = "its manifest lies elsewhere and is not fetched"


@dataclass(frozen=True, slots=True)
class Provenance:
    """What the metadata of one image claim, and its C2PA manifest."""

    claims: tuple[Claim, ...]
    manifest: Manifest | None = None

    @property
    def declared(self) -> tuple[Source, str] | None:
        """The weightiest declaration, and where it stands; of a manifest, only if its signature holds."""
        found = [(claim.declares, f"{claim.place} {claim.field}") for claim in self.claims if claim.declares]
        if self.manifest and self.manifest.declares and self.manifest.signature == "valid":
            found.insert(0, (self.manifest.declares, "c2pa"))
        return min(found, key=lambda one: list(Source).index(one[0]), default=None)

    def to_dict(self) -> dict[str, Any]:
        """As it stands in the evidence of a verdict (`engine/outcome.schema.json`)."""
        record: dict[str, Any] = {"claims": [claim.to_dict() for claim in self.claims]}
        if self.manifest:
            record["c2pa"] = self.manifest.to_dict()
        if declared := self.declared:
            record["declares"], record["by"] = declared[0].value, declared[1]
        return record


def claims(data: Data, header: Header, checker: Checker) -> Provenance | None:
    """What an encoded image says of its origin; None: nothing. Raises nothing for what the data are."""
    try:
        return _claims(memoryview(data), header, checker)
    except Exception:  # a defect of ours; an image whose pixels can be scored is not to suffer from it
        log.exception("the metadata of a %s could not be read", header.name)
        return None


def _claims(view: memoryview, header: Header, checker: Checker) -> Provenance | None:
    found: list[Claim] = []
    manifest_bytes = 0
    for piece in _pieces(view, header):
        if piece.kind == "manifest":
            manifest_bytes += len(piece.content)
        elif len(found) < MOST_CLAIMS:
            found += _of_piece(piece)
    kept = tuple(dict.fromkeys(found))[:MOST_CLAIMS]
    manifest = None
    if manifest_bytes:
        manifest = checker(view, header.format, manifest_bytes)
    elif any(claim.field == xmp.REMOTE for claim in kept):
        manifest = Manifest("unchecked", why=_REMOTE)
    return Provenance(kept, manifest) if kept or manifest else None


def _pieces(view: memoryview, header: Header) -> Iterator[Piece]:
    if header.scan and not jpeg.may_hold_any(view, header.scan):
        return
    if walk := _WALKS.get(header.format):
        try:
            yield from walk(view)
        except (struct.error, IndexError, ValueError):  # the file is cut, or its parts contradict each other
            return


def _of_piece(piece: Piece) -> Iterator[Claim]:
    match piece.kind:
        case "exif":
            yield from exif.claims(piece.content)
        case "xmp":
            yield from xmp.claims(piece.content)
        case "text":
            text = bytes(piece.content[:MOST_READ]).decode("utf-8", "replace")
            generated = of_text(text)
            if piece.field in _TOOLS:
                yield Claim("png", piece.field, text, generated or of_tool(text))
            elif generated:
                yield Claim("png", piece.field, text, generated)


def in_words(evidence: Mapping[str, Any]) -> str:
    """The line for people about the provenance in a verdict's evidence; empty where there is none."""
    record = evidence.get("provenance")
    if not isinstance(record, Mapping):
        return ""
    words = []
    if declares := record.get("declares"):
        words.append(f"says of itself: {_DECLARED.get(declares, declares)} ({record.get('by')})")
    if manifest := record.get("c2pa"):
        trust = {"listed": ", signer on the trust list", "not_listed": ", signer not on the trust list"}
        signer = f" by {manifest['signer']}" if manifest.get("signer") else ""
        words.append(
            f"C2PA signature {manifest.get('signature')}{signer}{trust.get(manifest.get('trust', ''), '')}"
            + (f" ({manifest['why']})" if manifest.get("why") else "")
        )
    if label := record.get("label"):
        words.append(f"the label was set by {label.get('because')}, without it {label.get('was')}")
    line = "; ".join(words)
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in line)


_DECLARED = {
    "synthetic": "made by a generator",
    "partly_synthetic": "made by a generator in part",
    "capture": "taken with a camera",
}
